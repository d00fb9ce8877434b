"""A life: one version that trades one symbol, from its seat to its end, minute by minute.

The agent, its sizes and its fills are those of the arena (`crucible.arena`). What is left out are minutes in which
nothing can happen: flat, nothing ordered, and no signal to buy.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from crucible.arena.agent import Agent
from crucible.arena.execution import Context, Role, Seat, SimulatedExecution
from crucible.arena.pairs import PositionReturns
from crucible.arena.registry_watcher import edge_of
from crucible.features.frame import FeatureFrame, FeatureRow
from crucible.ledger.funding_charges import with_settlements
from crucible.ledger.trades import ZERO, Payment, Trade
from crucible.market.candles import Candles, Floats
from crucible.market.funding import Funding
from crucible.market.instruments import Instrument
from crucible.settings import MINUTE_MS, ArenaSettings, Costs
from crucible.strategies.contract import Exits, Strategy
from crucible.strategies.exit_reasons import ExitReason
from crucible.vm.signals import Signal, Signals
from crucible.walk_forward.births import Birth
from crucible.watchtower.scorecard import Drawdown, Scorecard, idle_minutes, score
from crucible.watchtower.verdicts import gain_bound, loss_bound

WARMING_ROWS = 1_500
"""Rows that a strategy has seen when it is seated, as many as the arena keeps."""
FINE = Decimal("1e-8")
"""Grid of prices and sizes: a folder of candles does not tell the venue's."""


@dataclass(frozen=True, eq=False)
class Stage:
    """The market that lives of one slot trade in.

    Attributes
    ----------
    candles : Candles
        n candles.
    frame : FeatureFrame
        Of the same candles.
    funding : Funding
    settings : ArenaSettings
    costs : Costs
    regime : ndarray of bool, shape (n,)
        Whether a change of regime shows at a close.
    rates : ndarray of float64, shape (n,)
        Funding rate that whoever holds over a candle's open pays.
    context : Context
        What an agent may know beyond its own affairs.
    """

    candles: Candles
    frame: FeatureFrame
    funding: Funding
    settings: ArenaSettings
    costs: Costs
    regime: npt.NDArray[np.bool_]
    rates: Floats
    context: Context

    @classmethod
    def of(
        cls,
        candles: Candles,
        frame: FeatureFrame,
        funding: Funding,
        settings: ArenaSettings,
        costs: Costs,
    ) -> Stage:
        """Set the stage."""
        instrument = Instrument(candles.symbol, FINE, FINE, FINE, ZERO)
        return cls(
            candles,
            frame,
            funding,
            settings,
            costs,
            frame.column("regime_change_detected") == 1.0,
            funding.at(candles.ts),
            Context(instrument, costs, settings, ZERO, ZERO),
        )


