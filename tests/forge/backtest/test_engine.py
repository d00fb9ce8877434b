from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.forge.backtest.engine import Accounts, ForgeError, Market, backtest
from crucible.forge.backtest.population import FeatureTable, evaluate_programs
from crucible.market.candles import Candles
from crucible.settings import MINUTE_MS, Costs
from crucible.strategies.contract import Exits
from crucible.strategies.exit_reasons import ExitReason
from crucible.testing.reference_backtest import reference_trades
from crucible.vm.program import parse_program

COSTS = Costs(fee=0.001, slippage=0.0005)


def market_of(closes, *, opens=None, highs=None, lows=None, regime=None, pace=None, minutes=None):
    closes = np.asarray(closes, dtype=np.float64)
    opens = closes if opens is None else np.asarray(opens, dtype=np.float64)
    highs = np.maximum(opens, closes) if highs is None else np.asarray(highs, dtype=np.float64)
    lows = np.minimum(opens, closes) if lows is None else np.asarray(lows, dtype=np.float64)
    minutes = np.arange(len(closes)) if minutes is None else np.asarray(minutes)
    ts = minutes.astype(np.int64) * MINUTE_MS
    candles = Candles("XUSDT", ts, opens, highs, lows, closes, np.ones(len(closes)))
    regime = np.zeros(len(closes)) if regime is None else regime
    pace = np.ones(len(closes)) if pace is None else pace
    schema = FeatureSchema(("regime_change_detected", "volatility_ratio"), {})
    values = np.column_stack([regime, pace]).astype(np.float64)
    return Market.of(candles, FeatureFrame("XUSDT", candles.close_ts, values, schema))


@st.composite
def cases(draw):
    count = draw(st.integers(1, 60))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    wild = draw(st.sampled_from((0.001, 0.01, 0.05)))
    closes = 100 * np.exp(np.cumsum(generator.normal(0, wild, count)))
    opens = np.r_[100, closes[:-1]] * np.exp(generator.normal(0, wild, count))
    highs = np.maximum(opens, closes) * (1 + abs(generator.normal(0, wild, count)))
    lows = np.minimum(opens, closes) * (1 - np.minimum(0.5, abs(generator.normal(0, wild, count))))
    market = market_of(
        closes,
        opens=opens,
        highs=highs,
        lows=lows,
        regime=generator.random(count) < draw(st.sampled_from((0, 0.1))),
        pace=generator.choice([np.nan, -1, 0.1, 0.7, 1, 1.9, 5], count),
        minutes=np.cumsum(generator.choice([1, 1, 1, 7, 900], count)),
    )
    exits = Exits(
        draw(st.sampled_from((0.0001, 0.003, 0.02, 0.5))),
        draw(st.sampled_from((0.0001, 0.003, 0.02, 0.5))),
        draw(st.integers(1, 20)),
    )
    costs = Costs(fee=draw(st.sampled_from((0, 0.001))), slippage=draw(st.sampled_from((0, 0.002))))
    weights = draw(st.sampled_from(((0.5, 0.3, 0.2), (0.1, 0.8, 0.1), (0.9, 0.05, 0.05))))
    signals = generator.choice(np.array([0, 1, 2], dtype=np.int8), count, p=weights)
    if draw(st.booleans()):
        funding = generator.choice([0, np.nan, 0.01, -0.02], count, p=(0.7, 0.1, 0.1, 0.1))
        market = replace(market, funding=funding)
    return signals, market, exits, costs, draw(st.booleans())


def reference_of(case):
    signals, market, exits, costs, short = case
    return reference_trades(
        signals.tolist(),
        market.candles,
        market.regime.tolist(),
        market.volatility.tolist(),
        exits,
        costs,
        None if market.funding is None else market.funding.tolist(),
        short=short,
    )


