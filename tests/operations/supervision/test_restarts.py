"""Restarts come later and later, and never end."""

from hypothesis import given
from hypothesis import strategies as st

from crucible.operations.supervision.restarts import Restarts


def test_pauses_double_up_to_the_longest_and_go_on_for_ever():
    restarts = Restarts(limit=6, window_s=1000)
    assert [restarts.pause(float(now)) for now in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    now = 8.0
    for _ in range(1000):
        now += restarts.pause(now)
    assert restarts.pause(now) == 30


def test_a_service_that_ends_again_and_again_is_failing_until_it_holds():
    restarts = Restarts(limit=2, window_s=10)
    seen = []
    for now in (0.0, 1.0, 2.0, 3.0, 100.0):
        restarts.pause(now)
        seen.append(restarts.failing)
    assert seen == [False, False, True, True, False]


def test_a_service_that_held_for_long_starts_afresh():
    restarts = Restarts(limit=2, window_s=10)
    assert [restarts.pause(now) for now in (0.0, 1.0, 2.0)] == [1, 2, 4]
    assert restarts.pause(100.0) == 1


@given(st.lists(st.floats(0, 50), min_size=1, max_size=200))
def test_every_end_gets_a_pause_within_its_bounds(gaps):
    restarts = Restarts(limit=3, window_s=60)
    now = 0.0
    for gap in gaps:
        now += gap
        assert 1.0 <= restarts.pause(now) <= 30.0
