"""The files in `kafka/`, and what is said about files that are none."""

import re
from pathlib import Path

import pytest

from common.cli import UserError
from common.names import SINK_CONNECTOR, SINK_DEAD_LETTER_TOPIC, SOURCE_CONNECTOR, SOURCE_TOPIC
from common.paths import REPOSITORY
from connect_reconciler.connector_files import desired_connectors
from local_stack.processes import kafka_processes

FILES = REPOSITORY / "kafka"


def test_the_files_name_the_contract() -> None:
    wanted = desired_connectors(FILES)
    assert set(wanted) == {SOURCE_CONNECTOR, SINK_CONNECTOR}
    assert wanted[SINK_CONNECTOR]["topics"] == SOURCE_TOPIC
    assert wanted[SINK_CONNECTOR]["errors.deadletterqueue.topic.name"] == SINK_DEAD_LETTER_TOPIC


def test_every_value_is_text_because_connect_gives_text_back() -> None:
    # Any other type would look like an edit at each look, and the connector would be rewritten for ever.
    for config in desired_connectors(FILES).values():
        assert all(isinstance(value, str) for value in config.values())


def test_the_worker_lets_every_placeholder_through() -> None:
    properties = (FILES / "connect-distributed.properties").read_text()
    allowed = re.search(r"^config\.providers\.env\.param\.allowlist\.pattern=(.*)$", properties, re.MULTILINE)
    assert allowed is not None
    for config in desired_connectors(FILES).values():
        for value in config.values():
            for name in re.findall(r"\$\{env:([^}]*)\}", value):
                assert re.fullmatch(allowed.group(1), name), name
        for key, value in config.items():
            if "password" in key or "user" in key:
                assert re.fullmatch(r"\$\{env:\w+\}", value), f"{key} is written out"


def test_the_local_stack_gives_the_worker_exactly_these_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jars" / "kafka").mkdir(parents=True)
    monkeypatch.setattr(kafka_processes, "JARS", tmp_path / "jars")
    monkeypatch.setattr(kafka_processes, "kafka_answers", lambda _: True)
    monkeypatch.setattr(kafka_processes, "find_java", lambda _: "java")
    _, environment = kafka_processes.prepare_connect(tmp_path / "home")
    files = "".join(file.read_text() for file in FILES.glob("*_connector.json"))
    assert set(re.findall(r"\$\{env:([^}]*)\}", files)) == set(environment)


@pytest.mark.parametrize("file", sorted(FILES.glob("*_connector.json")), ids=lambda file: file.name)
def test_no_address_is_written_out(file: Path) -> None:
    assert not re.search(r"localhost|host\.docker|\d+\.\d+\.\d+\.\d+|:\d", file.read_text())


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"name": "x"}', '{"name": "x", "config": 3}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a_connector.json").write_text(text)
    with pytest.raises(UserError, match=r"a_connector\.json is not of the form"):
        desired_connectors(tmp_path)


def test_no_files_say_which_setting_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="CONNECT_RECONCILER_FILES"):
        desired_connectors(tmp_path)
