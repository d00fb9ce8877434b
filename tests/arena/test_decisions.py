"""Everybody decides on its own account, and what one wants counts for the next."""

from dataclasses import dataclass
from decimal import Decimal
from random import Random

import numpy as np
import pytest

from crucible.arena.agent import Agent
from crucible.arena.alignment import Minute
from crucible.arena.decisions import Deciders, book
from crucible.arena.execution import Seat
from crucible.arena.orders_in_flight import OrdersInFlight
from crucible.features.frame import FeatureRow, FeatureSchema
from crucible.ledger.ledger import Ledger
from crucible.ledger.parity import Stretch
from crucible.market.candles import Candle
from crucible.market.instruments import Instrument
from crucible.settings import Settings
from crucible.strategies.contract import Exits
from crucible.vm.signals import Signal

SCHEMA = FeatureSchema(("regime_change_detected", "volatility_ratio"), {})
SYMBOLS = ("BTCUSDT", "ETHUSDT")
EXITS = Exits(0.01, 0.02, 60)
MINUTE = Minute(60_000, {symbol: Candle(0, 100.0, 101.0, 99.0, 100.0, 1.0) for symbol in SYMBOLS})
ROWS = {symbol: FeatureRow(symbol, 60_000, np.array([0.0, 1.0]), SCHEMA) for symbol in SYMBOLS}


@dataclass
class Buyer:
    """Always buys, or fails."""

    symbol: str
    fails: Exception | None = None
    kind: str = "gp"
    schema_hash: str = SCHEMA.hash
    exits: Exits = EXITS
    asked: int = 0

    def decide(self, row):
        self.asked += 1
        if self.fails:
            raise self.fails
        return Signal.BUY


def agent(
    slot: str, symbol: str, role: str = "production", *, fails: Exception | None = None
) -> Agent:
    return Agent(Seat(slot, "1", role, proven=False, edge=None), Buyer(symbol, fails))


@pytest.fixture
def deciders():
    def make(*agents: Agent, **arena: object) -> Deciders:
        limits = {"exploration_fraction": 0.1, "max_position_fraction": 0.1} | arena
        steps = [Decimal(text) for text in ("0.01", "0.001", "0.001", "1")]
        return Deciders(
            {one.name: one for one in agents},
            OrdersInFlight(60_000, Random(1)),
            {symbol: Instrument(symbol, *steps) for symbol in SYMBOLS},
            Settings(arena=limits),
            lambda one, error: setattr(one, "quarantined", f"{type(error).__name__}: {error}"),
        )

    return make


def test_only_agents_of_the_mode_asked_for_decide_and_only_where_there_is_a_row(deciders):
    made = deciders(
        agent("a", "BTCUSDT"), agent("b", "ETHUSDT"), agent("c", "BTCUSDT", "challenger")
    )
    rows = {"BTCUSDT": ROWS["BTCUSDT"]}
    live = made.decisions("live", rows, MINUTE, act=True)
    assert [one.seat.slot for one, _ in live] == ["a"]
    shadow = made.decisions("shadow", rows, MINUTE, act=True)
    assert [one.seat.slot for one, _ in shadow] == ["c"]
    assert all(decision.intent is None for _, decision in shadow)


@pytest.mark.parametrize(
    "error",
    [ValueError("out of order"), KeyError("x"), RecursionError(), MemoryError(), TypeError("no")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("mode", ["live", "shadow"])
def test_one_that_raises_is_told_of_once_and_keeps_nobody(deciders, error, mode):
    role = "production" if mode == "live" else "challenger"
    broken, sound = agent("a", "BTCUSDT", role, fails=error), agent("b", "BTCUSDT", role)
    made = deciders(broken, sound)
    for _ in range(2):
        found = made.decisions(mode, ROWS, MINUTE, act=True)
        assert [one for one, _ in found] == [sound]
    assert found[0][1].action == "buy"
    assert broken.quarantined.startswith(type(error).__name__)
    assert broken.strategy.asked == 1


def test_entries_of_one_minute_stay_together_within_the_portfolios_limit(deciders):
    agents = [agent(slot, symbol) for slot, symbol in zip("abcd", SYMBOLS * 2, strict=True)]
    # Each wants a tenth of its own capital: two of four fill 5% of everybody's.
    found = deciders(*agents, max_gross_fraction=0.05).decisions("live", ROWS, MINUTE, act=True)
    assert [decision.intent is not None for _, decision in found] == [True, True, False, False]
    assert found[2][1].reason == "the portfolio's gross limit is reached"


@pytest.mark.parametrize("role", ["production", "challenger"])
def test_of_a_production_agent_it_is_on_record_that_it_decided_and_what_it_left_out_and_why(
    deciders, tmp_path, role
):
    one = agent("a", "BTCUSDT", role)
    one.execution.in_flight = "0192"
    mode = "live" if role == "production" else "shadow"
    [(_, decision)] = deciders(one).decisions(mode, ROWS, MINUTE, act=True)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        book(ledger, one, decision)
        kept, attended = ledger.decisions("a@1"), ledger.attendance(0, 10**9)
    if role == "challenger":
        assert ([row["action"] for row in kept], attended) == (["buy"], {})
        return
    assert attended == {"a@1": [Stretch(60_000, 60_000, holds=False)]}
    [row] = kept
    # The intent in flight is an earlier decision's: its outcome must not become this one's.
    assert (row["action"], row["reason"], row["intent_id"]) == ("skip", "waiting for 0192", None)


def test_what_an_agent_decides_without_seeing_or_acting_is_not_called_attended(deciders, tmp_path):
    one = agent("a", "BTCUSDT", "production")
    [(_, decision)] = deciders(one).decisions("live", ROWS, MINUTE, act=False)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        book(ledger, one, decision, attended=False)
        assert ledger.attendance(0, 10**9) == {}
        assert [row["action"] for row in ledger.decisions("a@1")] == ["skip"]
