"""Grafana's files, checked by what its documentation says, as the server itself may not be at hand."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard_stream.grafana import COMPOSE_FILE, GRAFANA, dashboards, expand, panels, provisioned, service

LAST_CLASSIC_SCHEMA = 42
"""Later dashboards are of another form, which file provisioning refuses."""

COLUMNS = 24
CORE_PANELS = {"table", "timeseries", "barchart", "stat", "gauge", "bargauge", "piechart", "text", "heatmap"}

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
END = START + timedelta(seconds=30)


def seconds(interval: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([smh])", interval).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60, "h": 3600}[unit]


def mounted(path_in_container: str) -> Path:
    """Where a path of the container lies in the repository. Fails when no read-only mount covers it."""
    for volume in service()["volumes"]:
        source, target, *mode = str(volume).split(":")
        if path_in_container == target or path_in_container.startswith(f"{target}/"):
            assert mode == ["ro"]
            inside = path_in_container.removeprefix(target).lstrip("/")
            return COMPOSE_FILE.parent.joinpath(source, inside).resolve()
    raise AssertionError(f"{path_in_container} is not mounted")


@pytest.fixture
def dashboard() -> dict[str, Any]:
    (only,) = dashboards()
    return only


def test_the_data_source_is_the_target_database_with_everything_secret_in_the_environment() -> None:
    (source,) = provisioned("datasources")
    assert (source["name"], source["uid"]) == ("Inference-database", "inference-database")
    assert source["type"] == "grafana-postgresql-datasource"
    assert "database" not in source, "Grafana no longer reads it there"
    named = {
        "url": source["url"],
        "user": source["user"],
        "database": source["jsonData"]["database"],
        "password": source["secureJsonData"]["password"],
        "sslmode": source["jsonData"]["sslmode"],
    }
    for value in named.values():
        variable = re.fullmatch(r"\$__env\{(\w+)\}", value)
        assert variable, value
        assert variable[1] in service()["environment"], value


def test_provisioned_files_are_where_grafana_looks_for_them() -> None:
    assert mounted("/etc/grafana/provisioning") == GRAFANA / "provisioning"
    (provider,) = provisioned("dashboards")
    assert provider["type"] == "file"
    assert mounted(provider["options"]["path"]) == GRAFANA / "dashboards"
    home = mounted(service()["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.is_file()


def test_a_read_only_grafana_keeps_the_data_source_that_its_image_brings() -> None:
    """Grafana 13.2 stops a bundled data source to update it, cannot write the update, and is left with neither."""
    environment = service()["environment"]
    assert service()["read_only"]
    assert environment["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    assert environment["GF_PLUGINS_PREINSTALL_AUTO_UPDATE"] == "false"
    version = service()["image"].removeprefix("grafana/grafana:")
    assert re.fullmatch(r"13\.\d+\.\d+", version), "an exact tag, and not -slim, which brings no data source"


def test_nobody_looks_without_a_password_and_nothing_is_sent_out() -> None:
    environment = service()["environment"]
    off = [name for name, value in environment.items() if value == "false"]
    assert {
        "GF_AUTH_ANONYMOUS_ENABLED",
        "GF_USERS_ALLOW_SIGN_UP",
        "GF_ANALYTICS_REPORTING_ENABLED",
        "GF_ANALYTICS_CHECK_FOR_UPDATES",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES",
        "GF_NEWS_NEWS_FEED_ENABLED",
    } <= set(off)
    assert environment["GF_SECURITY_ADMIN_USER"] == "${GRAFANA_USER:-dashboarduser}"
    assert environment["GF_SECURITY_ADMIN_PASSWORD"] == "${GRAFANA_PASSWORD:-dashboardpassword}"
    assert service()["ports"] == ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"]


def test_the_dashboard_is_of_the_classic_form(dashboard: dict[str, Any]) -> None:
    assert not {"apiVersion", "kind", "spec", "elements", "layout"} & dashboard.keys()
    assert dashboard["schemaVersion"] <= LAST_CLASSIC_SCHEMA
    # An id is the database's own; with one the import fails.
    assert dashboard.get("id") is None
    assert (dashboard["uid"], dashboard["title"]) == ("cargo-classification", "Cargo classification")
    for part in ("annotations", "templating"):
        assert dashboard[part] == {"list": []}


def test_the_dashboard_shows_the_last_half_minute_anew_every_second(dashboard: dict[str, Any]) -> None:
    assert dashboard["time"] == {"from": "now-30s", "to": "now"}
    assert dashboard["refresh"] == "1s"
    assert dashboard["refresh"] in dashboard["timepicker"]["refresh_intervals"]
    allowed = service()["environment"]["GF_DASHBOARDS_MIN_REFRESH_INTERVAL"]
    assert seconds(allowed) <= min(map(seconds, dashboard["timepicker"]["refresh_intervals"]))


def test_the_panels_of_the_dashboard() -> None:
    assert set(panels()) == {
        "Cargo inference result",
        "Accuracy by data set",
        "Throughput",
        "Latency",
        "Predicted classes",
        "Dead letters",
        "Drift by detector",
        "Uncertainty",
        "Drift alarms",
        "Accuracy by model version",
        "Served version",
        "Adaptations",
    }
    assert panels()["Cargo inference result"]["type"] == "table"


def test_panels_have_ids_of_their_own_and_say_what_they_show(dashboard: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    assert len(panels()) == len(ids), "titles are unique too"
    for panel in dashboard["panels"]:
        assert panel["description"]
        assert panel["type"] in CORE_PANELS, "nothing is installed at the start"


def test_panels_lie_side_by_side_without_overlapping(dashboard: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= COLUMNS
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]


@pytest.mark.parametrize("title", sorted(panels()))
def test_each_panel_asks_the_provisioned_data_source_in_sql(title: str) -> None:
    panel = panels()[title]
    (source,) = provisioned("datasources")
    reference = {"type": source["type"], "uid": source["uid"]}
    assert panel["datasource"] == reference
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["datasource"] == reference
        assert target["rawQuery"] is True
        assert target["format"] == ("time_series" if panel["type"] == "timeseries" else "table")
        # Every panel follows the time range, so that none reads a whole table every second.
        assert re.search(r"\$__(timeFilter|unixEpochFrom)\(", target["rawSql"])
        assert "$" not in expand(target["rawSql"], START, END, interval_s=1)
    if "$__interval" in panel["targets"][0]["rawSql"]:
        # The macro knows whole seconds; without a least interval Grafana would ask for points 20 ms apart.
        assert seconds(panel["interval"]) >= 1


def test_macros_expand_as_in_the_data_source() -> None:
    sql = 'select $__timeGroupAlias(seen, $__interval) from rows where $__timeFilter("seen") and $__unixEpochTo() > 0'
    assert expand(sql, START, END, interval_s=5) == (
        'select floor(extract(epoch from seen)/5)*5 AS "time" from rows'
        " where \"seen\" BETWEEN '2026-11-21T12:00:00Z' AND '2026-11-21T12:00:30Z' and 1795262430 > 0"
    )
    with pytest.raises(ValueError, match="unknown macro __timeGruop"):
        expand("select $__timeGruop(seen, 5s)", START, END, interval_s=5)
