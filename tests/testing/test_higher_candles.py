from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.market.candles import CandleError, Candles
from crucible.market.simulator import simulate
from crucible.market.timeframes import COVERAGE
from crucible.settings import MINUTE_MS
from crucible.testing.candles import candles
from crucible.testing.higher_candles import higher_candles, resample


@settings(max_examples=60, deadline=None)
@given(candles(max_minutes=400), st.sampled_from([5, 15, 60]))
def test_a_minute_sees_the_last_higher_candle_that_has_closed(drawn: Candles, minutes: int) -> None:
    aligned = higher_candles(drawn, [minutes])
    higher, index = aligned.higher[minutes], aligned.index[minutes]
    for row, decision in enumerate(drawn.close_ts.tolist()):
        closed = np.flatnonzero(higher.close_ts <= decision)
        assert index[row] == (closed[-1] if len(closed) else -1)


@settings(max_examples=60, deadline=None)
@given(candles(max_minutes=400), st.sampled_from([5, 15]))
def test_a_higher_candle_folds_exactly_its_own_minutes(drawn: Candles, minutes: int) -> None:
    length = minutes * MINUTE_MS
    higher = resample(drawn, minutes)
    expected = []
    for opens in range(int(drawn.ts[0]) // length * length, int(drawn.ts[-1]) + 1, length):
        own = drawn.between(opens, opens + length)
        if len(own) >= COVERAGE * minutes and opens + length <= drawn.close_ts[-1]:
            expected.append(
                (opens, own.open[0], own.high.max(), own.low.min(), own.close[-1], own.volume.sum())
            )
    assert len(higher) == len(expected)
    for row, (opens, opening, high, low, close, volume) in enumerate(expected):
        one = higher.candle(row)
        assert (one.ts, one.open, one.high, one.low, one.close) == (
            opens,
            opening,
            high,
            low,
            close,
        )
        assert one.volume == pytest.approx(volume, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(candles(min_minutes=2, max_minutes=300), st.integers(1, 299))
def test_the_future_never_changes_what_a_minute_sees(drawn: Candles, cut: int) -> None:
    whole = higher_candles(drawn, [15, 60])
    part = higher_candles(drawn[:cut], [15, 60])
    for timeframe in (15, 60):
        for name in ("open", "high", "low", "close", "volume"):
            seen = part.column(timeframe, name)
            assert np.array_equal(whole.column(timeframe, name)[: len(seen)], seen, equal_nan=True)


def test_joining_on_the_open_time_would_have_leaked_and_the_right_join_does_not() -> None:
    walk = simulate(["BTCUSDT"], 200_000, seed=21, null=True)["BTCUSDT"]
    following = np.diff(np.log(walk.close))
    aligned = higher_candles(walk, [15])
    higher = aligned.higher[15]
    move = np.log(higher.close / higher.open)

    def coefficient(index: np.ndarray) -> float:
        feature = np.append(move, np.nan)[index][:-1]
        known = np.isfinite(feature)
        return float(np.corrcoef(feature[known], following[known])[0, 1])

    wrong = np.searchsorted(higher.ts, walk.ts, side="right") - 1
    wrong[wrong >= len(higher)] = -1
    assert coefficient(wrong) > 0.2
    assert abs(coefficient(aligned.index[15])) < 0.01


def test_a_higher_candle_that_is_still_open_does_not_exist() -> None:
    walk = simulate(["BTCUSDT"], 74, seed=1)["BTCUSDT"]
    assert len(resample(walk, 15)) == 4
    assert len(resample(walk[:60], 60)) == 1
    assert len(resample(walk[:59], 60)) == 0


def test_unusable_timeframes_and_candles_are_refused_by_name() -> None:
    walk = simulate(["BTCUSDT"], 200, seed=1)["BTCUSDT"]
    with pytest.raises(CandleError, match="7 minutes"):
        higher_candles(walk, [7])
    with pytest.raises(CandleError, match="900000 ms"):
        higher_candles(resample(walk, 15), [60])
