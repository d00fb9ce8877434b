"""The sized figures of a backtest have the sizes that an agent really gave the same trades."""

from decimal import Decimal

import numpy as np
import pytest

from crucible.arena.agent import Agent
from crucible.arena.execution import Context, Seat
from crucible.arena.sizing.of_backtest import sized
from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.forge.backtest.engine import Market, backtest
from crucible.settings import ArenaSettings, Costs
from crucible.strategies.contract import Exits
from tests.support.factories import instrument, torn_walk
from tests.support.strategies import Scripted

NAMES = ("regime_change_detected", "volatility_ratio", "radar_distance", "radar_age")
NAMES += ("influence_in", "influence_age", "mce_skew", "mce_pressure", "mce_tier")
SCHEMA = FeatureSchema(NAMES, {"settings": {"books": False}, "influence": "trained"})
INSTRUMENT = instrument("0.00000001", "1")
EXITS = Exits(0.006, 0.008, 12)


def market(seed, count=1_500):
    random = np.random.default_rng(seed)
    candles = torn_walk(random, count, 0.0004)
    columns = [
        (random.random(count) < 0.02).astype(float),
        np.ones(count),
        random.choice([0.5, 2.0, 3.0, 9.0, np.nan], count),
        np.full(count, 2.0),
        random.normal(0, 0.2, count),
        np.full(count, 3.0),
        np.full(count, np.nan),
        random.choice([-0.9, -0.2, 0.3, np.nan], count),
        np.ones(count),
    ]
    frame = FeatureFrame("BTCUSDT", candles.close_ts, np.column_stack(columns), SCHEMA)
    return candles, frame, random.choice([0, 1, 2], count, p=[0.6, 0.3, 0.1]).astype(np.int8)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_backtest_sizes_each_trade_as_the_agent_did(seed):
    candles, frame, signals = market(seed)
    trades = backtest(signals, Market.of(candles, frame), EXITS, Costs()).trades.rows()
    reported = sized(trades, frame, EXITS.stop, ArenaSettings())
    seat = Seat("BTCUSDT-gp-1", "1", "challenger", proven=False, edge=None)
    agent = Agent(seat, Scripted(signals.tolist(), EXITS, SCHEMA.hash))
    context = Context(INSTRUMENT, Costs(), ArenaSettings(), Decimal(0), Decimal(10_000))
    sizes = []
    for row in range(len(candles)):
        found = agent.decide_and_execute(frame.row(row), candles.candle(row), context)
        if found.action == "buy":
            sizes.append(found.size)
    # The backtest sells what is open at the end; the agent may have decided one entry more.
    assert len(trades) > 50
    assert len(sizes) - len(trades) in {0, 1}
    for row, size in zip(reported["trades"], sizes, strict=False):
        # An agent's return is of its stake, the backtest's of the stake and the entry's fee.
        assert row["fraction"] == pytest.approx(size.fraction, rel=2e-3)
        assert row["multipliers"] == size.multipliers.to_json()
    assert len({row["fraction"] for row in reported["trades"]}) > 10
    assert reported["entries"] == len(trades)
    equity = np.prod(
        [
            1 + r["fraction"] * t["net_return"]
            for r, t in zip(reported["trades"], trades, strict=False)
        ]
    )
    assert reported["net_return"] == pytest.approx(equity - 1)