@settings(max_examples=2_000, deadline=None)
@given(cases())
def test_the_kernel_trades_as_the_plain_description_says(case):
    signals, market, exits, costs, short = case
    found = backtest(signals, market, exits, costs, short=short)
    trades, equity = reference_of(case)
    ts = market.candles.ts
    assert found.trades.entry_ts.tolist() == [ts[t[0]] for t in trades]
    assert found.trades.exit_ts.tolist() == [ts[t[2]] for t in trades]
    assert [ExitReason.of_code(r) for r in found.trades.reason] == [t[4] for t in trades]
    assert found.trades.entry_price.tolist() == [t[1] for t in trades]
    assert found.trades.exit_price.tolist() == [t[3] for t in trades]
    assert found.trades.net_return.tolist() == [t[5] for t in trades]
    assert found.equity.tolist() == equity


@settings(max_examples=500, deadline=None)
@given(cases(), st.integers(1, 70))
def test_a_population_earns_as_the_plain_description_says(case, block):
    signals, market, exits, costs, short = case
    trades, equity = reference_of(case)
    # Two features that say the signals, read by a program and by another that never buys.
    schema = FeatureSchema(("buy", "leave"), {})
    values = np.column_stack([signals == 1, signals == 2]).astype(np.float64)
    table = FeatureTable(FeatureFrame("XUSDT", market.candles.close_ts, values, schema))
    said = parse_program(["trade", ["gt", "buy", 0.5], ["gt", "leave", 0.5]])
    silent = parse_program(["trade", ["gt", 0, 1], ["gt", "buy", 0.5]])
    found = evaluate_programs(
        [silent, said, said],
        [exits] * 3,
        table,
        market,
        costs,
        slice(0, len(market)),
        block=block,
        threads=2,
        short=short,
    )
    peak = np.maximum.accumulate([1.0, *equity])[1:]
    last = np.flatnonzero(np.r_[np.diff(market.day) != 0, True])
    for index in (1, 2):
        assert found.trades[index] == len(trades)
        assert found.wins[index] == sum(t[5] > 0 for t in trades)
        assert found.net_return[index] == equity[-1] - 1
        assert found.drawdown[index] == max(0.0, (1 - np.array(equity) / peak).max())
        held = sum(t[2] - t[0] for t in trades)
        assert found.exposure[index] == held / len(market)
        marks = np.cumprod(1 + found.daily[index])
        np.testing.assert_allclose(marks, np.array(equity)[last], rtol=1e-12)
    assert found.trades[0] == 0


@settings(max_examples=50, deadline=None)
@given(cases(), st.integers(1, 17))
def test_trading_in_chunks_changes_nothing(case, chunk):
    signals, market, exits, costs, short = case
    whole = Accounts.fresh([exits], market, 0, len(market), short=short)
    whole.trade(market, signals[None], 0, costs)
    parts = Accounts.fresh([exits], market, 0, len(market), short=short)
    for start in range(0, len(market), chunk):
        parts.trade(market, signals[None, start : start + chunk], start, costs)
    np.testing.assert_array_equal(whole.state, parts.state)
    np.testing.assert_array_equal(whole.daily, parts.daily)


def test_a_signal_fills_at_the_next_open_with_slippage():
    market = market_of([10, 10, 10, 12], opens=[10, 10, 11, 12])
    test = backtest(np.array([1, 0, 2, 0], np.int8), market, Exits(0.5, 1, 99), COSTS)
    assert test.trades.entry_price[0] == 10 * 1.0005
    assert test.trades.exit_price[0] == 12 * (1 - 0.0005)
    assert test.trades.rows()[0]["reason"] == "exit"


def test_the_stop_comes_first_when_one_candle_touches_both():
    market = market_of([100, 100, 100], highs=[100, 110, 100], lows=[100, 90, 100])
    test = backtest(
        np.array([1, 0, 0], np.int8), market, Exits(0.05, 0.05, 99), Costs(fee=0, slippage=0)
    )
    assert test.trades.rows()[0]["reason"] == "stop"
    assert test.trades.exit_price[0] == 95


def test_a_gap_through_the_stop_fills_at_the_open():
    market = market_of([100, 100, 80], opens=[100, 100, 80])
    test = backtest(
        np.array([1, 0, 0], np.int8), market, Exits(0.05, 0.5, 99), Costs(fee=0, slippage=0)
    )
    assert test.trades.exit_price[0] == 80


