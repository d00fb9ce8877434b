"""The market's recent returns on a dense grid of minutes: what the market-level blocks read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crucible.market.candles import Integers

Matrix = npt.NDArray[np.float64]

State = dict[str, npt.NDArray[Any]]
"""What a block remembers between minutes: named arrays of numbers, changed in place."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Returns of every symbol by minute, with the minutes just before a run in front.

    Attributes
    ----------
    minutes : ndarray of int64, shape (t,)
        The run's minutes (exclusive close times in minutes since the epoch) at which at least one
        symbol has a candle, increasing.
    start : int
        The minute of the first row of `returns` and `standard`.
    returns, standard : ndarray of float64, shape (m, symbols)
        Log returns, and the same over the day's volatility as known a minute earlier; one row for
        every minute from `start` on, NaN where a symbol has none.
    """

    minutes: Integers
    start: int
    returns: Matrix
    standard: Matrix

    def row(self, minute: int) -> int:
        """Row of a minute in `returns` and `standard`."""
        return minute - self.start

    def aligned(self, every: int) -> Integers:
        """Run minutes that lie on a UTC-aligned grid of `every` minutes."""
        aligned: Integers = self.minutes[self.minutes % every == 0]
        return aligned


def build_grid(
    minutes: Integers,
    rows: list[Integers],
    standard: list[Matrix],
    carried: tuple[int, Matrix, Matrix],
) -> Grid:
    """Lay a run's returns behind those that an earlier run carried over.

    Parameters
    ----------
    minutes : ndarray of int64, shape (t,)
    rows : list of ndarray of int64
        For each symbol, the minutes of its candles.
    standard : list of ndarray of float64, shape (n, 2)
        For each symbol, returns and standardised returns at those minutes.
    carried
        Last minute of the earlier run (negative when there was none), and its last returns and
        standardised returns, each of shape (carry, symbols).
    """
    last, old_returns, old_standard = carried
    carry, symbols = old_returns.shape
    start = int(minutes[0]) - carry
    length = int(minutes[-1]) - start + 1
    returns = np.full((length, symbols), np.nan)
    normal = np.full((length, symbols), np.nan)
    if last >= start:
        # The earlier run may have ended before this one begins: its rows keep their minutes.
        kept = last - start + 1
        returns[:kept] = old_returns[carry - kept :]
        normal[:kept] = old_standard[carry - kept :]
    for column, (minute, values) in enumerate(zip(rows, standard, strict=True)):
        returns[minute - start, column] = values[:, 0]
        normal[minute - start, column] = values[:, 1]
    return Grid(minutes, start, returns, normal)


def hold(evaluated: Integers, values: Matrix, minutes: Integers, ttl: int) -> Matrix:
    """Carry evaluations forward as of each minute, with their age, until they are too old.

    Parameters
    ----------
    evaluated : ndarray of int64, shape (e,)
        Minutes of the evaluations that gave a value, increasing.
    values : ndarray of float64, shape (e, k)
    minutes : ndarray of int64, shape (t,)
    ttl : int
        Greatest age in minutes at which a value is still shown.

    Returns
    -------
    ndarray of float64, shape (t, k + 1)
        Values, then the age in minutes. The values are NaN once older than `ttl`; the age is NaN
        only before the first evaluation.
    """
    index = evaluated.searchsorted(minutes, side="right") - 1
    out = np.full((len(minutes), values.shape[1] + 1), np.nan)
    # Minutes and evaluations increase, so those before the first evaluation come first.
    first = int(index.searchsorted(0))
    index = index[first:]
    age = minutes[first:] - evaluated[index]
    fresh = age <= ttl
    out[first:, :-1][fresh] = values[index[fresh]]
    out[first:, -1] = age
    return out
