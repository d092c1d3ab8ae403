"""Commands to a running generator, on the real source database, in a schema of its own."""

import signal
from pathlib import Path

from common.waiting import wait_until
from tests.integration.data_generate.conftest import (
    answer,
    newest,
    refusal,
    requested,
    rows_after,
    steer,
)
from tests.integration.data_generate.generators import BULK, Source
from tests.timeouts import WAIT_TIMEOUT_S


def test_each_command_steers_the_running_stream(source: Source) -> None:
    # Without commands: a row in five minutes.
    generator = source.start("--rate", "0.003", "--schedule", "10000:tuesday")
    assert steer(source, "rate", "100") == "100 rows/s, data sets by the schedule, labels with the rows"
    assert {dataset for dataset, *_ in rows_after(source, newest(source))} == {"monday"}
    assert steer(source, "mix", "tuesday") == "100 rows/s, tuesday=1, labels with the rows"
    assert {dataset for dataset, *_ in rows_after(source, newest(source))} == {"tuesday"}
    assert steer(source, "pause").startswith("paused")
    rows = source.count()
    assert steer(source, "mix", "monday").startswith("paused"), "one that is taken up later, without rows meanwhile"
    assert source.count() == rows
    assert steer(source, "resume") == "100 rows/s, monday=1, labels with the rows"
    rows_after(source, newest(source))
    assert steer(source, "labels", "off") == "100 rows/s, monday=1, no labels"
    assert {target for _, target, _ in rows_after(source, newest(source))} == {None}
    assert steer(source, "labels", "on") == "100 rows/s, monday=1, labels with the rows"
    assert {target for _, target, _ in rows_after(source, newest(source))} - {None}
    assert steer(source, "reset") == "0.003 rows/s, data sets by the schedule, labels with the rows"
    assert generator.poll() is None
    known = source.query("select command, requested_by, reason, state, settled_at is null from generator_command")
    assert {row[1:] for row in known} == {("myuser", "a test", "applied", False)}


def test_a_wrong_command_is_refused_with_what_is_allowed(source: Source, tmp_path: Path) -> None:
    generator = source.start("--rate", "100")
    assert "more than 0 and at most 100000" in refusal(source, "rate", "0")
    assert "more than 0 and at most 100000" in refusal(source, "rate", "fast")
    assert "on, off, or late SECONDS" in refusal(source, "labels", "sometimes")
    assert "rate, mix, pause, resume, labels, reset" in refusal(source, "halt")
    assert "make sample-data" in refusal(source, "mix", "wednesday")
    (tmp_path / "wednesday.json").write_text('{"image_path": "wood/a.jpg", "target": 4}\n')
    steer(source, "mix", "wednesday")
    assert {row[0] for row in rows_after(source, newest(source))} == {"wednesday"}
    assert generator.poll() is None


def test_iris_takes_what_fits(source: Source) -> None:
    source.start("--table", "iris", "--rate", "0.003")
    assert "rate, pause, resume, reset" in refusal(source, "mix", "monday")
    assert "rate, pause, resume, reset" in refusal(source, "labels", "off")
    steer(source, "rate", "100")
    wait_until(lambda: source.count("iris_data") > 20, "flowers", timeout_s=WAIT_TIMEOUT_S)


def test_steering_survives_a_kill_and_goes_on_with_what_was_asked_meanwhile(source: Source, tmp_path: Path) -> None:
    first = source.start("--rate", "0.003")
    for command, argument in (("rate", "50"), ("reset", ""), ("rate", "100"), ("mix", "tuesday"), ("labels", "off")):
        steer(source, command, argument)
    refusal(source, "rate", "-5")
    steer(source, "pause")
    first.send_signal(signal.SIGKILL)
    first.wait()
    number = requested(source, "resume")
    before = newest(source)
    second = source.start("--rate", "0.003")
    assert answer(source, number).result == "100 rows/s, tuesday=1, no labels"
    assert {row[:2] for row in rows_after(source, before)} == {("tuesday", None)}
    # A manifest that is gone by the next start ends nobody.
    second.send_signal(signal.SIGKILL)
    second.wait()
    (tmp_path / "tuesday.json").unlink()
    before = newest(source)
    source.start("--rate", "0.003")
    assert {row[:2] for row in rows_after(source, before)} == {("monday", None)}


def test_late_labels_arrive_after_a_kill_whatever_was_asked_meanwhile(source: Source) -> None:
    number = requested(source, "labels", "late 3600")
    first = source.start("--rate", "0.003", "--burst", "2400")
    assert answer(source, number).result == "0.003 rows/s, monday=1, labels 3600 s late"
    assert {target for _, target, _ in rows_after(source, BULK, 2400)} == {None}
    # Eight passes over 300 images, of which 270 have a label.
    owed = "image_path !~ '0$' and id in (select id from cargo_label_due)"
    promised = f"replace(image_path, '.jpg', '') as image_path, id from cargo where id > {BULK} order by id limit 2400"
    assert source.query(f"select count(*) from (select {promised}) as burst where {owed}") == [(2160,)]
    steer(source, "labels", "off")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert source.count("cargo_label_due") > 2000
    source.query("update cargo_label_due set due_at = now()")
    source.start("--rate", "0.003")
    wait_until(lambda: source.count("cargo_label_due") == 0, "every label is delivered", timeout_s=WAIT_TIMEOUT_S)
    truth = "nullif(substring(image_path from '([0-9]+)')::int % 10, 0) % 5"
    burst = f"select * from cargo where id > {BULK} order by id limit 2400"
    assert (
        source.query(f"select image_path, target from ({burst}) as burst where target is distinct from {truth}") == []
    )


def test_a_late_label_comes_by_itself(source: Source) -> None:
    source.start("--rate", "20")
    steer(source, "labels", "late 1")
    first = newest(source)
    rows_after(source, first)
    wait_until(
        lambda: source.query(f"select 1 from cargo where id > {first} and target is not null limit 1"),
        "a label",
        timeout_s=WAIT_TIMEOUT_S,
    )


def test_without_a_rate_nothing_is_taken_up(source: Source) -> None:
    requested(source, "pause")
    source.run("--rate", "0", "--burst", "10")
    assert source.count() == BULK + 10
    assert source.query("select state from generator_command") == [("pending",)]