def test_a_decision_before_missing_minutes_fills_at_the_next_existing_open():
    market = market_of([100, 105, 106], opens=[100, 104, 106], minutes=[0, 500, 501])
    test = backtest(
        np.array([1, 0, 0], np.int8), market, Exits(0.5, 0.5, 99), Costs(fee=0, slippage=0)
    )
    assert test.trades.entry_ts[0] == 500 * MINUTE_MS
    assert test.trades.entry_price[0] == 104


def test_a_position_leaves_at_the_open_after_a_regime_change_and_none_begins_at_it():
    market = market_of([100] * 6, regime=[0, 0, 1, 0, 0, 0])
    test = backtest(np.ones(6, np.int8), market, Exits(0.5, 0.5, 99), COSTS)
    assert test.trades.rows()[0]["reason"] == "regime_change"
    assert test.trades.exit_ts[0] == 3 * MINUTE_MS
    assert test.trades.entry_ts[1] == 4 * MINUTE_MS


def test_the_timeout_adapts_to_volatility_at_the_decision():
    exits = Exits(0.5, 0.5, 4)
    for pace, held in ((1.0, 4), (2.0, 2), (0.5, 8), (np.nan, 4)):
        market = market_of([100] * 20, pace=[pace, *[1.0] * 19])
        test = backtest(np.array([1] + [0] * 19, np.int8), market, exits, COSTS)
        assert test.trades.exit_ts[0] - test.trades.entry_ts[0] == held * MINUTE_MS


def test_a_span_is_flat_at_both_ends():
    market = market_of([100] * 10)
    test = backtest(np.ones(10, np.int8), market, Exits(0.5, 0.5, 99), COSTS, slice(3, 7))
    assert test.trades.entry_ts.tolist() == [4 * MINUTE_MS]
    assert test.trades.exit_ts.tolist() == [6 * MINUTE_MS]
    assert test.trades.rows()[0]["reason"] == "end"


def test_fees_are_paid_on_both_sides():
    market = market_of([100] * 4)
    test = backtest(
        np.array([1, 2, 0, 0], np.int8), market, Exits(0.5, 0.5, 9), Costs(fee=0.01, slippage=0)
    )
    assert test.equity[-1] == pytest.approx(0.99 / 1.01, abs=0)


def test_funding_is_paid_by_whoever_holds_over_the_open():
    funding = np.array([0.1, 0.1, 0.01, np.nan, 0.1])
    market = replace(market_of([100] * 5), funding=funding)
    free = Costs(fee=0, slippage=0)
    signals = np.array([1, 0, 2, 0, 0], np.int8)
    long = backtest(signals, market, Exits(0.5, 0.5, 9), free)
    assert long.trades.net_return.tolist() == [pytest.approx(-0.01)]
    short = backtest(signals, market, Exits(0.5, 0.5, 9), free, short=True)
    assert short.trades.net_return[0] == pytest.approx(0.01)


def test_a_short_position_earns_when_the_price_falls_and_stops_above():
    free = Costs(fee=0, slippage=0)
    market = market_of([100, 100, 90, 90])
    test = backtest(np.array([1, 0, 2, 0], np.int8), market, Exits(0.5, 0.5, 9), free, short=True)
    assert test.trades.net_return[0] == pytest.approx(0.1)
    market = market_of([100, 100, 120], opens=[100, 100, 120])
    test = backtest(np.array([1, 0, 0], np.int8), market, Exits(0.05, 0.5, 9), free, short=True)
    assert test.trades.rows()[0]["reason"] == "stop"
    assert test.trades.exit_price[0] == 120


def test_rows_that_do_not_match_are_refused_by_name():
    market = market_of([100] * 4)
    frame = FeatureFrame("XUSDT", market.candles.ts, np.zeros((4, 1)), FeatureSchema(("x",), {}))
    with pytest.raises(ForgeError, match="do not belong to the 4 candles"):
        Market.of(market.candles, frame)
    with pytest.raises(ForgeError, match="regime_change_detected"):
        Market.of(market.candles, replace(frame, ts=market.candles.close_ts))
    with pytest.raises(ForgeError, match="3 signals for 4 candles"):
        backtest(np.zeros(3, np.int8), market, Exits(0.1, 0.1, 9), COSTS)
