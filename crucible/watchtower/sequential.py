"""A test that may be looked at every 15 minutes: betting against "this agent has no edge".

A gambler who starts with 1 and may never win in expectation if the null hypothesis is true reaches
``1 / alpha`` with probability at most ``alpha``, however often one looks (Ville 1939). So wealth is
evidence that stays valid under continuous monitoring (Waudby-Smith and Ramdas, "Estimating means of
bounded random variables by betting", 2024). Wealth is averaged over a grid of bet sizes: a mixture of
test martingales is one, and no size has to be tuned.

A bet never loses more than its stake because one side of the returns is bounded: losses where gain is
sought, gains where loss is sought. The other side needs no bound, and is counted in full.

Gain is bet on from the first trade: what is promoted or proven has earned over its whole life. Loss is bet on from the first
trade and anew later on (`loss_wealth_path`): a rule that worked for long and ends is found by the trades since then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from crucible.errors import CrucibleError

BETS = np.linspace(0.05, 0.95, 19)
FROM_BIRTH = 0.5
"""Share of the stake that is bet on "it loses" from the first trade on."""
EVERY = 8
"""Trades between two beginnings of a bet on "it has begun to lose"."""
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
    """Evidence that an agent loses, or has begun to lose: what `loss_wealth_path` gives for the last trade.

    `largest_gain` is the largest gain that a trade can make. One that is too small would cut the
    gains of an agent that loses often and little and wins seldom and much, and condemn it.

    Examples
    --------
    >>> wealth_against_no_loss([], 0.02)
    1.0
    >>> wealth_against_no_loss([0.01] * 100 + [-0.01] * 40, 0.02) > 20
    True
    """
    path = loss_wealth_path(returns, largest_gain)
    return float(path[-1]) if len(path) else 1.0


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
    log_wealth = _log_wealth(returns, largest_loss, 1.0)[1:]
    path: npt.NDArray[np.float64] = np.exp(np.minimum(log_wealth, MOST_LOG_WEALTH)).mean(axis=1)
    return path


def loss_wealth_path(returns: npt.ArrayLike, largest_gain: float) -> npt.NDArray[np.float64]:
    """Evidence after each trade that an agent loses, or has begun to lose.

    A bet with the signs turned is placed at the first trade, with the share `FROM_BIRTH` of the stake, and another before
    every `EVERY`-th trade after it, with a share of the rest: 1/2 of it, 1/6, 1/12 and so on, which add up to all. Whoever
    earned for long and loses from some trade on would have to lose all of it again before a single bet from birth won
    anything; a bet that begins when the losing does wins at once. Shares of test martingales add up to one, so that the
    bound holds as for a single bet: an agent whose trades never lose in expectation, given what came before each, is
    condemned in its whole life with probability at most ``alpha``.

    Parameters
    ----------
    returns : array_like of float, shape (trades,)
    largest_gain : float
        As for `wealth_against_no_loss`.

    Returns
    -------
    ndarray of float64, shape (trades,)
        At least 0; what is not yet at stake counts as it is.

    Raises
    ------
    BoundError
        If the bound is not a positive number.
    EvidenceError
        If a return is not a number, or infinite.
    """
    log_wealth = _log_wealth(returns, largest_gain, -1.0)
    trades = len(log_wealth) - 1
    if trades == 0:
        return np.empty(0)
    starts = np.arange(0, trades, EVERY)
    place = np.arange(1, len(starts))
    shares = np.concatenate([[FROM_BIRTH], (1.0 - FROM_BIRTH) / (place * (place + 1.0))])
    # Of a bet that began at `start`, the wealth now is exp(now - then): all that have begun, added up in logarithms.
    stakes = np.logaddexp.accumulate(np.log(shares)[:, None] - log_wealth[starts], axis=0)
    begun = np.arange(trades) // EVERY
    wealth = np.exp(np.minimum(log_wealth[1:] + stakes[begun], MOST_LOG_WEALTH)).mean(axis=1)
    path: npt.NDArray[np.float64] = wealth + (1.0 - FROM_BIRTH) / (begun + 1.0)
    return path


def _log_wealth(returns: npt.ArrayLike, bound: float, side: float) -> npt.NDArray[np.float64]:
    """Logarithm of the wealth of each bet size before the first trade and after each, shape (trades + 1, bets).

    `side` is 1 where gain is bet on and -1 where loss is; the other side of the returns is bounded.
    """
    if not 0 < bound < math.inf:
        message = f"bound on returns is {bound}; it must be a number above 0"
        raise BoundError(message)
    values = np.asarray(returns, dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        place = int(np.argmin(finite))
        message = f"the return of trade {place + 1} is {values[place]}; it must be a number"
        raise EvidenceError(message)
    scaled = np.maximum(side * values / bound, -1.0)
    log_wealth = np.zeros((len(values) + 1, len(BETS)))
    np.cumsum(np.log1p(np.outer(scaled, BETS)), axis=0, out=log_wealth[1:])
    return log_wealth


@dataclass(slots=True)
class GainBet:
    """Evidence that a mean return is above zero, return by return: what `gain_wealth_path` gives for all at once.

    Parameters
    ----------
    bound : float
        The largest loss that one return can be, as a positive fraction.

    Raises
    ------
    BoundError
        If the bound is not a positive number.

    Examples
    --------
    >>> bet = GainBet(0.02)
    >>> for _ in range(20):
    ...     bet.add(0.01)
    >>> bet.wealth == wealth_against_no_gain([0.01] * 20, 0.02)
    True
    """

    bound: float
    _log_wealth: npt.NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self._log_wealth = _log_wealth((), self.bound, 1.0)[0]

    def add(self, value: float) -> None:
        """Take one more return; `EvidenceError` if it is infinite or not a number."""
        self._log_wealth = self._log_wealth + _log_wealth((value,), self.bound, 1.0)[1]

    @property
    def wealth(self) -> float:
        """At least 0; 1 before any return."""
        return float(np.exp(np.minimum(self._log_wealth, MOST_LOG_WEALTH)).mean())


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
