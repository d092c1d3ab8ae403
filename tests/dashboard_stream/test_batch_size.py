"""Batches that fit the speed of the API."""

from hypothesis import given
from hypothesis import strategies as st

from dashboard_stream.subscriber.batch_size import ANSWER_S, FEWEST_ROWS, FIRST_ROWS, BatchSize


def test_a_slow_api_gets_few_rows_at_once_and_a_fast_one_all() -> None:
    size = BatchSize(256)
    assert size.rows == FIRST_ROWS
    size.took(32, 32 * 0.3)
    assert size.rows == 16
    size.took(16, 16 * 3.0)
    assert size.rows == FEWEST_ROWS
    size.took(8, 8 * 0.005)
    assert size.rows == 256
    size.took(1, 0.0)
    assert size.rows == 256
    assert BatchSize(4).rows == 4


@given(
    most=st.integers(1, 256),
    speeds=st.lists(st.floats(0.0005, 0.6), min_size=1),
)
def test_no_batch_takes_much_longer_than_it_may_once_the_speed_is_known(most: int, speeds: list[float]) -> None:
    size = BatchSize(most)
    for seconds_an_image in speeds:
        size.took(size.rows, size.rows * seconds_an_image)
        assert 1 <= size.rows <= most
        assert size.rows * seconds_an_image <= max(ANSWER_S, FEWEST_ROWS * seconds_an_image) + 1e-9
