"""An agent: one model version trading one symbol on its own account.

`decide_and_execute` is a function of what the agent knows and one closed candle; it returns what it
wants done and touches no socket, file or clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from crucible.arena.multipliers import NO_MULTIPLIERS, RiskMultipliers, risk_multipliers
from crucible.arena.simulated_fills import ShadowPosition
from crucible.arena.sizing import Size, current_edge, size_entry, within_gross_limit
from crucible.features.frame import FeatureRow
from crucible.ledger.edge import Edge
from crucible.ledger.trades import (
    ZERO,
    Fill,
    Mode,
    Payment,
    PositionBook,
    Trade,
    with_funding,
)
from crucible.market.candles import Candle
from crucible.market.instruments import Instrument
from crucible.settings import MINUTE_MS, ArenaSettings, Costs
from crucible.strategies.contract import Strategy
from crucible.strategies.exit_reasons import ExitReason
from crucible.vm.signals import Signal

Role = Literal["production", "challenger", "draining"]


@dataclass(frozen=True, slots=True)
class Seat:
    """Which version an agent trades and in which role."""

    slot: str
    version: str
    role: Role
    proven: bool
    edge: Edge | None

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
class Decision:
    """What an agent did at one closed candle."""

    ts: int
    signal: Signal
    action: str
    reason: str
    price: Decimal
    intent: IntentWanted | None = None
    shadow_fills: tuple[Fill, ...] = ()
    size: Size | None = None


@dataclass(slots=True)
class Agent:
    """One seat's state: its strategy, its books and what it waits for.

    Attributes
    ----------
    book : PositionBook
        Built from its fills, live or simulated.
    in_flight : str or None
        Intent whose outcome is awaited; no second one is sent meanwhile.
    cash : Decimal
        Sum of the cash of all its fills and funding.
    trades : list of Trade
        Closed ones, without funding.
    payments : list of Payment
        What the venue charged it for holding.
    multipliers : RiskMultipliers
        Of an entry at the newest closed candle, whether it entered or not.
    quarantined : str
        What it failed with; it decides nothing any more.
    """

    seat: Seat
    strategy: Strategy
    book: PositionBook = field(default_factory=PositionBook)
    shadow: ShadowPosition = field(default_factory=ShadowPosition)
    in_flight: str | None = None
    cash: Decimal = ZERO
    trades: list[Trade] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    last_signal: str = "HOLD"
    last_event: str = "seated"
    multipliers: RiskMultipliers = NO_MULTIPLIERS
    quarantined: str = ""
    _own_edge: Edge | None = None
    _is_measured: bool = False
    _shadow_qty: Decimal = ZERO
    _shadow_number: int = 0
    _told: int = 0

    @property
    def name(self) -> str:
        """``SLOT@VERSION``."""
        return self.seat.agent

    @property
    def mode(self) -> Mode:
        """Whether its fills are a venue's or simulated."""
        return "shadow" if self.seat.role == "challenger" else "live"

    def equity(self, capital: Decimal, price: Decimal | None) -> Decimal | None:
        """Capital, results and the open position at `price`; None where a price is needed and missing."""
        if self.book.qty == 0:
            return capital + self.cash
        return None if price is None else capital + self.cash + self.book.qty * price

    def new_trades(self) -> list[Trade]:
        """Give the trades that closed since the last call, each once."""
        new = self.trades[self._told :]
        self._told = len(self.trades)
        return new

    def edge(self) -> Edge | None:
        """Own trades once there are enough of them, else what the Forge measured out of sample."""
        if not self._is_measured:
            closed = with_funding(self.trades, self.payments)
            self._own_edge = Edge.of_returns([trade.net_return for trade in closed])
            self._is_measured = True
        return current_edge(self._own_edge, self.seat.edge)

    def pay(self, payment: Payment) -> None:
        """Book what the venue charged for holding."""
        self.cash -= payment.amount
        self.payments.append(payment)
        self._is_measured = False

    def apply_fill(self, fill: Fill) -> Trade | None:
        """Book a fill of this agent."""
        self.cash += fill.cash
        trade = self.book.apply(fill)
        if trade is not None:
            self.trades.append(trade)
            self._is_measured = False
        self.last_event = f"{fill.side} {fill.qty} at {fill.price} ({fill.reason})"
        return trade

    def decide_and_execute(self, row: FeatureRow, candle: Candle, context: Context) -> Decision:
        """Decide at one closed candle.

        Parameters
        ----------
        row : FeatureRow
            Features at the candle's close.
        candle : Candle
        context : Context

        Returns
        -------
        Decision
            With an intent for a production agent, or simulated fills for a challenger.
        """
        price = Decimal(repr(candle.close))
        # First, because it may raise: nothing has been filled then that nobody records.
        signal = self.strategy.decide(row)
        fills: list[Fill] = []
        if self.mode == "shadow":
            fills = self._step_shadow(candle, context)
        self.last_signal = signal.name
        self.multipliers = risk_multipliers(row, "buy", context.settings.multipliers)
        regime = row["regime_change_detected"] == 1.0
        holding = self.shadow.is_open if self.mode == "shadow" else self.book.qty > 0
        reason = self._exit_reason(signal, regime=regime)
        if holding and reason is not None:
            return self._leave(row.ts, signal, reason, price, tuple(fills), context)
        if not holding and signal is Signal.BUY and not regime and self.seat.role != "draining":
            return self._enter(row, signal, price, tuple(fills), context)
        return Decision(row.ts, signal, "hold", "", price, shadow_fills=tuple(fills))

    def _exit_reason(self, signal: Signal, *, regime: bool) -> ExitReason | None:
        """Say why to leave, if there is a reason; a live deadline is Cerebellum's to keep."""
        if self.seat.role == "draining":
            return ExitReason.RETIRED
        if regime:
            return ExitReason.REGIME_CHANGE
        if signal is Signal.EXIT:
            return ExitReason.SIGNAL
        return ExitReason.DEADLINE if self.shadow.is_due else None

    def _leave(
        self,
        ts: int,
        signal: Signal,
        reason: str,
        price: Decimal,
        fills: tuple[Fill, ...],
        context: Context,
    ) -> Decision:
        if self.mode == "shadow":
            self.shadow.pending, self.shadow.pending_reason = "exit", reason
            return Decision(ts, signal, "exit", reason, price, shadow_fills=fills)
        if self.in_flight or not context.act:
            waiting = f"waiting for {self.in_flight}" if self.in_flight else "catching up"
            return Decision(ts, signal, "wait", waiting, price)
        intent = IntentWanted("sell", self.book.qty, reduce_only=True, reason=reason, price=price)
        return Decision(ts, signal, "exit", reason, price, intent)

    def _enter(
        self,
        row: FeatureRow,
        signal: Signal,
        price: Decimal,
        fills: tuple[Fill, ...],
        context: Context,
    ) -> Decision:
        def skip(reason: str, size: Size | None = None) -> Decision:
            return Decision(row.ts, signal, "skip", reason, price, shadow_fills=fills, size=size)

        settings, exits = context.settings, self.strategy.exits
        if self.in_flight or (self.mode == "live" and not context.act):
            return skip(f"waiting for {self.in_flight}" if self.in_flight else "catching up")
        if self.mode == "live" and context.no_entries:
            return skip(context.no_entries)
        equity = settings.capital_per_agent + self.cash
        size = size_entry(
            self.edge(),
            equity,
            price,
            context.instrument,
            settings,
            self.multipliers,
            proven=self.seat.proven,
        )
        if size.qty == 0:
            return skip(size.reason, size)
        timeout = exits.timeout_at(row["volatility_ratio"])
        if self.mode == "shadow":
            self.shadow.pending, self.shadow.pending_reason = "buy", "entry"
            self.shadow.pending_timeout = timeout
            self._shadow_qty = size.qty
            reason = size.reason
            return Decision(row.ts, signal, "buy", reason, price, shadow_fills=fills, size=size)
        if not within_gross_limit(size.qty * price, context.gross, context.capital, settings):
            return skip("the portfolio's gross limit is reached", size)
        intent = IntentWanted(
            "buy",
            size.qty,
            reduce_only=False,
            reason="entry",
            price=price,
            stop=context.instrument.round_price(price * Decimal(repr(1.0 - exits.stop))),
            take_profit=context.instrument.round_price(price * Decimal(repr(1.0 + exits.target))),
            deadline_ts=row.ts + timeout * MINUTE_MS,
        )
        return Decision(row.ts, signal, "buy", size.reason, price, intent, size=size)

    def _step_shadow(self, candle: Candle, context: Context) -> list[Fill]:
        fills = []
        for simulated in self.shadow.step(candle, self.strategy.exits, context.costs):
            qty = self._shadow_qty if simulated.side == "buy" else self.book.qty
            price = Decimal(repr(simulated.price)).quantize(Decimal("1e-8"))
            self._shadow_number += 1
            fill = Fill(
                exec_id=f"{self.name}:{simulated.ts}:{self._shadow_number}",
                agent=self.name,
                version=self.seat.version,
                symbol=self.strategy.symbol,
                side=simulated.side,
                qty=qty,
                price=price,
                fee=(qty * price * Decimal(repr(context.costs.fee))).quantize(Decimal("1e-8")),
                exec_ts=simulated.ts,
                reason=simulated.reason,
                intent_id="",
                mode="shadow",
            )
            self.apply_fill(fill)
            fills.append(fill)
        return fills

    def close_shadow(self, price: Decimal, ts: int, reason: str, costs: Costs) -> Fill:
        """End a challenger's simulated position at `price`; it must hold one."""
        self._shadow_number += 1
        fill = Fill(
            exec_id=f"{self.name}:{ts}:{self._shadow_number}",
            agent=self.name,
            version=self.seat.version,
            symbol=self.strategy.symbol,
            side="sell",
            qty=self.book.qty,
            price=price,
            fee=(self.book.qty * price * Decimal(repr(costs.fee))).quantize(Decimal("1e-8")),
            exec_ts=ts,
            reason=reason,
            intent_id="",
            mode="shadow",
        )
        self.shadow = ShadowPosition()
        self.apply_fill(fill)
        return fill

    def shadow_state(self) -> dict[str, object]:
        """Give what a restart needs beyond the fills, as JSON values."""
        return {
            **self.shadow.to_json(),
            "shadow_qty": str(self._shadow_qty),
            "shadow_number": self._shadow_number,
        }

    def restore_shadow(self, values: dict[str, object]) -> None:
        """Take back what `shadow_state` gave."""
        state = dict(values)
        self._shadow_qty = Decimal(str(state.pop("shadow_qty")))
        self._shadow_number = int(str(state.pop("shadow_number")))
        self.shadow = ShadowPosition.from_json(state)
