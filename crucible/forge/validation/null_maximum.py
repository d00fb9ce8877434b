"""How good the best of everything looked at would have been by chance, and how many trials that is.

Candidates of a search are near copies of each other, and so are the comparisons of an event study: counted as if
independent they are too many. Here every candidate and every comparison is judged again on the same days with the
sign of each whole day drawn at random, the same draw for all of them. That takes away whatever edge there was and
keeps how alike they are. The best of all in each draw is kept; the mean over the draws is the Sharpe ratio that
chance alone is expected to show, and the count of independent trials that is expected to show the same is the
effective number of trials.

White, "A Reality Check for Data Snooping", 2000, with random signs (Romano and Wolf, 2005) in place of a
bootstrap; Bailey and Lopez de Prado, "The Deflated Sharpe Ratio", 2014, for the count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crucible.forge.backtest.statistics import expected_maximum_sharpe
from crucible.market.candles import Floats, Integers

DRAWS = 256
"""Draws of signs: the expected maximum is known to some 0.03 standard errors, the count to a tenth of itself."""
MOST_TRIALS = 1e12


class NullMaximum:
    """Keeps the best of everything looked at, in each of `DRAWS` worlds without any edge.

    Parameters
    ----------
    seed : int
        The same seed gives the same signs, on every island and after every resumption.
    days : int
        Days of the training window.

    Attributes
    ----------
    largest : ndarray of float64, shape (DRAWS,)
        Sum of the signed daily returns over the root of the sum of their squares, of the best in each draw;
        minus infinity before anything was looked at.
    """

    def __init__(self, seed: int, days: int) -> None:
        generator = np.random.default_rng([seed, 5])
        self.days = days
        self._signs: npt.NDArray[np.float32] = generator.choice(
            np.array([-1, 1], np.float32), (days, DRAWS)
        )
        # Each row becomes whole numbers that 32-bit sums hold exactly, so that the order in which a processor adds
        # them, which goes by its kind and by the number of rows, changes no bit. A row of length 1 adds up to the root
        # of the days at most, and each rounding to half of one.
        self._grid = 2.0 ** (22 - math.ceil(math.log2(max(days, 1)) / 2))
        self.largest = np.full(DRAWS, -np.inf)

    def observe(self, returns: Floats) -> None:
        """Heed what was looked at.

        Parameters
        ----------
        returns : ndarray of float64, shape (looks, days)
            Daily returns of candidates, or by day the sums of what a comparison compares. Rows that are zero
            throughout, or not finite, show nothing.
        """
        scale = np.sqrt(np.einsum("ij,ij->i", returns, returns))
        shown = np.isfinite(scale) & (scale > 0)
        if shown.any():
            scaled = np.rint(returns[shown] / scale[shown, None] * self._grid).astype(np.float32)
            best = (scaled @ self._signs).max(axis=0) / self._grid
            self.largest = np.maximum(self.largest, best)

    def observe_groups(self, rows: Sequence[tuple[Integers, Floats]]) -> None:
        """Heed comparisons, each given as the days of its observations and their values."""
        if rows:
            sums = [np.bincount(day, value, minlength=self.days) for day, value in rows]
            self.observe(np.array(sums))

    def restore(self, largest: Sequence[float]) -> None:
        """Go on from an earlier state; an empty one is the beginning."""
        self.largest = np.array(largest) if len(largest) else np.full(DRAWS, -np.inf)

    def state(self) -> list[float]:
        """Return JSON-able values for `restore`; empty before anything was looked at."""
        return [] if np.isinf(self.largest).any() else [float(value) for value in self.largest]


def merged(states: Sequence[Sequence[float]]) -> list[float]:
    """Join what several searches with the same signs looked at: the best of them in each draw."""
    held = [state for state in states if len(state)]
    return [float(value) for value in np.max(held, axis=0)] if held else []


def effective_trials(largest: Sequence[float], days: int) -> float | None:
    """Count the independent trials whose best is expected to be as good as the best of the draws.

    Parameters
    ----------
    largest : sequence of float
        See `NullMaximum.state`.
    days : int

    Returns
    -------
    float or None
        At least 1; None where nothing was looked at.
    """
    if not len(largest) or days < 3:
        return None
    sums = np.minimum(np.array(largest) ** 2, days * (1 - 1e-9))
    # The sum over the root of the squares, as mean over standard deviation.
    ratios = np.sign(largest) * np.sqrt(sums / (days - sums) * (days - 1) / days)
    wanted = float(ratios.mean())
    low, high = 0.0, math.log(MOST_TRIALS)
    for _ in range(60):
        middle = (low + high) / 2
        if expected_maximum_sharpe(math.exp(middle), 1 / (days - 1)) < wanted:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)
