"""The champion's moves on a registry in memory, cut off after each of their writes."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as some
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from common.cli import UserError
from common.names import CHAMPION, PREVIOUS
from model_registry.versions.promotion import history, promote, rollback, user_and_host
from model_registry.versions.registry_client import Registry

WRITES = 4
"""Of a promotion that has a champion to replace."""


class InterruptedRun(Exception):
    """The process ends here."""


@dataclass
class InMemory:
    """As much of MLflow's client as a promotion uses. After `allowed` writes it raises instead of writing."""

    tags: dict[str, dict[str, str]]
    aliases: dict[str, str] = field(default_factory=dict)
    allowed: int = 1000

    def get_model_version(self, _: str, number: str) -> SimpleNamespace:
        if number not in self.tags:
            raise MlflowException("no such version", RESOURCE_DOES_NOT_EXIST)
        return SimpleNamespace(version=number, tags=self.tags[number], run_id=f"run {number}")

    def get_model_version_by_alias(self, name: str, alias: str) -> SimpleNamespace:
        if alias not in self.aliases:
            raise MlflowException("no such alias", RESOURCE_DOES_NOT_EXIST)
        return self.get_model_version(name, self.aliases[alias])

    def search_model_versions(self, _: str) -> list[SimpleNamespace]:
        return [self.get_model_version("", number) for number in self.tags]

    def set_registered_model_alias(self, _: str, alias: str, version: str) -> None:
        self._write(lambda: self.aliases.update({alias: version}))

    def delete_registered_model_alias(self, _: str, alias: str) -> None:
        self._write(lambda: self.aliases.pop(alias))

    def set_model_version_tag(self, _: str, version: str, key: str, value: str) -> None:
        self._write(lambda: self.tags[version].update({key: value}))

    def delete_model_version_tag(self, _: str, version: str, key: str) -> None:
        self._write(lambda: self.tags[version].pop(key))

    def _write(self, change: Callable[[], Any]) -> None:
        if self.allowed == 0:
            raise InterruptedRun
        self.allowed -= 1
        change()


@pytest.fixture
def server() -> InMemory:
    return InMemory({"1": {}, "2": {}, "3": {}})


@pytest.fixture
def registry(server: InMemory) -> Registry:
    return Registry(cast("Any", server), "model")


def moves(registry: Registry) -> list[tuple[str | None, str]]:
    return [(event.from_version, event.to_version) for event in history(registry)]


def test_a_promotion_keeps_the_old_champion_as_previous(server: InMemory, registry: Registry) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    promote(registry, "1", "save_model_to_registry", "first version", noon)
    assert server.aliases == {CHAMPION: "1"}
    promote(registry, "2", "ann@host", "better on tuesday", noon.replace(hour=13))
    assert server.aliases == {CHAMPION: "2", PREVIOUS: "1"}
    first, second = history(registry)
    assert (first.who, first.why, first.when) == ("save_model_to_registry", "first version", noon)
    assert (second.who, second.why, second.when) == ("ann@host", "better on tuesday", noon.replace(hour=13))
    assert list(server.tags["2"]) == ["promotion.2026-11-21T13:00:00.000000Z"]
    assert moves(registry) == [(None, "1"), ("1", "2")]


def test_promoting_the_champion_changes_nothing(server: InMemory, registry: Registry) -> None:
    promote(registry, "1", "ann", "first")
    promote(registry, "2", "ann", "second")
    server.allowed = 0
    promote(registry, "2", "ann", "again")
    assert server.aliases == {CHAMPION: "2", PREVIOUS: "1"}
    assert len(history(registry)) == 2


def test_an_unknown_version_moves_nothing(server: InMemory, registry: Registry) -> None:
    promote(registry, "1", "ann", "first")
    with pytest.raises(UserError, match="has no version 7"):
        promote(registry, "7", "ann", "typing error")
    assert server.aliases == {CHAMPION: "1"}
    assert len(history(registry)) == 1


