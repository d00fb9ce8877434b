"""Where an agent's decisions go: to the venue through Cerebellum, or into simulated fills.

`LiveExecution` and `SimulatedExecution` are the two clients behind one interface, `Execution`; an agent never asks
which of them it has. Neither touches a socket: a live client gives intents, which the engine sends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

from crucible.arena.simulated_fills import SimulatedPosition
from crucible.arena.sizing.entry import within_gross_limit
from crucible.ledger.edge import Edge
from crucible.ledger.trades import ZERO, Fill, Mode
from crucible.market.candles import Candle
from crucible.market.instruments import Instrument
from crucible.registry.version import LIVED
from crucible.settings import MINUTE_MS, ArenaSettings, Costs
from crucible.strategies.contract import Exits
from crucible.strategies.exit_reasons import ExitReason

PRICE_STEP = Decimal("1e-8")
"""Prices and fees of simulated fills are rounded to it, in the quote asset."""

Role = Literal["production", "challenger", "draining", "placebo"]


@dataclass(frozen=True, slots=True)
class Seat:
    """Which version an agent trades and in which role.

    Attributes
    ----------
    slot, version : str
    role : {'production', 'challenger', 'draining', 'placebo'}
    proven : bool
    edge : Edge or None
        What the Forge measured.
    proven_by : str
        The route of its proof; empty where it is unproven.
    strategy : str
        Digest of the strategy file that it trades.
    gap : float or None
        Minutes between two trades in its backtest; None where that is not known.
    """

    slot: str
    version: str
    role: Role
    proven: bool
    edge: Edge | None
    proven_by: str = ""
    strategy: str = ""
    gap: float | None = None

    @property
    def edge_is_proven(self) -> bool:
        """Whether the Forge's gates stand behind `edge`: a life proves a gain, not that edge."""
        return self.proven and self.proven_by != LIVED

    @property
    def agent(self) -> str:
        """The agent's name, ``SLOT@VERSION``."""
        return f"{self.slot}@{self.version}"


@dataclass(frozen=True, slots=True)
class Context:
    """What an agent may know beyond its own affairs at one decision.

    Attributes
    ----------
    instrument : Instrument
    costs : Costs
    settings : ArenaSettings
    gross, capital : Decimal
        Absolute exposure and capital of all production agents together, quote asset.
    act : bool
        False while history is caught up on: decisions are then computed but not acted upon.
    no_entries : str
        Why nothing is opened at the venue now; empty where it may be.
    """

    instrument: Instrument
    costs: Costs
    settings: ArenaSettings
    gross: Decimal
    capital: Decimal
    act: bool = True
    no_entries: str = ""


@dataclass(frozen=True, slots=True)
class IntentWanted:
    """An order that an agent wants Cerebellum to place."""

    side: Literal["buy", "sell"]
    qty: Decimal
    reduce_only: bool
    reason: str
    price: Decimal
    stop: Decimal | None = None
    take_profit: Decimal | None = None
    deadline_ts: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry that was decided at a close.

    Attributes
    ----------
    ts : int
        Market time of the decision, epoch milliseconds.
    qty, price : Decimal
        Base asset; quote per base, of the close.
    exits : Exits
    timeout : int
        Candles it may be held.
    """

    ts: int
    qty: Decimal
    price: Decimal
    exits: Exits
    timeout: int


class Execution(Protocol):
    """What an agent asks of whoever executes for it."""

    mode: Mode
    in_flight: str | None

    def advance(self, candle: Candle, held: Decimal, exits: Exits, costs: Costs) -> list[Fill]:
        """Give what was filled inside a closed candle, where that is known here; `held` is the position."""

    def is_holding(self, held: Decimal) -> bool:
        """Whether there is a position, given what the book holds."""

    @property
    def is_due(self) -> bool:
        """Whether the position has been held for its timeout and nobody else closes it."""

    def hindrance(self, context: Context) -> str:
        """Say why nothing can be done now; empty where something can."""

    def entry_hindrance(self, context: Context) -> str:
        """Say why nothing can be opened now; empty where something can."""

    def enter(self, entry: Entry, context: Context) -> IntentWanted | str | None:
        """Open a position: give the intent to send, or the reason of a refusal, or None if it is done."""

    def leave(self, held: Decimal, reason: ExitReason, price: Decimal) -> IntentWanted | None:
        """Close the position: give the intent to send, or None if nothing has to be sent."""

    def close(self, held: Decimal, price: Decimal, ts: int, reason: str, costs: Costs) -> Fill:
        """End a simulated position at `price`; it must hold one."""

    def state(self) -> dict[str, Any] | None:
        """Give what a restart needs beyond the fills, as JSON values; None where that is nothing."""

    def restore(self, values: dict[str, Any]) -> None:
        """Restore what `state` gave."""


@dataclass(slots=True)
class LiveExecution:
    """Intents for Cerebellum, one at a time; fills come as events of its journal.

    Attributes
    ----------
    in_flight : str or None
        Intent whose outcome is awaited; no second one is sent meanwhile.
    """

    mode: Mode = field(default="live", init=False)
    in_flight: str | None = None

    @property
    def is_due(self) -> bool:
        """Never: a live deadline is Cerebellum's to keep."""
        return False

    def advance(self, candle: Candle, held: Decimal, exits: Exits, costs: Costs) -> list[Fill]:
        """Give nothing: the venue's fills are events."""
        return []

    def is_holding(self, held: Decimal) -> bool:
        """Whether the book holds something."""
        return held > 0

    def hindrance(self, context: Context) -> str:
        """Say what is waited for."""
        if self.in_flight:
            return f"waiting for {self.in_flight}"
        return "" if context.act else "catching up"

    def entry_hindrance(self, context: Context) -> str:
        """Say what is waited for, or why nothing is opened at the venue now."""
        return self.hindrance(context) or context.no_entries

    def enter(self, entry: Entry, context: Context) -> IntentWanted | str | None:
        """Give a protected buy, or say that the portfolio is full."""
        notional = entry.qty * entry.price
        if not within_gross_limit(notional, context.gross, context.capital, context.settings):
            return "the portfolio's gross limit is reached"

        def level(move: float) -> Decimal:
            return context.instrument.round_price(entry.price * Decimal(repr(1.0 + move)))

        return IntentWanted(
            "buy",
            entry.qty,
            reduce_only=False,
            reason="entry",
            price=entry.price,
            stop=level(-entry.exits.stop),
            take_profit=level(entry.exits.target),
            deadline_ts=entry.ts + entry.timeout * MINUTE_MS,
        )

    def leave(self, held: Decimal, reason: ExitReason, price: Decimal) -> IntentWanted | None:
        """Give a reduce-only sell of all that is held."""
        return IntentWanted("sell", held, reduce_only=True, reason=reason, price=price)

    def close(self, held: Decimal, price: Decimal, ts: int, reason: str, costs: Costs) -> Fill:
        """Refuse: only the venue closes a live position."""
        message = "a live position is closed by the venue"
        raise NotImplementedError(message)

    def state(self) -> dict[str, Any] | None:
        """Give nothing: the journal has it."""
        return None

    def restore(self, values: dict[str, Any]) -> None:
        """Take nothing: the journal has it."""


