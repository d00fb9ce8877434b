"""An agent: one model version trading one symbol on its own account, live or simulated.

`decide_and_execute` is a function of what the agent knows and one closed candle; it returns what it
wants done and touches no socket, file or clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from crucible.arena.execution import (
    Context,
    Entry,
    Execution,
    IntentWanted,
    LiveExecution,
    Seat,
    SimulatedExecution,
)
from crucible.arena.sizing.entry import Size, current_edge, size_entry
from crucible.arena.sizing.multipliers import NO_MULTIPLIERS, RiskMultipliers, risk_multipliers
from crucible.features.frame import FeatureRow
from crucible.ledger.edge import Edge
from crucible.ledger.reader import SHADOW_ROLES
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
from crucible.settings import Costs
from crucible.strategies.contract import Strategy
from crucible.strategies.exit_reasons import ExitReason
from crucible.vm.signals import Signal


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
    execution : Execution
        Who executes for it: the venue for a production agent, a simulation for a challenger or a placebo.
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
    execution: Execution = field(init=False)
    cash: Decimal = ZERO
    trades: list[Trade] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    last_signal: str = "HOLD"
    last_event: str = "seated"
    multipliers: RiskMultipliers = NO_MULTIPLIERS
    quarantined: str = ""
    _own_edge: Edge | None = None
    _is_measured: bool = False
    _reported: int = 0

    def __post_init__(self) -> None:
        if self.seat.role in SHADOW_ROLES:
            symbol = self.strategy.symbol
            self.execution = SimulatedExecution(self.name, self.seat.version, symbol)
        else:
            self.execution = LiveExecution()

    @property
    def name(self) -> str:
        """``SLOT@VERSION``."""
        return self.seat.agent

    @property
    def mode(self) -> Mode:
        """Whether its fills are a venue's or simulated."""
        return self.execution.mode

    def equity(self, capital: Decimal, price: Decimal | None) -> Decimal | None:
        """Capital, results and the open position at `price`; None where a price is needed and missing."""
        if self.book.qty == 0:
            return capital + self.cash
        return None if price is None else capital + self.cash + self.book.qty * price

    def new_trades(self) -> list[Trade]:
        """Give the trades that closed since the last call, each once."""
        new = self.trades[self._reported :]
        self._reported = len(self.trades)
        return new

    def edge(self) -> Edge | None:
        """Own trades once there are enough of them, else what the Forge measured out of sample."""
        if not self._is_measured:
            closed = with_funding(self.trades, self.payments)
            returns = [trade.net_return for trade in closed]
            self._own_edge = Edge.of_returns(returns, self.strategy.exits.stop)
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
        # First, because it may raise: nothing has been filled then that nobody records.
        return self.execute(self.strategy.decide(row), row, candle, context)

    def execute(
        self, signal: Signal, row: FeatureRow, candle: Candle, context: Context
    ) -> Decision:
        """Do at one closed candle what a signal asks for; all else is as in `decide_and_execute`."""
        price = Decimal(repr(candle.close))
        exits = self.strategy.exits
        fills = tuple(self.execution.advance(candle, self.book.qty, exits, context.costs))
        for fill in fills:
            self.apply_fill(fill)
        self.last_signal = signal.name
        self.multipliers = risk_multipliers(row, "buy", context.settings.multipliers)
        regime = row["regime_change_detected"] == 1.0
        holding = self.execution.is_holding(self.book.qty)
        reason = self._exit_reason(signal, regime=regime)
        if holding and reason is not None:
            return self._leave(row.ts, signal, reason, price, fills, context)
        if not holding and signal is Signal.BUY and not regime and self.seat.role != "draining":
            return self._enter(row, signal, price, fills, context)
        return Decision(row.ts, signal, "hold", "", price, shadow_fills=fills)

    def _exit_reason(self, signal: Signal, *, regime: bool) -> ExitReason | None:
        """Say why to leave, if there is a reason."""
        if self.seat.role == "draining":
            return ExitReason.RETIRED
        if regime:
            return ExitReason.REGIME_CHANGE
        if signal is Signal.EXIT:
            return ExitReason.SIGNAL
        return ExitReason.DEADLINE if self.execution.is_due else None

    def _leave(
        self,
        ts: int,
        signal: Signal,
        reason: ExitReason,
        price: Decimal,
        fills: tuple[Fill, ...],
        context: Context,
    ) -> Decision:
        hindrance = self.execution.hindrance(context)
        if hindrance:
            return Decision(ts, signal, "wait", hindrance, price, shadow_fills=fills)
        intent = self.execution.leave(self.book.qty, reason, price)
        return Decision(ts, signal, "exit", reason, price, intent, fills)

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
        hindrance = self.execution.entry_hindrance(context)
        if hindrance:
            return skip(hindrance)
        size = size_entry(
            self.edge(),
            settings.capital_per_agent + self.cash,
            price,
            context.instrument,
            settings,
            self.multipliers,
            proven=self.seat.edge_is_proven,
        )
        if size.qty == 0:
            return skip(size.reason, size)
        timeout = exits.timeout_at(row["volatility_ratio"])
        intent = self.execution.enter(Entry(row.ts, size.qty, price, exits, timeout), context)
        if isinstance(intent, str):
            return skip(intent, size)
        return Decision(row.ts, signal, "buy", size.reason, price, intent, fills, size)

    def close_simulated(self, price: Decimal, ts: int, reason: ExitReason, costs: Costs) -> Fill:
        """End a challenger's simulated position at `price`; it must hold one."""
        fill = self.execution.close(self.book.qty, price, ts, reason, costs)
        self.apply_fill(fill)
        return fill
