"""A test that may be looked at every 15 minutes: betting against "this agent has no edge".

A gambler who starts with 1 and may never win in expectation if the null hypothesis is true reaches
``1 / alpha`` with probability at most ``alpha``, however often one looks (Ville 1939). So wealth is
evidence that stays valid under continuous monitoring (Waudby-Smith and Ramdas, "Estimating means of
bounded random variables by betting", 2024). Wealth is averaged over a grid of bet sizes: a mixture of
test martingales is one, and no size has to be tuned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crucible.errors import CrucibleError

BETS = np.linspace(0.05, 0.95, 19)


class BoundError(CrucibleError, ValueError):
    """A bound on returns that is not a positive number."""


def wealth_against_no_gain(returns: Sequence[float], bound: float) -> float:
    """Evidence that the mean return is above zero.

    Parameters
    ----------
    returns : sequence of float
        Net returns of closed trades, oldest first, as fractions.
    bound : float
        The largest loss that a trade can make, as a positive fraction. A loss beyond it is counted
        as the bound; gains are cut at the bound, which only weakens the evidence.

    Returns
    -------
    float
        At least 0; 1 before any trade. Under "mean <= 0" it exceeds ``1 / alpha`` at any time with
        probability at most ``alpha``.

    Raises
    ------
    BoundError
        If the bound is not a positive number.

    Examples
    --------
    >>> wealth_against_no_gain([], 0.02)
    1.0
    >>> wealth_against_no_gain([0.01] * 20, 0.02) > 100
    True
    """
    if not bound > 0:
        message = f"bound on returns is {bound}; it must be above 0"
        raise BoundError(message)
    if not returns:
        return 1.0
    scaled = np.clip(np.asarray(returns, dtype=np.float64) / bound, -1.0, 1.0)
    log_wealth = np.log1p(np.outer(scaled, BETS)).sum(axis=0)
    largest = float(log_wealth.max())
    return float(np.exp(largest) * np.exp(log_wealth - largest).mean())


def wealth_against_no_loss(returns: Sequence[float], bound: float) -> float:
    """Evidence that the mean return is below zero: the same test with the signs turned."""
    return wealth_against_no_gain([-value for value in returns], bound)
