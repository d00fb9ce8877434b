"""A scorecard: everything the Watchtower knows of one agent at one market instant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from crucible.ledger.trades import Trade
from crucible.settings import MINUTE_MS
from crucible.watchtower.sequential import (
    EvidenceError,
    wealth_against_no_gain,
    wealth_against_no_loss,
)


@dataclass(frozen=True, slots=True)
class Scorecard:
    """Measured on closed trades and equity marks up to `ts`, nothing later.

    Attributes
    ----------
    agent : str
    ts : int
        Market instant of the judgement, epoch milliseconds.
    trades : int
    pnl, fees, funding : Decimal
        Quote asset, of closed trades; `pnl` is after fees and funding.
    mean_return : float or None
        Mean net return of a trade, funding included, as a fraction; None without trades.
    win_rate : float or None
    drawdown : float
        Largest fall of equity from its peak, as a fraction of the peak.
    gain_evidence, loss_evidence : float
        Wealth of the sequential tests against "no gain" and "no loss".
    idle_minutes : int
        Market minutes since the last entry or exit, or since the agent was seated; 0 while it holds a position.
    incumbent : str
        Of a challenger: the agent whose seat it wants; empty where there is none.
    pair_evidence : float or None
        Wealth of the bet that the challenger earns more than the incumbent; None where there is none.
    parity : float or None
        Of a production agent: share of its newest decisions and fills that are those of its backtest; None where
        none could be compared.
    parity_decisions : int
        Decisions behind `parity`.
    parity_departure : str
        The first of them that is not the backtest's, as a sentence; empty where there is none.
    """

    agent: str
    ts: int
    trades: int
    pnl: Decimal
    fees: Decimal
    funding: Decimal
    mean_return: float | None
    win_rate: float | None
    drawdown: float
    gain_evidence: float
    loss_evidence: float
    idle_minutes: int
    incumbent: str = ""
    pair_evidence: float | None = None
    parity: float | None = None
    parity_decisions: int = 0
    parity_departure: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the scorecard as JSON values; money as text."""
        values = asdict(self)
        return {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in values.items()
        }


def score(
    agent: str,
    ts: int,
    trades: Sequence[Trade],
    equity: Sequence[tuple[int, Decimal]],
    *,
    since_ts: int,
    last_fill_ts: int | None,
    largest_loss: float,
    largest_gain: float,
    holds: bool = False,
) -> Scorecard:
    """Score one agent.

    Parameters
    ----------
    agent : str
    ts : int
        Market instant; trades and marks after it must not be passed.
    trades : sequence of Trade
        Closed ones, oldest first.
    equity : sequence of (int, Decimal)
        Marks, oldest first.
    since_ts : int
        When the agent was seated.
    last_fill_ts : int or None
        Its last fill, None if it has none.
    largest_loss, largest_gain : float
        Of one trade, as fractions (see `crucible.watchtower.sequential`).
    holds : bool
        Whether it has a position open.

    Raises
    ------
    EvidenceError
        Naming the agent and the value, if a return or a mark is infinite or not a number: no comparison
        with such a value says anything.
    BoundError
        If a bound is not a positive number.
    """
    returns = [trade.net_return for trade in trades]
    marks = [float(value) for _, value in equity]
    _require_numbers(agent, "return of trade", returns)
    _require_numbers(agent, "mark of equity", marks)
    return Scorecard(
        agent=agent,
        ts=ts,
        trades=len(trades),
        pnl=sum((trade.net_pnl for trade in trades), Decimal(0)),
        fees=sum((trade.fees for trade in trades), Decimal(0)),
        funding=sum((trade.funding for trade in trades), Decimal(0)),
        mean_return=float(np.mean(returns)) if returns else None,
        win_rate=sum(value > 0 for value in returns) / len(returns) if returns else None,
        drawdown=drawdown(marks),
        gain_evidence=wealth_against_no_gain(returns, largest_loss),
        loss_evidence=wealth_against_no_loss(returns, largest_gain),
        idle_minutes=idle_minutes(ts, since_ts, last_fill_ts, holds=holds),
    )


def idle_minutes(ts: int, since_ts: int, last_fill_ts: int | None, *, holds: bool) -> int:
    """Market minutes since an agent's last fill, or since it was seated; 0 while it holds a position.

    Examples
    --------
    >>> idle_minutes(600_000, 0, 300_000, holds=False)
    5
    """
    quiet_since = max(since_ts, last_fill_ts or since_ts)
    return 0 if holds else max(0, ts - quiet_since) // MINUTE_MS


@dataclass(slots=True)
class Drawdown:
    """The largest fall from a running peak, mark by mark.

    Attributes
    ----------
    peak : float
        Highest mark so far; minus infinity before the first.
    largest : float
        Largest fall so far, as a fraction of the peak before it.
    """

    peak: float = -math.inf
    largest: float = 0.0

    def add(self, equity: float) -> None:
        """Take one more mark; where nothing was ever above zero, all is lost."""
        self.peak = max(self.peak, equity)
        fallen = 1.0 - equity / self.peak if self.peak > 0 else 1.0
        self.largest = max(self.largest, fallen)


def drawdown(equity: Sequence[float]) -> float:
    """Largest fall from a running peak, as a fraction of that peak; 0 for an empty path.

    Equity that is not above zero has lost all of the capital before it: a fall of 1 at least.

    Examples
    --------
    >>> drawdown([100.0, 120.0, 90.0, 120.0]), drawdown([0.0, -5.0])
    (0.25, 1.0)
    """
    fall = Drawdown()
    for value in equity:
        fall.add(value)
    return fall.largest


def _require_numbers(agent: str, what: str, values: Iterable[float]) -> None:
    for place, value in enumerate(values, 1):
        if not math.isfinite(value):
            message = f"{agent}: {what} {place} is {value}; it must be a number"
            raise EvidenceError(message)
