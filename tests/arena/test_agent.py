"""A production agent asks for one thing at a time, and only for what it may."""

from dataclasses import dataclass, replace
from decimal import Decimal
from unittest.mock import ANY

import numpy as np
import pytest

from crucible.arena.agent import Agent
from crucible.arena.execution import Context, Seat
from crucible.arena.sizing.entry import kelly_fraction, size_entry
from crucible.arena.sizing.multipliers import NO_MULTIPLIERS
from crucible.features.frame import FeatureRow, FeatureSchema
from crucible.ledger.edge import Edge
from crucible.ledger.trades import Fill, Payment
from crucible.market.candles import Candle
from crucible.settings import ArenaSettings, Costs
from crucible.strategies.contract import Exits
from crucible.vm.signals import Signal
from tests.support.factories import fill, instrument

SCHEMA = FeatureSchema(("regime_change_detected", "volatility_ratio"), {})
INSTRUMENT = instrument()
SETTINGS = ArenaSettings()
EXITS = Exits(0.01, 0.02, 60)
CONTEXT = Context(INSTRUMENT, Costs(), SETTINGS, Decimal(0), Decimal(10_000))
CANDLE = Candle(0, 50_000.0, 50_100.0, 49_900.0, 50_000.0, 1.0)


@dataclass
class Always:
    """A strategy with one opinion."""

    signal: Signal
    exits: Exits = EXITS
    symbol: str = "BTCUSDT"
    kind: str = "gp"
    schema_hash: str = SCHEMA.hash

    def decide(self, row):
        return self.signal


def agent(signal: Signal, *, role="production", proven=False, edge=None) -> Agent:
    return Agent(Seat("BTCUSDT-gp-1", "3", role, proven, edge), Always(signal))


def row(regime=0.0, volatility=1.0) -> FeatureRow:
    return FeatureRow("BTCUSDT", 60_000, np.array([regime, volatility]), SCHEMA)


def filled(side="buy", price="50000") -> Fill:
    seat = {"agent": "BTCUSDT-gp-1@3", "version": "3", "exec_ts": 60_500, "reason": "entry"}
    return fill(1, side, "0.004", price, "0.11", **seat)


def test_an_entry_carries_its_protection_on_the_venues_grid():
    decision = agent(Signal.BUY).decide_and_execute(row(), CANDLE, CONTEXT)
    intent = decision.intent
    assert (intent.side, intent.reduce_only, intent.reason) == ("buy", False, "entry")
    assert intent.qty == Decimal("0.004")  # 2% of 10,000 at 50,000
    assert (intent.stop, intent.take_profit) == (Decimal("49500.0"), Decimal("51000.0"))
    assert intent.deadline_ts == 60_000 + 60 * 60_000


def test_the_timeout_of_an_entry_adapts_to_volatility():
    intent = agent(Signal.BUY).decide_and_execute(row(volatility=2.0), CANDLE, CONTEXT).intent
    assert intent.deadline_ts == 60_000 + 30 * 60_000


def test_nothing_is_asked_for_while_an_intent_is_in_flight():
    waiting = agent(Signal.BUY)
    waiting.execution.in_flight = "i1"
    assert waiting.decide_and_execute(row(), CANDLE, CONTEXT).intent is None
    holder = agent(Signal.EXIT)
    holder.apply_fill(filled())
    holder.execution.in_flight = "i2"
    assert holder.decide_and_execute(row(), CANDLE, CONTEXT).intent is None


def test_a_held_position_is_never_added_to():
    holder = agent(Signal.BUY)
    holder.apply_fill(filled())
    assert holder.decide_and_execute(row(), CANDLE, CONTEXT).intent is None


@pytest.mark.parametrize(
    ("signal", "regime", "role", "reason"),
    [
        (Signal.EXIT, 0.0, "production", "exit"),
        (Signal.HOLD, 1.0, "production", "regime_change"),
        (Signal.BUY, 0.0, "draining", "retired"),
    ],
)
def test_a_position_is_left_whole_and_reduce_only(signal, regime, role, reason):
    holder = agent(signal, role=role)
    holder.apply_fill(filled())
    intent = holder.decide_and_execute(row(regime), CANDLE, CONTEXT).intent
    assert (intent.side, intent.qty, intent.reduce_only) == ("sell", Decimal("0.004"), True)
    assert intent.reason == reason


def test_a_regime_change_never_opens_a_position():
    assert agent(Signal.BUY).decide_and_execute(row(regime=1.0), CANDLE, CONTEXT).intent is None


def test_a_draining_agent_never_opens_a_position():
    draining = agent(Signal.BUY, role="draining")
    assert draining.decide_and_execute(row(), CANDLE, CONTEXT).intent is None


def test_nothing_is_asked_for_while_catching_up_on_history():
    context = replace(CONTEXT, act=False)
    assert agent(Signal.BUY).decide_and_execute(row(), CANDLE, context).intent is None


