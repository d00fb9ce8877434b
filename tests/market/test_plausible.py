"""Plausible times pass whatever they are; a wrong unit, a wrong candle or a hole never does."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crucible.market.plausible import (
    DAY_MS,
    END_MS,
    FIRST_MS,
    LARGEST_GAP_MS,
    implausible_steps,
    implausible_year,
    likely_unit,
)
from crucible.settings import MINUTE_MS

instants = st.integers(FIRST_MS, END_MS - 1)
starts = st.integers(FIRST_MS // MINUTE_MS, END_MS // MINUTE_MS - 10**6).map(
    lambda minute: minute * MINUTE_MS
)


@given(st.lists(instants, min_size=1, max_size=5))
def test_every_time_of_the_century_is_plausible(ts):
    assert implausible_year(np.array(ts)) is None


@given(instants, st.integers(0, 3))
def test_every_other_unit_is_refused_at_its_row_and_named(instant, row):
    for unit, value in (
        ("seconds", instant // 1_000),
        ("microseconds", instant * 1_000 + 7),
        ("nanoseconds", instant * 1_000_000 + 7),
    ):
        ts = np.full(row + 1, instant)
        ts[row] = value
        assert likely_unit(value) == unit
        found = implausible_year(ts)
        assert found is not None
        assert found[0] == row
        assert f"looks like {unit}" in found[1]


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_number_that_a_file_can_hold_gets_a_verdict(value):
    assert (implausible_year(np.array([value])) is None) == (FIRST_MS <= value < END_MS)


@given(starts, st.integers(2, 1_440), st.integers(6, 300))
def test_longer_candles_are_refused_with_their_length(start, length, rows):
    found = implausible_steps(start + length * MINUTE_MS * np.arange(rows), MINUTE_MS)
    assert found is not None
    assert found[0] == 1
    assert f"looks like {length}-minute candles" in found[1]


@given(starts, st.integers(2, 1_440), st.integers(0, 400), st.integers(0, 400))
def test_a_stretch_of_longer_candles_is_found_where_it_begins(start, length, before, after):
    steps = np.concatenate([np.ones(before), np.full(60, length), np.ones(after)]).astype(np.int64)
    ts = start + MINUTE_MS * np.r_[0, np.cumsum(steps)]
    found = implausible_steps(ts, MINUTE_MS)
    assert found is not None
    assert found[0] == before + 1


@given(starts, st.integers(0, 2**32 - 1), st.floats(0.5, 1.0), st.integers(0, 14))
def test_a_quiet_market_and_a_halt_of_two_weeks_are_plausible(start, seed, share, days):
    kept = np.random.default_rng(seed).random(5_000) < share
    kept[:2] = True
    ts = start + MINUTE_MS * np.flatnonzero(kept)
    halt = ts + np.where(np.arange(len(ts)) >= len(ts) // 2, days * DAY_MS, 0)
    longest = np.diff(halt).max()
    found = implausible_steps(halt, MINUTE_MS)
    # Where the halt adds to a hole that was there, it may be a few minutes longer than two weeks.
    assert (found is None) == (longest <= LARGEST_GAP_MS)


@given(starts, st.integers(1, 60))
def test_a_gap_beyond_two_weeks_is_refused_at_the_row_after_it(start, more):
    ts = start + MINUTE_MS * np.arange(200)
    ts[120:] += LARGEST_GAP_MS - MINUTE_MS + more * MINUTE_MS
    found = implausible_steps(ts, MINUTE_MS)
    assert found is not None
    assert found[0] == 120
    assert "a gap of more than 14 days" in found[1]
