"""Candles put together for charts: what is lost is detail, never a price."""

import numpy as np
import pytest

from crucible.market.candles import Candles
from crucible.market.simulator import simulate
from crucible.market.timeframes import STEPS_OF_CHARTS, coarser, step_for


@pytest.fixture(scope="module")
def candles() -> Candles:
    """Minutes that begin within an hour, with some that are missing."""
    made = simulate(("BTCUSDT",), minutes=6_000, seed=3)["BTCUSDT"]
    rows = np.r_[37:400, 700:701, 1_900:5_555]
    return Candles(made.symbol, *(getattr(made, name)[rows] for name in ("ts", "open", "high", "low", "close", "volume")))  # fmt: skip


@pytest.mark.parametrize("step", STEPS_OF_CHARTS)
def test_a_longer_candle_is_what_its_minutes_were(candles, step):
    found = coarser(candles, step)
    assert found.timeframe_ms == step * 60_000
    assert (found.ts % found.timeframe_ms == 0).all()
    starts = candles.ts - candles.ts % found.timeframe_ms
    assert found.ts.tolist() == sorted(set(starts.tolist()))
    for row, ts in enumerate(found.ts):
        mine = starts == ts
        assert found.open[row] == candles.open[mine][0]
        assert found.close[row] == candles.close[mine][-1]
        assert found.high[row] == candles.high[mine].max()
        assert found.low[row] == candles.low[mine].min()
        assert found.volume[row] == pytest.approx(candles.volume[mine].sum())


def test_no_candles_stay_none():
    assert len(coarser(Candles.none_of("BTCUSDT"), 60)) == 0


@pytest.mark.parametrize("most", [1, 400, 600])
def test_the_step_is_the_shortest_with_which_a_span_fits(most):
    for minutes in (1, most, most + 1, 5 * most, 15 * most + 1, 1_440 * most):
        step = step_for(minutes, most)
        assert minutes <= step * most
        shorter = [each for each in STEPS_OF_CHARTS if each < step]
        assert all(minutes > each * most for each in shorter)
    assert step_for(10_000 * most, most) == 1_440