def test_two_rollbacks_are_none(server: InMemory, registry: Registry) -> None:
    promote(registry, "1", "ann", "first")
    promote(registry, "2", "ann", "second")
    assert rollback(registry, "ann", "worse") == "1"
    assert server.aliases == {CHAMPION: "1", PREVIOUS: "2"}
    assert rollback(registry, "ann", "not worse after all") == "2"
    assert server.aliases == {CHAMPION: "2", PREVIOUS: "1"}
    assert moves(registry) == [(None, "1"), ("1", "2"), ("2", "1"), ("1", "2")]


@pytest.mark.parametrize("promoted", [[], ["1"]])
def test_without_a_previous_one_a_rollback_says_what_to_do(registry: Registry, promoted: list[str]) -> None:
    for version in promoted:
        promote(registry, version, "ann", "first")
    with pytest.raises(UserError, match=r"no previous champion.*promote\.py --version N"):
        rollback(registry, "ann", "worse")


@pytest.mark.parametrize("writes", range(WRITES))
@pytest.mark.parametrize(("champions", "target"), [(["1"], "2"), (["1", "3"], "2"), (["1", "3"], "1")])
def test_cut_off_anywhere_some_champion_serves_and_the_history_is_true(
    server: InMemory, registry: Registry, champions: list[str], target: str, writes: int
) -> None:
    for version in champions:
        promote(registry, version, "ann", "before")
    before = dict(server.aliases)
    server.allowed = writes
    with pytest.raises(InterruptedRun):
        promote(registry, target, "ann", "move")
    champion = server.aliases[CHAMPION]
    assert champion in {before[CHAMPION], target}
    assert moves(registry)[-1][1] == champion, "the history ends with the version that serves"
    assert len(moves(registry)) == len(champions) + (champion == target)
    # What comes next finds everything in order, whether it repeats the move or does something else.
    server.allowed = 1000
    promote(registry, target, "bob", "again")
    assert server.aliases == {CHAMPION: target, PREVIOUS: before[CHAMPION]}
    assert len(moves(registry)) == len(champions) + 1
    assert all('"done": true' in tag for tags in server.tags.values() for tag in tags.values())


@pytest.mark.parametrize("writes", range(WRITES))
def test_a_rollback_after_a_cut_off_goes_to_the_version_that_served_before(
    server: InMemory, registry: Registry, writes: int
) -> None:
    promote(registry, "1", "ann", "first")
    promote(registry, "2", "ann", "second")
    server.allowed = writes
    with pytest.raises(InterruptedRun):
        promote(registry, "3", "ann", "third")
    reached = server.aliases[CHAMPION] == "3"
    server.allowed = 1000
    assert rollback(registry, "bob", "worse") == ("2" if reached else "1")
    assert server.aliases == {CHAMPION: "2", PREVIOUS: "3"} if reached else {CHAMPION: "1", PREVIOUS: "2"}


def test_cut_off_before_there_was_a_previous_one_there_is_still_none(server: InMemory, registry: Registry) -> None:
    promote(registry, "1", "ann", "first")
    server.allowed = 2
    with pytest.raises(InterruptedRun):
        promote(registry, "2", "ann", "second")
    server.allowed = 1000
    with pytest.raises(UserError, match="no previous champion"):
        rollback(registry, "bob", "worse")
    assert server.aliases == {CHAMPION: "1"}


@given(
    some.lists(
        some.tuples(some.sampled_from(["1", "2", "3", "back"]), some.integers(0, 2 * WRITES)), min_size=1, max_size=12
    )
)
def test_any_row_of_moves_and_cut_offs_is_told_as_it_was(steps: list[tuple[str, int]]) -> None:
    server = InMemory({"1": {}, "2": {}, "3": {}})
    registry = Registry(cast("Any", server), "model")
    champions: list[str | None] = [None]
    for step, writes in steps:
        server.allowed = writes
        try:
            if step == "back":
                rollback(registry, "ann", "back")
            else:
                promote(registry, step, "ann", "on")
        except (InterruptedRun, UserError):
            pass
        champion = server.aliases.get(CHAMPION)
        assert champion or champions == [None], "once there is a champion there always is one"
        if champion != champions[-1]:
            champions.append(champion)
        assert moves(registry) == list(itertools.pairwise(champions))


def test_who_is_a_user_on_a_host() -> None:
    name, _, host = user_and_host().partition("@")
    assert name
    assert host
