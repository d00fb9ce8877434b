"""What a challenger is credited with in the arena is what the backtest says it would have earned."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.arena.agent import Agent
from crucible.arena.execution import Context, Seat
from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.forge.backtest.engine import Market, backtest
from crucible.ledger.funding_charges import with_settlements
from crucible.market.funding import Funding
from crucible.settings import ArenaSettings, Costs
from crucible.strategies.contract import Exits
from crucible.strategies.exit_reasons import ExitReason
from tests.support.factories import instrument, torn_walk
from tests.support.strategies import Scripted

SCHEMA = FeatureSchema(("regime_change_detected", "volatility_ratio"), {})
INSTRUMENT = instrument()
COSTS = Costs()


@st.composite
def markets(draw):
    count = draw(st.integers(5, 120))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    candles = torn_walk(random, count)
    regime = (random.random(count) < 0.05).astype(float)
    volatility = random.choice([np.nan, 0.3, 0.9, 1.4, 5.0], count)
    frame = FeatureFrame("BTCUSDT", candles.close_ts, np.column_stack([regime, volatility]), SCHEMA)
    signals = random.choice([0, 1, 2], count, p=[0.6, 0.3, 0.1]).astype(np.int8)
    return candles, frame, signals


@settings(max_examples=150, deadline=None)
@given(
    markets(),
    st.floats(0.002, 0.02),
    st.floats(0.002, 0.03),
    st.integers(1, 30),
)
def test_a_challenger_makes_the_same_trades_as_the_backtest(market, stop, target, timeout):
    candles, frame, signals = market
    exits = Exits(stop, target, timeout)
    expected = backtest(signals, Market.of(candles, frame), exits, COSTS).trades
    trades, ended = traded(candles, frame, signals, exits, expected)
    for trade, i in zip(trades, ended, strict=True):
        assert float(trade.entry_price) == pytest.approx(expected.entry_price[i], rel=1e-9)
        assert float(trade.exit_price) == pytest.approx(expected.exit_price[i], rel=1e-9)
        # The backtest pays the entry's fee out of the stake, so its stake is larger by that fee.
        of_stake = expected.net_return[i] * (1 + COSTS.fee)
        assert trade.net_return == pytest.approx(of_stake, abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(
    markets(),
    st.lists(st.tuples(st.integers(0, 200), st.floats(-0.01, 0.01)), min_size=1, max_size=40),
)
def test_a_challenger_is_charged_the_settlements_that_the_backtest_charges(market, settled):
    candles, frame, signals = market
    by_minute = dict(settled)
    minutes = np.array(sorted(by_minute), np.int64)
    rate = np.array([by_minute[int(minute)] for minute in minutes])
    funding = Funding("BTCUSDT", minutes * 60_000, rate)
    exits = Exits(0.006, 0.008, 12)
    free = backtest(signals, Market.of(candles, frame), exits, COSTS).trades
    rates = funding.at(candles.ts)
    paid = backtest(signals, Market.of(candles, frame, rates), exits, COSTS).trades
    trades, ended = traded(candles, frame, signals, exits, free)
    for trade, i in zip(with_settlements(trades, funding), ended, strict=True):
        cost = (free.net_return[i] - paid.net_return[i]) * (1 + COSTS.fee)
        held = (candles.ts > trade.entry_ts) & (candles.ts <= trade.exit_ts)
        # The backtest takes the worth at each open, the challenger's at its entry.
        moved = np.abs(candles.open[held] / float(trade.entry_price) - 1)
        slack = float(np.sum(np.abs(funding_sums(funding, candles.ts))[held] * moved))
        assert float(trade.funding / trade.notional) == pytest.approx(cost, abs=slack + 1e-9)


def funding_sums(funding, opens):
    """Sum what is settled at each open without signs, so that two of them never hide a mistake."""
    return Funding(funding.symbol, funding.ts, np.abs(funding.rate)).at(opens)


def traded(candles, frame, signals, exits, expected):
    """Let a challenger trade; give its trades and the places of the same ones in the backtest."""
    seat = Seat("BTCUSDT-gp-1", "1", "challenger", proven=False, edge=None)
    agent = Agent(seat, Scripted(signals.tolist(), exits, SCHEMA.hash))
    context = Context(INSTRUMENT, COSTS, ArenaSettings(), Decimal(0), Decimal(10_000))
    for row in range(len(candles)):
        agent.decide_and_execute(frame.row(row), candles.candle(row), context)
    # A backtest's last trade may have ended with the candles.
    ended = [i for i in range(len(expected)) if expected.reason[i] != ExitReason.END.code]
    reasons = [ExitReason.of_code(expected.reason[i]) for i in ended]
    assert [trade.reason for trade in agent.trades] == reasons
    return agent.trades, ended
