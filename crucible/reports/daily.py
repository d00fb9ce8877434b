"""Equity by whole days of UTC, and what is computed of it: ratios, drawdowns, months. Pure.

A whole day begins and ends at midnight within the span. The parts of a day at both ends are no days: they are in the
curve, in the net return and in the months, and in no ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from crucible.forge.backtest.statistics import YEAR_DAYS, drawdown_curve
from crucible.market.candles import Floats, Integers
from crucible.reports.subject import DAY_MS

FEWEST_DAYS = 20
"""Days below which no ratio is given."""
WINDOW_DAYS = 30
"""Days of the rolling Sharpe ratio."""
MOST_DRAWDOWNS = 10


@dataclass(frozen=True, slots=True)
class Days:
    """Equity at midnights.

    Attributes
    ----------
    ts : ndarray of int64, shape (n + 1,)
        Midnights, epoch milliseconds, one after the other.
    equity : ndarray of float64, shape (n + 1,)
    """

    ts: Integers
    equity: Floats

    @property
    def returns(self) -> Floats:
        """Return of each whole day, shape (n,)."""
        result: Floats = self.equity[1:] / self.equity[:-1] - 1.0
        return result

    def __len__(self) -> int:
        return max(0, len(self.ts) - 1)


@dataclass(frozen=True, slots=True)
class Drawdown:
    """One fall from a peak until the peak is reached again.

    Attributes
    ----------
    depth : float
        Negative, a fraction of the peak.
    peak_ts, valley_ts : int
        Midnights.
    recovered_ts : int or None
        None where the span ends before.
    """

    depth: float
    peak_ts: int
    valley_ts: int
    recovered_ts: int | None

    def days(self, last_ts: int) -> int:
        """Give its length from the peak, until the span's last midnight where it has not ended."""
        return ((self.recovered_ts or last_ts) - self.peak_ts) // DAY_MS


@dataclass(frozen=True, slots=True)
class Month:
    """One month, or the part of it that lies in the span.

    Attributes
    ----------
    name : str
        For example ``2025-01``.
    net_return : float
        Of the equity at its beginning.
    profit : Decimal
    is_whole : bool
    """

    name: str
    net_return: float
    profit: Decimal
    is_whole: bool


def days_of(marks: Sequence[tuple[int, Decimal]]) -> Days:
    """Take equity at midnights; where a midnight has no mark its day is not whole, and the days after it count anew.

    Parameters
    ----------
    marks : sequence of (int, Decimal)
        Oldest first.
    """
    found = [(ts, float(value)) for ts, value in marks if ts % DAY_MS == 0]
    for place in range(len(found) - 1, 0, -1):
        if found[place][0] - found[place - 1][0] != DAY_MS:
            found = found[place:]
            break
    return Days(
        np.array([ts for ts, _ in found], dtype=np.int64),
        np.array([value for _, value in found], dtype=np.float64),
    )


def sharpe(returns: Floats) -> float | None:
    """Annual Sharpe ratio: mean over standard deviation (n - 1) of daily returns, times the root of 365."""
    if len(returns) < FEWEST_DAYS:
        return None
    deviation = float(np.std(returns, ddof=1))
    return (
        _finite(float(np.mean(returns)) / deviation * math.sqrt(YEAR_DAYS))
        if deviation > 0
        else None
    )


def sortino(returns: Floats) -> float | None:
    """Annual Sortino ratio: mean over the root of the mean squared loss (gains count as 0), times the root of 365."""
    if len(returns) < FEWEST_DAYS:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    if downside == 0:
        return None
    return _finite(float(np.mean(returns)) / downside * math.sqrt(YEAR_DAYS))


def volatility(returns: Floats) -> float | None:
    """Annual volatility: standard deviation (n - 1) of daily returns, times the root of 365."""
    if len(returns) < FEWEST_DAYS:
        return None
    return _finite(float(np.std(returns, ddof=1)) * math.sqrt(YEAR_DAYS))


def winning_days(returns: Floats) -> float | None:
    """Share of days that gained, among those that were not exactly 0."""
    moved = returns[returns != 0]
    if len(returns) < FEWEST_DAYS or len(moved) == 0:
        return None
    return float(np.mean(moved > 0))


def rolling_sharpe(days: Days) -> list[tuple[int, float]]:
    """Give at each midnight the annual Sharpe ratio of the `WINDOW_DAYS` before it; none of days that do not vary."""
    returns = days.returns
    found = []
    for end in range(WINDOW_DAYS, len(returns) + 1):
        value = sharpe(returns[end - WINDOW_DAYS : end])
        if value is not None:
            found.append((int(days.ts[end]), value))
    return found


def max_drawdown(equity: Floats) -> float | None:
    """Deepest fall from the highest equity so far; None of fewer than two values."""
    return float(np.min(drawdown_curve(equity))) if len(equity) > 1 else None


def worst_drawdowns(days: Days) -> list[Drawdown]:
    """Give the deepest drawdowns of equity at midnights, the deepest first."""
    found: list[Drawdown] = []
    if len(days) == 0:
        return found
    falls = drawdown_curve(days.equity)
    begin: int | None = None
    for place, fall in enumerate([*falls.tolist(), 0.0]):
        if fall < 0 and begin is None:
            begin = place - 1
        elif fall == 0 and begin is not None:
            valley = begin + int(np.argmin(falls[begin:place]))
            recovered = int(days.ts[place]) if place < len(falls) else None
            found.append(
                Drawdown(float(falls[valley]), int(days.ts[begin]), int(days.ts[valley]), recovered)
            )
            begin = None
    return sorted(found, key=lambda each: each.depth)[:MOST_DRAWDOWNS]


def months_of(marks: Sequence[tuple[int, Decimal]]) -> list[Month]:
    """Give each month of a curve; the first and the last may be parts of one."""
    if len(marks) < 2:
        return []
    found: list[Month] = []
    begin = marks[0]
    for place in range(1, len(marks)):
        ts, value = marks[place]
        is_last = place == len(marks) - 1
        # A mark at midnight of the first belongs to the month that it ends.
        if is_last or _month(marks[place + 1][0] - 1) != _month(ts - 1):
            name = _month(ts - 1)
            whole = _is_month_start(begin[0]) and _is_month_start(ts)
            profit = value - begin[1]
            found.append(Month(name, float(profit / begin[1]), profit, whole))
            begin = (ts, value)
    return found


def _month(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m")


def _is_month_start(ts: int) -> bool:
    return ts % DAY_MS == 0 and datetime.fromtimestamp(ts / 1000, UTC).day == 1


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
