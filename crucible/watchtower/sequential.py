"""A test that may be looked at every 15 minutes: betting against "this agent has no edge".

A gambler who starts with 1 and may never win in expectation if the null hypothesis is true reaches
``1 / alpha`` with probability at most ``alpha``, however often one looks (Ville 1939). So wealth is
evidence that stays valid under continuous monitoring (Waudby-Smith and Ramdas, "Estimating means of
bounded random variables by betting", 2024). Wealth is averaged over a grid of bet sizes: a mixture of
test martingales is one, and no size has to be tuned.

A bet never loses more than its stake because one side of the returns is bounded: losses where gain is
sought, gains where loss is sought. The other side needs no bound, and is counted in full.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from crucible.errors import CrucibleError

BETS = np.linspace(0.05, 0.95, 19)
MOST_LOG_WEALTH = 700.0
"""Wealth beyond its exponential is counted as that: a number that floats and JSON can hold."""


class BoundError(CrucibleError, ValueError):
    """A bound on returns that is not a positive number."""


class EvidenceError(CrucibleError, ValueError):
    """What is no evidence: not a number, infinite, or negative."""


def wealth_against_no_gain(returns: Sequence[float], largest_loss: float) -> float:
    """Evidence that the mean return is above zero.

    Parameters
    ----------
    returns : sequence of float
        Net returns of closed trades, oldest first, as fractions.
    largest_loss : float
        The largest loss that a trade can make, as a positive fraction. A loss beyond it is counted
        as that.

    Returns
    -------
    float
        At least 0; 1 before any trade. Under "mean <= 0" it exceeds ``1 / alpha`` at any time with
        probability at most ``alpha``.

    Raises
    ------
    BoundError
        If the bound is not a positive number.
    EvidenceError
        If a return is not a number, or infinite.

    Examples
    --------
    >>> wealth_against_no_gain([], 0.02)
    1.0
    >>> wealth_against_no_gain([0.01] * 20, 0.02) > 100
    True
    """
    path = gain_wealth_path(returns, largest_loss)
    return float(path[-1]) if len(path) else 1.0


def wealth_against_no_loss(returns: Sequence[float], largest_gain: float) -> float:
    """Evidence that the mean return is below zero: the same test with the signs turned.

    `largest_gain` is the largest gain that a trade can make. One that is too small would cut the
    gains of an agent that loses often and little and wins seldom and much, and condemn it.
    """
    return wealth_against_no_gain([-value for value in returns], largest_gain)


def gain_wealth_path(returns: npt.ArrayLike, largest_loss: float) -> npt.NDArray[np.float64]:
    """Evidence that the mean return is above zero after each trade, in one pass over the trades.

    Parameters
    ----------
    returns : array_like of float, shape (trades,)
        Net returns of closed trades, oldest first, as fractions.
    largest_loss : float
        As for `wealth_against_no_gain`.

    Returns
    -------
    ndarray of float64, shape (trades,)
        What `wealth_against_no_gain` gives for the trades up to and including each.

    Raises
    ------
    BoundError
        If the bound is not a positive number.
    EvidenceError
        If a return is not a number, or infinite.
    """
    if not 0 < largest_loss < math.inf:
        message = f"bound on returns is {largest_loss}; it must be a number above 0"
        raise BoundError(message)
    values = np.asarray(returns, dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        place = int(np.argmin(finite))
        message = f"the return of trade {place + 1} is {values[place]}; it must be a number"
        raise EvidenceError(message)
    scaled = np.maximum(values / largest_loss, -1.0)
    log_wealth = np.cumsum(np.log1p(np.outer(scaled, BETS)), axis=0)
    path: npt.NDArray[np.float64] = np.exp(np.minimum(log_wealth, MOST_LOG_WEALTH)).mean(axis=1)
    return path


def loss_wealth_path(returns: npt.ArrayLike, largest_gain: float) -> npt.NDArray[np.float64]:
    """Evidence that the mean return is below zero after each trade: the signs turned."""
    return gain_wealth_path(-np.asarray(returns, dtype=np.float64), largest_gain)


def wealth_of_segments(segments: Iterable[float]) -> float:
    """Join the evidence of segments of one life that follow one another: their product.

    A segment is a bet of its own: it begins with a wealth of 1 after the former has ended, so given all that
    was known at its beginning its final wealth is at most 1 in expectation where nothing is gained. By
    iterated expectation the product is, too: the gambler bets in each segment what was left of the former.
    A mean would lose this power, a maximum its validity. The segments must not overlap in time, and none
    may be left out because of how it ended.

    Parameters
    ----------
    segments : iterable of float
        Final wealth of each, at least 0.

    Returns
    -------
    float
        At least 0, at most ``exp(MOST_LOG_WEALTH)``; 1 for no segment.

    Raises
    ------
    EvidenceError
        If a wealth is negative, infinite, or not a number.

    Examples
    --------
    >>> wealth_of_segments([]), wealth_of_segments([4.0, 0.5])
    (1.0, 2.0)
    """
    wealth = list(segments)
    for place, value in enumerate(wealth, 1):
        if not 0 <= value < math.inf:
            message = (
                f"the evidence of segment {place} is {value}; it must be a number of at least 0"
            )
            raise EvidenceError(message)
    if 0 in wealth:
        return 0.0
    # A product of plain floats would overflow to infinity, or end at 0 halfway.
    return math.exp(min(math.fsum(map(math.log, wealth)), MOST_LOG_WEALTH))
