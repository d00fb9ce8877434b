"""Pairs: each challenger beside a shadow copy of the incumbent whose seat it wants.

The copy takes the incumbent's signals at the same closed candles and fills them as a challenger's are filled, so that neither
has the better fills. What both returned goes into the ledger every quarter of a market hour; who judges reads it there
(`crucible.watchtower.pairs`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol

from crucible.arena.agent import Agent
from crucible.arena.alignment import Minute
from crucible.arena.execution import Context
from crucible.features.frame import FeatureRow
from crucible.ledger.reader import PairMark
from crucible.ledger.trades import ZERO, Fill
from crucible.market.instruments import Instrument
from crucible.settings import MINUTE_MS, Settings
from crucible.vm.signals import Signal

logger = logging.getLogger(__name__)

RESTART_MS = 24 * 60 * MINUTE_MS
"""Market time after which a copy that was kept is no restart's but that of an earlier pair of the same two."""


@dataclass(slots=True)
class PositionReturns:
    """Sum of returns since the beginning, as of positions that were all opened with the same amount.

    Attributes
    ----------
    total : float
        After fees, before funding; open positions at the newest price.
    """

    total: float = 0.0
    _value: Decimal = ZERO

    @classmethod
    def of(cls, agent: Agent, price: Decimal) -> PositionReturns:
        """Begin now, whatever the agent earned before."""
        return cls(0.0, agent.cash + agent.book.qty * price)

    def update(self, agent: Agent, price: Decimal) -> None:
        """Take what changed since the last call, which must be at most a candle ago while a position is held."""
        value = agent.cash + agent.book.qty * price
        change, self._value = value - self._value, value
        if change:
            opened = agent.book.cost if agent.book.qty else agent.trades[-1].notional
            self.total += float(change / opened)

    def take(self) -> float:
        """Give the sum, and begin it anew."""
        total, self.total = self.total, 0.0
        return total


class Kept(Protocol):
    """What is kept of a copy over a restart: the ledger."""

    def keep_shadow(self, agent: str, state: dict[str, Any]) -> None:
        """Keep a state."""

    def kept_shadow(self, agent: str) -> dict[str, Any] | None:
        """Give the state that was kept."""


@dataclass(slots=True)
class Pair:
    """A challenger, the incumbent and its copy, and what both sides returned since the last mark."""

    challenger: Agent
    incumbent: Agent
    copy: Agent
    challenger_returns: PositionReturns
    copy_returns: PositionReturns

    @property
    def key(self) -> str:
        """Under which the copy's state is kept."""
        return f"copy of {self.incumbent.name} beside {self.challenger.name}"


class Pairs:
    """All pairs of an arena.

    Parameters
    ----------
    settings : Settings
    instruments : mapping of str to Instrument
    ledger : Kept
    """

    def __init__(
        self, settings: Settings, instruments: Mapping[str, Instrument], ledger: Kept
    ) -> None:
        self._settings, self._instruments, self._ledger = settings, instruments, ledger
        self._pairs: dict[str, Pair] = {}
        self._known: set[str] = set()

    def take(
        self,
        agents: Mapping[str, Agent],
        rows: Mapping[str, FeatureRow],
        minute: Minute,
    ) -> None:
        """Carry every copy over a closed candle at which the agents have decided; what it raises ends its pair."""
        wanted = _pairs_of(agents)
        for slot, challenger, incumbent in wanted:
            row = rows.get(challenger.strategy.symbol)
            if row is None:
                continue
            try:
                self._carry(slot, challenger, incumbent, row, minute)
            except Exception:
                logger.exception(
                    "%s beside %s: the pair begins anew", challenger.name, incumbent.name
                )
                self._pairs.pop(slot, None)
        slots = {slot for slot, _, _ in wanted}
        self._pairs = {slot: pair for slot, pair in self._pairs.items() if slot in slots}

    def _carry(
        self, slot: str, challenger: Agent, incumbent: Agent, row: FeatureRow, minute: Minute
    ) -> None:
        candle = minute.candles[row.symbol]
        price = Decimal(repr(candle.close))
        pair = self._pairs.get(slot)
        begins = (
            pair is None or pair.challenger is not challenger or pair.incumbent is not incumbent
        )
        if pair is None or begins:
            pair = self._pairs[slot] = self._begin(challenger, incumbent, price, minute.close_ts)
        instrument, settings = self._instruments[row.symbol], self._settings
        context = Context(instrument, settings.forge.costs, settings.arena, ZERO, ZERO)
        pair.copy.execute(Signal[incumbent.last_signal], row, candle, context)
        if begins:
            # The challenger has decided already: this candle counts for neither.
            pair.copy_returns = PositionReturns.of(pair.copy, price)
        pair.copy_returns.update(pair.copy, price)
        pair.challenger_returns.update(challenger, price)
        self._ledger.keep_shadow(pair.key, _state(pair.copy, minute.close_ts))

    def marks(self, ts: int) -> list[PairMark]:
        """Give what was returned since the last call, one mark a pair."""
        return [
            PairMark(
                pair.challenger.name,
                pair.incumbent.name,
                ts,
                pair.challenger_returns.take(),
                pair.copy_returns.take(),
                pair.challenger.book.qty > 0,
                pair.copy.book.qty > 0,
            )
            for pair in self._pairs.values()
        ]

    def _begin(self, challenger: Agent, incumbent: Agent, price: Decimal, ts: int) -> Pair:
        copy = Agent(replace(incumbent.seat, role="challenger"), incumbent.strategy)
        begun = PositionReturns.of(challenger, price)
        pair = Pair(challenger, incumbent, copy, begun, PositionReturns())
        kept = None if pair.key in self._known else self._ledger.kept_shadow(pair.key)
        self._known.add(pair.key)
        if kept is not None and ts - int(kept["ts"]) <= RESTART_MS:
            _restore(copy, kept)
        return pair


def _pairs_of(agents: Mapping[str, Agent]) -> list[tuple[str, Agent, Agent]]:
    """Give each slot that has a challenger and an incumbent, with both."""
    seats: dict[str, dict[str, Agent]] = {}
    for agent in agents.values():
        if not agent.quarantined:
            seats.setdefault(agent.seat.slot, {})[agent.seat.role] = agent
    return [
        (slot, held["challenger"], held["production"])
        for slot, held in seats.items()
        if {"challenger", "production"} <= held.keys()
    ]


def _state(copy: Agent, ts: int) -> dict[str, Any]:
    return {
        "ts": ts,
        "execution": copy.execution.state(),
        "qty": str(copy.book.qty),
        "cost": str(copy.book.cost),
    }


def _restore(copy: Agent, kept: Mapping[str, Any]) -> None:
    """Give a copy the position that it held; what it had paid for it by then is in the marks."""
    copy.execution.restore(kept["execution"])
    qty = Decimal(kept["qty"])
    if qty > 0:
        entry = Decimal(kept["cost"]) / qty
        symbol = copy.strategy.symbol
        copy.apply_fill(
            Fill(
                f"{copy.name}:restored",
                copy.name,
                copy.seat.version,
                symbol,
                "buy",
                qty,
                entry,
                ZERO,
                0,
                "entry",
                "",
            )
        )
