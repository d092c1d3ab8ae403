import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_serving.models.failed_version import FIRST_PAUSE_S, LONGEST_PAUSE_S, FailedVersion, Failure
from api_serving.models.model_metadata import InvalidModel
from api_serving.models.registry_client import RegisteredVersion, RegistryUnavailable

ONE, OTHER = RegisteredVersion("m", "1", "a"), RegisteredVersion("m", "1", "b")


def attempts(kind: type[Failure], until_s: float, step_s: float = 0.5) -> list[float]:
    """When a version that always fails is tried, looked at every `step_s` seconds."""
    failed_version, tried, now = FailedVersion(), [], 0.0
    while now < until_s:
        try:
            failed_version.require_due(ONE, now)
        except kind:
            pass
        else:
            tried.append(now)
            failed_version.failed(ONE, kind("why"), now)
        now += step_s
    return tried


def test_a_version_that_is_not_fit_is_tried_ever_more_rarely() -> None:
    assert attempts(InvalidModel, 130) == [0, 1, 3, 7, 15, 31, 61, 91, 121]


def test_a_store_that_is_away_is_asked_every_few_seconds() -> None:
    assert attempts(RegistryUnavailable, 25) == [0, 1, 3, 7, 12, 17, 22]


def test_another_version_is_tried_at_once_and_with_short_pauses_again() -> None:
    failed_version = FailedVersion()
    for _ in range(9):
        failed_version.failed(ONE, InvalidModel("why"), 0)
    failed_version.require_due(OTHER, 0)
    failed_version.failed(OTHER, InvalidModel("why"), 0)
    with pytest.raises(InvalidModel):
        failed_version.require_due(OTHER, FIRST_PAUSE_S - 0.01)
    failed_version.require_due(OTHER, FIRST_PAUSE_S)


def test_after_a_success_nothing_is_held_against_a_version() -> None:
    failed_version = FailedVersion()
    failed_version.failed(ONE, InvalidModel("why"), 0)
    failed_version.reset()
    failed_version.require_due(ONE, 0)


@given(st.lists(st.sampled_from([InvalidModel, RegistryUnavailable]), min_size=1, max_size=30))
def test_pauses_stay_within_their_bounds(kinds: list[type[Failure]]) -> None:
    failed_version = FailedVersion()
    for kind in kinds:
        failed_version.failed(ONE, kind("why"), 0)
        with pytest.raises(kind):
            failed_version.require_due(ONE, FIRST_PAUSE_S - 0.01)
        failed_version.require_due(ONE, LONGEST_PAUSE_S[kind])
