"""A production agent trading candles by the arena's own code, on a venue that fills as the backtest does."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np

from crucible.arena.agent import Agent
from crucible.arena.alignment import Minute
from crucible.arena.decisions import Deciders, book
from crucible.arena.execution import IntentWanted, Seat
from crucible.arena.orders_in_flight import OrdersInFlight
from crucible.execution.messages import ErrorReply
from crucible.features.frame import FeatureFrame
from crucible.ledger.ledger import Ledger
from crucible.market.candles import Candle, Candles
from crucible.market.instruments import Instrument
from crucible.settings import Settings
from crucible.strategies.contract import Strategy
from tests.support.factories import agent_row, fill_event

FINE = Decimal("1e-8")


@dataclass
class Troubles:
    """What keeps an agent from deciding, or its orders from being filled; shares of minutes."""

    away: float = 0.0
    catching_up: float = 0.0
    shut: float = 0.0
    without_size: float = 0.0
    rejected: float = 0.0


@dataclass
class LiveTrading:
    """One agent, its ledger, and a venue.

    Parameters
    ----------
    ledger : Ledger
    name : str
        ``SLOT@VERSION``.
    strategy : Strategy
    worse : float
        By how much more than the modelled slippage every order is filled, as a fraction.
    """

    ledger: Ledger
    name: str
    strategy: Strategy
    troubles: Troubles = field(default_factory=Troubles)
    worse: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        slot, _, version = self.name.partition("@")
        self.agent = Agent(
            Seat(slot, version, "production", proven=False, edge=None), self.strategy
        )
        self.random = np.random.default_rng(self.seed)
        self.settings = Settings(arena={"max_gross_fraction": 5.0})
        symbol = self.strategy.symbol
        self.instruments = {symbol: Instrument(symbol, FINE, FINE, FINE, Decimal(0))}
        self.orders = OrdersInFlight(60_000, Random(self.seed))
        self.ordered: IntentWanted | None = None
        self.guard: IntentWanted | None = None

    def seat(self, since_ts: int = 0) -> None:
        """Enter the agent into the ledger."""
        symbol = self.strategy.symbol
        self.ledger.seat(agent_row(self.name, symbol=symbol, since_ts=since_ts))

    def trade(self, candles: Candles, frame: FeatureFrame) -> None:
        """Trade candles, the features of each at its close."""
        for row in range(len(candles)):
            candle = candles.candle(row)
            self._open(candle)
            self._within(candle)
            if self.random.random() >= self.troubles.away:
                self._decide(candle, frame, row)

    def _happens(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def _decide(self, candle: Candle, frame: FeatureFrame, row: int) -> None:
        agent, symbol = self.agent, self.strategy.symbol
        agent.seat = Seat(
            agent.seat.slot, agent.seat.version, "production",
            proven=self._happens(self.troubles.without_size), edge=None,
        )  # fmt: skip

        def failed(_: Agent, error: Exception) -> None:
            raise error

        deciders = Deciders(
            {agent.name: agent}, self.orders, self.instruments, self.settings, failed
        )
        [(_, decision)] = deciders.decisions(
            "live",
            {symbol: frame.row(row)},
            Minute(int(frame.ts[row]), {symbol: candle}),
            act=not self._happens(self.troubles.catching_up),
            no_entries="the ledger cannot be written" if self._happens(self.troubles.shut) else "",
        )
        if decision.intent is not None:
            self.orders.submit(agent, decision.intent, decision.ts, "r", 0.0)
            self.ordered = decision.intent
        book(self.ledger, agent, decision)
        if self.ordered is not None and self._happens(self.troubles.rejected):
            reply = ErrorReply(request_id="r", ts=decision.ts, code="risk_limit", text="too much 7")
            intent_id, problem = self.orders.answered(reply, {agent.name: agent})
            self.ledger.book_outcome(str(intent_id), str(problem))
            self.ordered = None

    def _open(self, candle: Candle) -> None:
        """Fill what was ordered at the last close, or what has reached its deadline."""
        intent, self.ordered = self.ordered, None
        if intent is not None:
            intent_id = self.agent.execution.in_flight
            self.orders.withdraw(self.agent)
            if intent.side == "buy":
                self._fill("buy", intent.qty, candle.open, candle.ts, "entry", intent_id)
                self.guard = intent
            elif self.agent.book.qty:
                self._sell(candle.open, candle.ts, intent.reason, intent_id)
        elif self.guard is not None and candle.ts >= (self.guard.deadline_ts or 0):
            self._sell(candle.open, candle.ts, "deadline")

    def _within(self, candle: Candle) -> None:
        """Close at a stop or a target, as Cerebellum does."""
        if self.guard is None:
            return
        stop, target = float(self.guard.stop or 0), float(self.guard.take_profit or 0)
        if candle.low <= stop:
            self._sell(min(candle.open, stop), candle.ts + 30_000, "stop")
        elif candle.high >= target:
            self._sell(max(candle.open, target), candle.ts + 30_000, "take_profit")

    def _sell(self, price: float, ts: int, reason: str, intent_id: str | None = None) -> None:
        self.guard = None
        self._fill("sell", self.agent.book.qty, price, ts, reason, intent_id or f"own {ts}")

    def _fill(
        self, side: str, qty: Decimal, price: float, ts: int, reason: str, intent_id: Any
    ) -> None:
        slip = self.settings.forge.costs.slippage * self.random.uniform(-1, 1) + self.worse
        paid = price * (1 + slip if side == "buy" else 1 - slip)
        seq = self.ledger.last_seq() + 1
        event = fill_event(
            seq, f"e{seq}", agent=self.name, symbol=self.strategy.symbol, side=side,
            qty=str(qty), price=f"{paid:.10f}", fee="0", exec_ts=ts, reason=reason,
            intent_id=str(intent_id),
        )  # fmt: skip
        fill = self.ledger.book_event(event)
        assert fill is not None
        self.ledger.book_outcome(str(intent_id), "filled")
        self.agent.apply_fill(fill)
