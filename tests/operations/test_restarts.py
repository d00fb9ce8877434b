"""Restarts come later and later, and end."""

from hypothesis import given
from hypothesis import strategies as st

from crucible.operations.restarts import Restarts


def test_pauses_double_up_to_the_longest_and_then_end():
    restarts = Restarts(limit=7, window_s=1000)
    pauses = [restarts.pause(float(now)) for now in range(8)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, None]


def test_a_service_that_held_for_long_starts_afresh():
    restarts = Restarts(limit=2, window_s=10)
    assert [restarts.pause(now) for now in (0.0, 1.0, 2.0)] == [1, 2, None]
    assert restarts.pause(100.0) == 1


@given(st.lists(st.floats(0, 50), min_size=1, max_size=60))
def test_no_window_ever_holds_more_restarts_than_the_limit(gaps):
    restarts = Restarts(limit=3, window_s=60)
    now, allowed = 0.0, []
    for gap in gaps:
        now += gap
        if restarts.pause(now) is not None:
            allowed.append(now)
    assert all(sum(1 for time in allowed if 0 <= time - start < 60) <= 3 for start in allowed)
