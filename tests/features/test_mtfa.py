"""What the compiled step folds for a minute is what its plain reference aligns over whole candles."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.features.mtfa import WINDOW, process_and_align_mtfa
from crucible.features.rings import FIELDS, NONE, RING, push
from crucible.market.candles import Candles
from crucible.testing.candles import candles
from crucible.testing.higher_candles import higher_candles


@settings(max_examples=60, deadline=None)
@given(candles(min_minutes=30, max_minutes=600), st.sampled_from([15, 60]))
def test_a_minute_is_shown_exactly_the_higher_candles_that_have_closed(
    drawn: Candles, length: int
) -> None:
    plain = higher_candles(drawn, [length])
    higher, index = plain.higher[length], plain.index[length]
    stamp, ring = np.full(RING, NONE), np.full((FIELDS, RING), np.nan)
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


def test_a_window_that_begins_before_the_first_minute_is_unknown() -> None:
    stamp, ring = np.full(RING, NONE), np.full((FIELDS, RING), np.nan)
    folded = np.zeros((5, WINDOW + 1))
    first = 100_000 * 15 + 1
    for minute in range(first, first + (WINDOW + 1) * 15):
        push(stamp, ring, minute, 1.0, 1.0, 1.0, 1.0, 1.0)
        boundary = process_and_align_mtfa(stamp, ring, minute, 15, first, NONE, folded)
        whole = boundary - (WINDOW + 1) * 15 >= first - 1
        assert np.isfinite(folded).all() if whole else np.isnan(folded).all()
    assert whole