def test_where_nothing_may_be_opened_it_is_said_and_a_position_is_left_all_the_same():
    context = replace(CONTEXT, no_entries="the ledger cannot be written: disk full")
    decision = agent(Signal.BUY).decide_and_execute(row(), CANDLE, context)
    assert (decision.action, decision.reason) == ("skip", context.no_entries)
    assert decision.intent is None
    holder = agent(Signal.EXIT)
    holder.apply_fill(filled())
    intent = holder.decide_and_execute(row(), CANDLE, context).intent
    assert (intent.side, intent.reduce_only) == ("sell", True)
    shadow = agent(Signal.BUY, role="challenger")
    assert shadow.decide_and_execute(row(), CANDLE, context).action == "buy"


def test_the_portfolio_limit_stops_an_entry_and_says_so():
    context = replace(CONTEXT, gross=Decimal(4_900))
    decision = agent(Signal.BUY).decide_and_execute(row(), CANDLE, context)
    assert decision.intent is None
    assert "gross limit" in decision.reason


def test_a_challenger_sends_no_intent_and_fills_at_the_next_open():
    shadow = agent(Signal.BUY, role="challenger")
    first = shadow.decide_and_execute(row(), CANDLE, CONTEXT)
    assert first.intent is None
    assert first.shadow_fills == ()
    later = Candle(60_000, 50_200.0, 50_300.0, 50_100.0, 50_250.0, 1.0)
    second = shadow.decide_and_execute(row(), later, CONTEXT)
    assert second.intent is None
    assert [f.price for f in second.shadow_fills] == [Decimal("50205.02000000")]


def test_a_challengers_state_survives_a_restart():
    shadow = agent(Signal.BUY, role="challenger")
    shadow.decide_and_execute(row(), CANDLE, CONTEXT)
    restarted = agent(Signal.BUY, role="challenger")
    restarted.execution.restore(shadow.execution.state())
    later = Candle(60_000, 50_200.0, 50_300.0, 50_100.0, 50_250.0, 1.0)
    one = shadow.decide_and_execute(row(), later, CONTEXT)
    two = restarted.decide_and_execute(row(), later, CONTEXT)
    assert one.shadow_fills == two.shadow_fills


def test_kelly_is_zero_for_a_fair_coin_and_grows_with_the_edge():
    assert kelly_fraction(Edge(100, 0.5, 1.0)) == 0.0
    assert kelly_fraction(Edge(100, 0.6, 1.0)) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("edge", "proven", "qty"),
    [
        (Edge(100, 0.6, 1.0), True, "0.010"),  # a quarter of 20% is 5% of 10,000
        (Edge(100, 0.9, 3.0), True, "0.020"),  # capped at 10%
        (Edge(100, 0.4, 1.0), True, "0"),  # no edge, no money
        (Edge(100, 0.4, 1.0), False, "0.004"),  # explored on paper
        (None, True, "0"),
    ],
)
def test_sizes_follow_the_measured_edge(edge, proven, qty):
    equity, price = Decimal(10_000), Decimal(50_000)
    size = size_entry(edge, equity, price, INSTRUMENT, SETTINGS, NO_MULTIPLIERS, proven=proven)
    assert size.qty == Decimal(qty)
    assert size.reason


@pytest.mark.parametrize(
    ("proven_by", "qty"), [("forged", None), ("lived", "0.004"), ("forged and lived", None)]
)
def test_what_only_its_life_proved_is_explored_where_the_forge_found_no_edge(proven_by, qty):
    trader = agent(Signal.BUY, proven=True, edge=Edge(100, 0.4, 1.0))
    trader.seat = replace(trader.seat, proven_by=proven_by)
    intent = trader.decide_and_execute(row(), CANDLE, CONTEXT).intent
    assert (None if intent is None else str(intent.qty)) == qty


def test_an_edge_is_measured_after_what_holding_cost():
    trader = agent(Signal.HOLD)
    for number in range(20):
        at = 1_000_000 * number
        for side, price, ts in (("buy", "50000", at), ("sell", "50400", at + 500_000)):
            trader.apply_fill(replace(filled(side, price=price), exec_ts=ts))
        trader.edge()
        if number % 2:
            # 1.6 earned, 0.22 of fees, and more than what is left.
            trader.pay(Payment(trader.name, "BTCUSDT", at + 400_000, Decimal("1.5")))
        winners = number + 1 - (number + 1) // 2
        if number >= 9:  # known anew after every trade and every payment
            assert trader.edge() == Edge(number + 1, winners / (number + 1), ANY)
    assert trader.cash == 20 * Decimal("1.38") - 10 * Decimal("1.5")


def test_a_size_below_the_venues_minimum_is_not_traded():
    equity, price = Decimal(100), Decimal(50_000)
    size = size_entry(None, equity, price, INSTRUMENT, SETTINGS, NO_MULTIPLIERS, proven=False)
    assert size.qty == 0
    assert "minimum" in size.reason
