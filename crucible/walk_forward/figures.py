"""Figures of a walk-forward: returns by day, their ratios, and how uncertain each is.

Errors are standard deviations over stationary bootstraps of the days (Politis and Romano 1994), which keep the
dependence of days that follow one another; the mean length of a block is Politis and White's (2004).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crucible.forge.backtest.engine import DAY_MS
from crucible.forge.backtest.statistics import YEAR_DAYS, max_drawdown, sharpe
from crucible.market.candles import Candles, Floats, Integers
from crucible.settings import Costs

DRAWS = 1_000
FEWEST_DAYS = 20
"""Days below which no error is given."""

Days = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Path:
    """Profit of one way to trade, over all slots.

    Attributes
    ----------
    name : str
    ts : ndarray of int64, shape (n,)
        Instants, epoch milliseconds.
    profit : ndarray of float64, shape (n,)
        So far, as a fraction of all slots' capital; capital is not compounded.
    """

    name: str
    ts: Integers
    profit: Floats

    @property
    def days(self) -> Days:
        """Profit of each whole day, shape (days,)."""
        day = self.ts // DAY_MS
        last = np.flatnonzero(np.diff(day, append=day[-1] + 1))
        return np.diff(self.profit[last], prepend=0.0)

    @property
    def drawdown(self) -> float:
        """Largest fall of the equity from its peak, as a fraction of the peak."""
        return max_drawdown(1.0 + self.profit)


def held(candles: Candles, ts: Integers, costs: Costs) -> Floats:
    """Profit of who buys with all capital at the first instant and holds, shape (n,); funding is not charged.

    Parameters
    ----------
    candles : Candles
    ts : ndarray of int64, shape (n,)
        Instants; a candle has closed by the first of them.
    costs : Costs
    """
    row = np.searchsorted(candles.close_ts, ts, side="right") - 1
    price = candles.close[row]
    each = costs.fee + costs.slippage
    result: Floats = price * (1.0 - each) / (price[0] * (1.0 + each)) - 1.0
    result[0] = 0.0
    return result


def annual_sharpe(days: Days) -> float:
    """Annual Sharpe ratio of days; NaN where they are too few or do not vary."""
    return sharpe(days) * math.sqrt(YEAR_DAYS)


def figures(path: Path, against: Path, seed: int) -> dict[str, Any]:
    """Give a path's figures, and by how much `against` earned more, each with its standard error.

    Parameters
    ----------
    path, against : Path
        Over the same instants.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        JSON-able; None where a figure is not defined: fewer than `FEWEST_DAYS` days, or days that do not vary.
    """
    days, ahead = path.days, against.days - path.days
    draws = resampled(np.column_stack([days, ahead]), seed)
    return {
        "net_return": float(path.profit[-1]),
        "net_return_error": _error([draw[:, 0].sum() for draw in draws]),
        "sharpe_annual": _finite(annual_sharpe(days)),
        "sharpe_annual_error": _error([annual_sharpe(draw[:, 0]) for draw in draws]),
        "max_drawdown": path.drawdown,
        "factory_ahead": float(ahead.sum()),
        "factory_ahead_error": _error([draw[:, 1].sum() for draw in draws]),
        "days": len(days),
    }


def resampled(days: Days, seed: int) -> Sequence[Days]:
    """Draw days with replacement in blocks of random length, shape (days, columns) each; none of too few days."""
    if len(days) < FEWEST_DAYS:
        return []
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    varies = [column for column in days.T if np.ptp(column) > 0]
    lengths = [float(optimal_block_length(column)["stationary"].iloc[0]) for column in varies]
    length = max([1.0, *(length for length in lengths if np.isfinite(length))])
    bootstrap = StationaryBootstrap(math.ceil(length), days, seed=seed)
    return [np.asarray(data[0][0]) for data in bootstrap.bootstrap(DRAWS)]


def by_month(path: Path) -> list[tuple[str, float]]:
    """Profit of each month, as a fraction of capital: its name and the sum."""
    months = path.ts.astype("datetime64[ms]").astype("datetime64[M]")
    last = [*np.flatnonzero(months[1:] != months[:-1]).tolist(), len(months) - 1]
    sums = np.diff(path.profit[last], prepend=0.0)
    return [(str(months[row]), float(value)) for row, value in zip(last, sums, strict=True)]


def _error(values: Sequence[float]) -> float | None:
    known = np.array(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else None


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