class KnownSignals:
    """A strategy whose signals over the candles to come have been computed at once.

    `decide` gives what the strategy's own would, which is a promise of every strategy (`Strategy.decide`).
    """

    def __init__(self, strategy: Strategy, frame: FeatureFrame, first: int) -> None:
        self._strategy = strategy
        self._begin = max(0, first - WARMING_ROWS)
        rows = slice(self._begin, None)
        seen = FeatureFrame(frame.symbol, frame.ts[rows], frame.values[rows], frame.schema)
        self.known: Signals = strategy.signals(seen)
        self._ts = seen.ts

    @property
    def kind(self) -> str:
        """``gp`` or ``boosted``."""
        return self._strategy.kind

    @property
    def symbol(self) -> str:
        """The only symbol it trades."""
        return self._strategy.symbol

    @property
    def schema_hash(self) -> str:
        """Hash of the feature schema it was born with."""
        return self._strategy.schema_hash

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features it reads."""
        return self._strategy.features

    @property
    def exits(self) -> Exits:
        """Its stop, target and timeout."""
        return self._strategy.exits

    @property
    def warmup(self) -> int:
        """Rows it must have seen before its signal counts."""
        return self._strategy.warmup

    def signals(self, frame: FeatureFrame) -> Signals:
        """Signals over history."""
        return self._strategy.signals(frame)

    def decide(self, row: FeatureRow) -> Signal:
        """Signal at one closed candle of those that it was made with."""
        return Signal(int(self.known[int(np.searchsorted(self._ts, row.ts))]))

    def reset(self) -> None:
        """Forget nothing: there is no state."""

    def to_json(self) -> dict[str, Any]:
        """Give the strategy file."""
        return self._strategy.to_json()

    def buys(self, regime: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        """Rows of the whole frame at which somebody who is flat would buy, in order."""
        wants = (self.known == Signal.BUY) & ~regime[self._begin :]
        rows: npt.NDArray[np.intp] = np.flatnonzero(wants) + self._begin
        return rows


class Life:
    """One version in one role.

    Parameters
    ----------
    stage : Stage
    birth : Birth
    strategy : Strategy
        Its own.
    role : {"production", "challenger"}
    row : int
        First candle at whose close it decides.
    since_ts : int
        Market instant at which it was seated, epoch milliseconds.

    Attributes
    ----------
    end : str
        How it ended; empty while it trades.
    """

    def __init__(
        self,
        stage: Stage,
        birth: Birth,
        strategy: Strategy,
        role: Role,
        row: int,
        since_ts: int,
    ) -> None:
        self.stage, self.birth, self.role, self.since_ts = stage, birth, role, since_ts
        self.until_ts: int | None = None
        self.end = ""
        self.fall = Drawdown()
        version = birth.version
        known = KnownSignals(strategy, stage.frame, row)
        route = version.proven_by
        edge = edge_of(version)
        seat = Seat(version.slot, version.version, role, bool(route), edge, route)
        self.agent = Agent(seat, known)
        self.agent.execution = self._execution = SimulatedExecution(
            self.agent.name,
            version.version,
            strategy.symbol,
            "shadow" if role == "challenger" else "live",
        )
        self._buys = known.buys(stage.regime)
        self._row = row
        self._fill_ts: list[int] = []
        self._paid = ZERO
        self._charged: list[Trade] = []
        self._card: Scorecard | None = None
        self.equity = self.before = stage.settings.capital_per_agent
        self._returns: PositionReturns | None = None
        self._funded = 0.0

    @property
    def is_flat(self) -> bool:
        """Whether it holds nothing and has nothing ordered."""
        position = self._execution.position
        return not position.is_open and not position.pending

    def advance(self, stop: int) -> None:
        """Trade the candles up to row `stop`, that one not."""
        frame, candles, rates = self.stage.frame, self.stage.candles, self.stage.rates
        row = self._row
        while row < stop:
            if self.is_flat:
                place = int(np.searchsorted(self._buys, row))
                if self.agent.seat.role == "draining" or place == len(self._buys):
                    break
                row = int(self._buys[place])
                if row >= stop:
                    break
            if rates[row] and self.agent.book.qty:
                self._pay(int(candles.ts[row]), float(rates[row]))
            decision = self.agent.decide_and_execute(
                frame.row(row), candles.candle(row), self.stage.context
            )
            self._fill_ts += [fill.exec_ts for fill in decision.shadow_fills]
            if self._returns is not None:
                self._returns.update(self.agent, decision.price)
            row += 1
        self._row = max(self._row, stop)

    def _pay(self, ts: int, rate: float) -> None:
        amount = Decimal(repr(rate)) * self.agent.book.cost
        self._paid += amount
        self._funded += rate
        if self.role == "production":
            self.agent.pay(Payment(self.agent.name, self.agent.strategy.symbol, ts, amount))

    def returned(self, ts: int) -> float:
        """Sum of the returns of its positions from the first call up to `ts`, each a fraction of its opening value, less funding."""
        if self._returns is None:
            price = Decimal(repr(float(self.stage.candles.close[self._row - 1])))
            self._returns, self._funded = PositionReturns.of(self.agent, price), 0.0
        due = float(self._due(ts)) if self.agent.book.qty else 0.0
        return self._returns.total - self._funded - due

    def mark(self, ts: int) -> None:
        """Take the equity at an instant, at the newest candle's close, less what is settled by then."""
        capital = self.stage.settings.capital_per_agent
        price = Decimal(repr(float(self.stage.candles.close[self._row - 1])))
        equity = self.agent.equity(capital, price)
        assert equity is not None
        if self.role == "challenger":
            equity -= self._paid
        if self.agent.book.qty:
            equity -= self._due(ts) * self.agent.book.cost
        self.before, self.equity = self.equity, equity
        self.fall.add(float(equity))

    def _due(self, ts: int) -> Decimal:
        """Sum the rates that are settled after the newest candle's open and up to an instant."""
        funding = self.stage.funding
        opens = funding.ts // MINUTE_MS * MINUTE_MS
        newest = int(self.stage.candles.ts[self._row - 1])
        first, last = np.searchsorted(opens, [newest, ts], side="right")
        return sum((Decimal(repr(float(rate))) for rate in funding.rate[first:last]), ZERO)

    def card(self, ts: int) -> Scorecard:
        """Score it at a market instant by what was filled before it."""
        closed = self.trades(ts)
        last = bisect_left(self._fill_ts, ts)
        last_fill_ts = self._fill_ts[last - 1] if last else None
        holds = bool(self.agent.book.qty) or len(closed) < len(self.agent.trades)
        if self._card is None or self._card.trades != len(closed):
            exits = self.agent.strategy.exits
            self._card = score(
                self.agent.name,
                ts,
                closed,
                (),
                since_ts=self.since_ts,
                last_fill_ts=last_fill_ts,
                largest_loss=loss_bound(exits, self.stage.costs.fee, self.stage.costs.slippage),
                largest_gain=gain_bound(exits),
                holds=holds,
            )
        idle = idle_minutes(ts, self.since_ts, last_fill_ts, holds=holds)
        return replace(self._card, ts=ts, drawdown=self.fall.largest, idle_minutes=idle)

    def trades(self, ts: int) -> list[Trade]:
        """Trades whose last fill came before an instant, funding charged."""
        new = self.agent.trades[len(self._charged) :]
        self._charged += with_settlements(new, self.stage.funding)
        closed = self._charged
        while closed and closed[-1].exit_ts >= ts:
            closed = closed[:-1]
        return closed

    def drain(self) -> None:
        """Open nothing more, and close at the next open what is held."""
        self.agent.seat = replace(self.agent.seat, role="draining")

    def close(self, reason: ExitReason, ts: int) -> None:
        """End what is held at the newest close, as the arena ends a challenger's position."""
        if self.agent.book.qty:
            price = Decimal(repr(float(self.stage.candles.close[self._row - 1])))
            self.agent.close_simulated(price, ts, reason, self.stage.costs)
            self._fill_ts.append(ts)
        self._execution.position.pending = ""
        self.mark(ts)