@dataclass(slots=True)
class SimulatedExecution:
    """Fills by the backtest's rules, one closed candle at a time; nothing is sent.

    Parameters
    ----------
    agent, version, symbol : str
        Whose fills they are.
    mode : {"shadow", "live"}
        What the fills are called; where no venue takes part at all, those of a production agent are live.
    """

    agent: str
    version: str
    symbol: str
    mode: Mode = "shadow"
    in_flight: str | None = field(default=None, init=False)
    position: SimulatedPosition = field(default_factory=SimulatedPosition)
    _qty: Decimal = ZERO
    _number: int = 0

    @property
    def is_due(self) -> bool:
        """Whether the position has been held for its timeout."""
        return self.position.is_due

    def advance(self, candle: Candle, held: Decimal, exits: Exits, costs: Costs) -> list[Fill]:
        """Carry the position over a closed candle."""
        fills = []
        for simulated in self.position.step(candle, exits, costs):
            qty = self._qty if simulated.side == "buy" else held
            held = self._qty if simulated.side == "buy" else ZERO
            price = Decimal(repr(simulated.price)).quantize(PRICE_STEP)
            fills.append(
                self._fill(simulated.side, qty, price, simulated.ts, simulated.reason, costs)
            )
        return fills

    def is_holding(self, held: Decimal) -> bool:
        """Whether the simulated position is open."""
        return self.position.is_open

    def hindrance(self, context: Context) -> str:
        """Say nothing: a simulation is always possible."""
        return ""

    def entry_hindrance(self, context: Context) -> str:
        """Say nothing: a simulation is always possible."""
        return ""

    def enter(self, entry: Entry, context: Context) -> IntentWanted | str | None:
        """Buy at the next open."""
        self.position.pending, self.position.pending_reason = "buy", "entry"
        self.position.pending_timeout = entry.timeout
        self._qty = entry.qty
        return None

    def leave(self, held: Decimal, reason: ExitReason, price: Decimal) -> IntentWanted | None:
        """Sell at the next open."""
        self.position.pending, self.position.pending_reason = "exit", reason
        return None

    def close(self, held: Decimal, price: Decimal, ts: int, reason: str, costs: Costs) -> Fill:
        """End the position at `price`; it must hold one."""
        fill = self._fill("sell", held, price, ts, reason, costs)
        self.position = SimulatedPosition()
        return fill

    def _fill(
        self, side: str, qty: Decimal, price: Decimal, ts: int, reason: str, costs: Costs
    ) -> Fill:
        self._number += 1
        return Fill(
            exec_id=f"{self.agent}:{ts}:{self._number}",
            agent=self.agent,
            version=self.version,
            symbol=self.symbol,
            side=side,
            qty=qty,
            price=price,
            fee=(qty * price * Decimal(repr(costs.fee))).quantize(PRICE_STEP),
            exec_ts=ts,
            reason=reason,
            intent_id="",
            mode=self.mode,
        )

    def state(self) -> dict[str, Any] | None:
        """Give what a restart needs beyond the fills, as JSON values."""
        return {
            **self.position.to_json(),
            "shadow_qty": str(self._qty),
            "shadow_number": self._number,
        }

    def restore(self, values: dict[str, Any]) -> None:
        """Restore what `state` gave."""
        state = dict(values)
        self._qty = Decimal(str(state.pop("shadow_qty")))
        self._number = int(str(state.pop("shadow_number")))
        self.position = SimulatedPosition.from_json(state)
