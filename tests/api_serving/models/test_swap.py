"""Following the alias: what is taken over, and what answers when that fails."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api_serving.app import create_app
from api_serving.models.model_cache import read_model
from api_serving.models.model_loader import ModelLoader, require_compatible_classes
from api_serving.models.model_metadata import InvalidModel, ModelInfo
from api_serving.settings import Settings
from common.waiting import wait_until
from tests.api_serving import tiny_model
from tests.api_serving.fake_registry import AWAY, IMAGE, Api, FakeRegistry
from tests.api_serving.running import running


def kept(settings: Settings) -> str:
    return read_model(ModelLoader(settings).kept.last)[1].version


def test_another_version_is_taken_over_and_kept(api: Api, registry: FakeRegistry, following: Settings) -> None:
    assert (api.version(), kept(following)) == ("1", "1")
    registry.add(2)
    api.wait_for(2)
    assert api.note() is None
    assert kept(following) == "2"
    assert 'api_model_info{name="sk_model",run_id="run-2",version="2"} 1.0' in api.client.get("/metrics").text
    assert [api.swaps(outcome) for outcome in ("swapped", "refused", "failed")] == [1, 0, 0]


def test_the_way_back_needs_no_download(api: Api, registry: FakeRegistry, following: Settings) -> None:
    registry.add(2)
    api.wait_for(2)
    registry.store_fault = AWAY
    for version in (1, 2, 1):
        registry.alias = str(version)
        api.wait_for(version)
        assert kept(following) == str(version)
    assert registry.downloads == ["1", "2"]


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    ("parameters", "damage", "words"),
    [
        ({}, truncated, "onnxruntime cannot load it"),
        ({}, lambda file: file.write_bytes(b""), "has no model.onnx"),
        ({}, Path.unlink, "has no version 2 of sk_model"),
        ({"outputs": 4}, None, "probabilities of shape (2, 4)"),
        ({"classes": ["red", "green", "blue"]}, None, "Restart the API to take it over on purpose"),
        ({"classes": ["blue", "green"], "outputs": 2}, None, "do not begin with the served ones"),
        ({"embedding": float("inf")}, None, "is not one row of 1280 numbers"),
        (
            {"metadata": {"self_test": '{"seed": 0, "images": 2, "probabilities": [[1, 0, 0], [1, 0, 0]]}'}},
            None,
            "self-test fails",
        ),
    ],
)
def test_a_version_that_is_not_fit_is_refused_and_the_last_good_one_answers(
    api: Api,
    registry: FakeRegistry,
    following: Settings,
    parameters: dict[str, Any],
    damage: Callable[[Path], object] | None,
    words: str,
) -> None:
    file = registry.add(2, promote=False, **parameters)
    if damage:
        damage(file)
    registry.alias = "2"
    api.wait_for_note(words)
    assert "version 2 of sk_model cannot be served" in str(api.note())
    api.wait_for(1)
    assert kept(following) == "1"
    assert api.swaps("refused") >= 1
    registry.alias = "1"
    api.wait_for_note(None)
    registry.add(3)
    api.wait_for(3)
    assert api.swaps("swapped") == 1


def test_a_refused_version_is_left_alone_for_a_while_and_another_one_is_tried_at_once(
    api: Api, registry: FakeRegistry
) -> None:
    truncated(registry.add(2, promote=False))
    registry.alias = "2"
    api.wait_for_note("cannot be served")
    began, polls = time.monotonic(), registry.asked
    wait_until(lambda: registry.asked > polls + 12, "a dozen more polls", 10, 0.02)
    allowed = 2 + int(time.monotonic() - began)  # after 1 s, and after 2 s more
    assert 1 <= registry.downloads.count("2") <= allowed
    registry.add(3)
    api.wait_for(3)


@pytest.mark.parametrize("fault", [AWAY, ValueError("unexpected")])
def test_while_the_registry_is_away_the_last_good_version_answers(
    api: Api, registry: FakeRegistry, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger().addHandler(caplog.handler)  # the server has put its own in the place of all others
    registry.fault = fault
    api.wait_for_note("cannot be reached" if fault is AWAY else "failed unexpectedly (ValueError)")
    polls = registry.asked
    wait_until(lambda: registry.asked > polls + 3, "some more polls", 10, 0.02)
    api.wait_for(1)
    assert len([record for record in caplog.records if record.name == "api_serving.models.model_holder"]) == 1
    logging.getLogger().removeHandler(caplog.handler)
    registry.fault = None
    api.wait_for_note(None)


@pytest.mark.parametrize("fault", [AWAY, OSError("disk full")])
def test_while_the_store_is_away_the_last_good_version_answers(
    api: Api, registry: FakeRegistry, fault: Exception
) -> None:
    registry.store_fault = fault
    registry.add(2)
    api.wait_for_note(f"version 2 of sk_model cannot be fetched: {fault}")
    assert api.version() == "1"
    assert api.swaps("failed") >= 1
    registry.store_fault = None
    api.wait_for(2)
    assert api.note() is None


def test_an_alias_to_nothing_changes_nothing(api: Api, registry: FakeRegistry) -> None:
    registry.alias = None
    api.wait_for_note("has no model 'sk_model' with alias 'champion'")
    api.wait_for(1)
    registry.add(2)
    api.wait_for(2)
    assert api.note() is None


def test_requests_are_answered_while_a_version_is_being_loaded(api: Api, registry: FakeRegistry) -> None:
    registry.open.clear()
    registry.add(2)
    wait_until(lambda: "2" in registry.downloads, "the download has begun", 10, 0.02)
    assert api.client.post("/predict", json=IMAGE).json()["model_version"] == "1"
    assert api.note() is None
    registry.open.set()
    api.wait_for(2)


def test_a_damaged_copy_is_fetched_anew(api: Api, registry: FakeRegistry, following: Settings) -> None:
    registry.add(2)
    api.wait_for(2)
    former = ModelLoader(following).kept.find("1", "run-1")
    assert former is not None
    with former[0].open("ab") as opened:
        opened.write(b"x")
    registry.alias = "1"
    api.wait_for(1)
    assert registry.downloads == ["1", "2", "1"]


def served_after_restart(settings: Settings, words: str) -> str:
    with running(create_app(settings)) as client:
        api = Api(client)
        api.wait_for_note(words)
        assert client.post("/predict", json=IMAGE).is_success
        return api.version()


def test_a_restart_serves_the_last_good_version_whatever_is_wrong(registry: FakeRegistry, following: Settings) -> None:
    registry.add(1)
    with running(create_app(following)) as client:
        registry.add(2)
        Api(client).wait_for(2)
    registry.fault = AWAY
    assert served_after_restart(following, "last downloaded copy") == "2"
    registry.fault = None
    registry.alias = None
    assert served_after_restart(following, "has no model") == "2"
    truncated(registry.add(3))
    assert served_after_restart(following, "version 3 of sk_model cannot be served") == "2"
    registry.add(4, promote=False)
    registry.alias, registry.store_fault = "4", AWAY
    assert served_after_restart(following, "last downloaded copy") == "2"


def test_a_copy_that_the_registry_does_not_know_never_stands_in_for_its_champion(
    registry: FakeRegistry, following: Settings, tmp_path: Path
) -> None:
    tiny_model.install(ModelLoader(following).kept.last, tmp_path, version="9")
    registry.fault = AWAY
    with running(create_app(following)) as client:
        api = Api(client)
        api.wait_for_note("last downloaded copy")
        registry.fault = None
        wait_until(lambda: client.get("/readyz").status_code == 503, "the stranger no longer answers", 10, 0.02)
        assert "has no model" in client.get("/readyz").json()["detail"]
        # Its classes bind nobody either.
        registry.add(1, classes=["one", "two", "three"])
        wait_until(lambda: client.get("/readyz").is_success, "the first version is taken", 10, 0.02)
        assert api.note() is None
        assert client.get("/model").json()["classes"] == ["one", "two", "three"]


def test_a_restart_takes_over_other_classes_on_purpose(registry: FakeRegistry, following: Settings) -> None:
    registry.add(1)
    with running(create_app(following)):
        pass
    registry.add(2, classes=["red", "green", "blue"])
    with running(create_app(following)) as client:
        Api(client).wait_for(2)


def info(version: int, *classes: str) -> ModelInfo:
    return ModelInfo(
        name="m", version=str(version), run_id="r", classes=classes, metrics={}, registry="http://x", sha256="0"
    )


@pytest.mark.parametrize(
    ("served", "new", "taken"),
    [
        (info(1, "a", "b"), info(2, "a", "b"), True),
        (info(1, "a", "b"), info(2, "a", "b", "c"), True),
        (info(1, "a", "b"), info(2, "b", "a"), False),
        (info(1, "a", "b"), info(2, "a"), False),
        (info(1, "a", "b"), info(2, "c", "a", "b"), False),
        (info(10, "a", "b"), info(9, "a"), True),
        (info(10, "a", "b"), info(9, "b"), False),
    ],
)
def test_a_target_keeps_its_meaning(served: ModelInfo, new: ModelInfo, taken: bool) -> None:
    if taken:
        require_compatible_classes(new, served)
    else:
        with pytest.raises(InvalidModel, match="Restart the API"):
            require_compatible_classes(new, served)
