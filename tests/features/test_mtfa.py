"""What the compiled step folds for a minute is what its plain reference aligns over whole candles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.features.mtfa import process_and_align_mtfa
from crucible.features.rings import FIELDS, NONE, push, ring_length
from crucible.features.technical import technical_steps
from crucible.market.candles import Candles, Floats, Integers
from crucible.market.timeframes import PREFIXES, WINDOW, minutes_until_known
from crucible.testing.candles import candles
from crucible.testing.higher_candles import higher_candles


@settings(max_examples=60, deadline=None)
@given(candles(min_minutes=30, max_minutes=2_000), st.sampled_from(sorted(PREFIXES)))
def test_a_minute_is_shown_exactly_the_higher_candles_that_have_closed(
    drawn: Candles, length: int
) -> None:
    plain = higher_candles(drawn, [length])
    higher, index = plain.higher[length], plain.index[length]
    stamp, ring = empty_ring(length)
    folded = np.empty((5, WINDOW + 1))
    # As if minutes had been known for ever: only then is every window spoken of.
    always, seen = -(10**9), NONE
    for row in range(len(drawn)):
        candle = drawn.candle(row)
        minute = int(drawn.close_ts[row]) // 60_000
        prices = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        push(stamp, ring, minute, *prices)
        boundary = process_and_align_mtfa(stamp, ring, minute, length, always, seen, folded)
        changed, seen = boundary != seen, boundary
        assert boundary <= minute
        if not changed:
            continue
        for back in range(WINDOW + 1):
            close_ts = (boundary - back * length) * 60_000
            held = np.flatnonzero(higher.close_ts == close_ts)
            if len(held) == 0:
                assert np.isnan(folded[:, back]).all()
                continue
            one = higher.candle(int(held[0]))
            assert folded[:4, back].tolist() == [one.open, one.high, one.low, one.close]
            assert np.isclose(folded[4, back], one.volume, rtol=1e-12)
            if back == 0:
                assert index[row] == held[0]


def test_the_compiled_step_calls_this_function_and_no_other() -> None:
    step = technical_steps.py_func
    assert "process_and_align_mtfa" in step.__code__.co_names
    assert step.__globals__["process_and_align_mtfa"] is process_and_align_mtfa


@pytest.mark.parametrize("length", PREFIXES)
@pytest.mark.parametrize("offset", [1, 2])
def test_a_window_that_begins_before_the_first_minute_is_unknown(length: int, offset: int) -> None:
    stamp, ring = empty_ring(length)
    folded = np.zeros((5, WINDOW + 1))
    first = 1_000 * length + offset
    known = NONE
    for minute in range(first, first + minutes_until_known([length])):
        push(stamp, ring, minute, 1.0, 1.0, 1.0, 1.0, 1.0)
        if minute % length == 0:
            boundary = process_and_align_mtfa(stamp, ring, minute, length, first, NONE, folded)
            whole = boundary - (WINDOW + 1) * length >= first - 1
            assert np.isfinite(folded).all() if whole else np.isnan(folded).all()
            known = minute if whole and known == NONE else known
    # A first minute that opens a higher candle waits for 21 of them, the one behind it for 22.
    assert known - first + 1 == (WINDOW + offset) * length - (offset - 1)


@pytest.mark.parametrize("length", PREFIXES)
def test_the_last_minute_of_a_higher_candle_still_finds_the_whole_window_in_the_ring(
    length: int,
) -> None:
    stamp, ring = empty_ring(length)
    start = 1_000 * length
    minutes = (WINDOW + 2) * length - 1
    for minute in range(start + 1, start + minutes + 1):
        push(stamp, ring, minute, 1.0, 1.0, 1.0, 1.0, float(minute))
    folded = np.empty((5, WINDOW + 1))
    assert process_and_align_mtfa(stamp, ring, minute, length, start + 1, NONE, folded) == (
        start + (WINDOW + 1) * length
    )
    assert np.isfinite(folded).all()
    oldest = np.arange(start + 1, start + length + 1)
    assert folded[4, WINDOW] == oldest.sum()


def empty_ring(length: int) -> tuple[Integers, Floats]:
    size = ring_length(minutes_until_known([length]))
    return np.full(size, NONE), np.full((FIELDS, size), np.nan)
