"""Conduct: what an agent did at the venue, and what the backtest of its strategy says of the same candles.

Values only; `crucible.watchtower.parity` compares them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from crucible.ledger.parity import ParityDay, Stretch
from crucible.ledger.trades import ZERO, Fill
from crucible.market.candles import Candles, Floats
from crucible.settings import MINUTE_MS
from crucible.strategies.contract import Exits
from crucible.strategies.exit_reasons import ExitReason
from crucible.text import moment
from crucible.vm.signals import Signal, Signals

SHOWN = 5
"""Disagreements that are kept as sentences."""


@dataclass(frozen=True, eq=False)
class Expected:
    """What the backtest of a strategy heeds, row by row.

    Attributes
    ----------
    candles : Candles
        n candles; they may begin before the minutes that are compared.
    signals : ndarray of int8, shape (n,)
        Of the strategy at each close.
    regime : ndarray of bool, shape (n,)
        Whether a change of regime shows at a close.
    volatility : ndarray of float64, shape (n,)
        Short over long volatility at a close; NaN where unknown.
    exits : Exits
    slippage : float
        Of one side, as the backtest models it, as a fraction.
    """

    candles: Candles
    signals: Signals
    regime: npt.NDArray[np.bool_]
    volatility: Floats
    exits: Exits
    slippage: float

    def closed_at(self, ts: int) -> int | None:
        """Find the row of the candle that closed at an instant; None where there is none."""
        return self.within(ts - MINUTE_MS) if ts % MINUTE_MS == 0 else None

    def within(self, ts: int) -> int | None:
        """Find the row of the candle in whose minute an instant lies; None where there is none."""
        row = int(np.searchsorted(self.candles.ts, ts, side="right")) - 1
        return row if row >= 0 and ts < int(self.candles.ts[row]) + MINUTE_MS else None

    def wants(self, row: int, *, holds: bool) -> str:
        """Give what the backtest decides at a close: ``buy``, the reason to leave, or nothing."""
        regime, signal = bool(self.regime[row]), self.signals[row]
        if not holds:
            return "buy" if signal == Signal.BUY and not regime else ""
        if regime:
            return ExitReason.REGIME_CHANGE
        return ExitReason.SIGNAL if signal == Signal.EXIT else ""

    def tick(self) -> float:
        """Measure the smallest step between two closes: the venue's tick, as far as candles show it."""
        steps = np.diff(np.unique(self.candles.close))
        return float(steps.min()) if len(steps) else 0.0


@dataclass(frozen=True, slots=True)
class Conduct:
    """What the ledger knows of an agent at the venue.

    Attributes
    ----------
    decisions : sequence of mapping
        Rows of `LedgerReader.decisions`.
    fills : sequence of Fill
        All of them at the venue, in execution order, from its first position on.
    attendance : sequence of Stretch
        Minutes at whose closes it decided.
    """

    decisions: Sequence[Mapping[str, Any]]
    fills: Sequence[Fill]
    attendance: Sequence[Stretch]

    def attended(self, from_ts: int, until_ts: int) -> dict[int, bool]:
        """Give each close of ``[from_ts, until_ts)`` at which it decided, and whether it held a position."""
        found = {}
        for stretch in self.attendance:
            first = max(stretch.first_ts, -(-from_ts // MINUTE_MS) * MINUTE_MS)
            last = min(stretch.last_ts, until_ts - 1)
            found.update(dict.fromkeys(range(first, last + 1, MINUTE_MS), stretch.holds))
        return found

    def by_intent(self) -> dict[str, list[Fill]]:
        """Give the fills of each intent."""
        found: dict[str, list[Fill]] = {}
        for fill in self.fills:
            found.setdefault(fill.intent_id, []).append(fill)
        return found

    def positions(self) -> list[Position]:
        """Give every position that it ever held, in order; the last may still be open."""
        asked = {row["intent_id"]: row for row in self.decisions if row["action"] == "buy"}
        found, held = [], ZERO
        bought: list[Fill] = []
        sold: list[Fill] = []
        for fill in self.fills:
            (bought if fill.side == "buy" else sold).append(fill)
            held += fill.signed_qty
            if held <= 0:
                if bought:
                    found.append(Position(bought, sold, asked.get(bought[0].intent_id)))
                held, bought, sold = ZERO, [], []
        if bought:
            found.append(Position(bought, [], asked.get(bought[0].intent_id)))
        return found


@dataclass(frozen=True, slots=True)
class Position:
    """One position of an agent.

    Attributes
    ----------
    bought, sold : list of Fill
        `sold` is empty while it is open.
    decision : mapping or None
        The decision that opened it; None where it is not known.
    """

    bought: list[Fill]
    sold: list[Fill]
    decision: Mapping[str, Any] | None

    def levels(self, exits: Exits) -> tuple[tuple[float, float], tuple[float, float]]:
        """Give the lowest and highest stop, and target: off the price that was paid, and that was asked for."""
        prices = [price_of(self.bought)]
        if self.decision is not None:
            prices.append(float(self.decision["price"]))
        low, high = min(prices), max(prices)
        below, above = 1.0 - exits.stop, 1.0 + exits.target
        return (low * below, high * below), (low * above, high * above)

    def deadline(self, expected: Expected) -> int | None:
        """Give the instant up to which it may be held; None where its decision or that candle is not known."""
        if self.decision is None:
            return None
        ts = int(self.decision["ts"])
        row = expected.closed_at(ts)
        if row is None:
            return None
        return ts + expected.exits.timeout_at(float(expected.volatility[row])) * MINUTE_MS


def price_of(fills: Iterable[Fill]) -> float:
    """Average the prices of some fills over their sizes, quote per base."""
    several = list(fills)
    value = sum((fill.qty * fill.price for fill in several), Decimal(0))
    return float(value / sum((fill.qty for fill in several), Decimal(0)))


@dataclass(slots=True)
class Tally:
    """What has been compared so far."""

    compared: int = 0
    equal: int = 0
    fills: int = 0
    fills_within: int = 0
    departures: list[tuple[int, str]] = field(default_factory=list)
    excused: Counter[str] = field(default_factory=Counter)

    def decision(self, ts: int, departure: str) -> None:
        """Count a decision; `departure` says how it differs, and is empty where it does not."""
        self.compared += 1
        self.equal += not departure
        self._note(ts, departure)

    def fill(self, ts: int, departure: str) -> None:
        """Count the price of an executed order."""
        self.fills += 1
        self.fills_within += not departure
        self._note(ts, departure)

    def _note(self, ts: int, departure: str) -> None:
        if departure:
            self.departures.append((ts, f"{moment(ts)}: {departure}"))

    def excuse(self, why: str) -> None:
        """Count what could be compared with nothing."""
        self.excused[why] += 1

    def day(self, agent: str, ts: int) -> ParityDay:
        """Sum up a day that ended at `ts`."""
        return ParityDay(
            agent=agent,
            ts=ts,
            compared=self.compared,
            equal=self.equal,
            fills=self.fills,
            fills_within=self.fills_within,
            disagreements=tuple(text for _, text in sorted(self.departures)[:SHOWN]),
            excused=dict(self.excused),
        )
