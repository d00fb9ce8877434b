"""Statistics of returns, and how much of a good result many trials explain.

Every Sharpe ratio here is per observation (per day or per trade as the caller gives), not
annualised.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from crucible.market.candles import Floats

EULER_GAMMA = 0.5772156649015329
YEAR_DAYS = 365
"""The market never closes."""
FEWEST_FOR_TEST = 10


def sharpe(returns: Floats) -> float:
    """Mean over standard deviation (one degree of freedom lost); NaN below three observations.

    NaN as well when the deviation is zero: nothing moved, so nothing was shown.
    """
    if len(returns) < 3:
        return float("nan")
    spread = float(np.std(returns, ddof=1))
    return float(np.mean(returns)) / spread if spread > 0 else float("nan")


def drawdown_curve(equity: Floats, start: float = -math.inf) -> Floats:
    """Fall from the highest equity so far, as a negative fraction of it, shape (n,).

    Parameters
    ----------
    equity : ndarray of float64, shape (n,)
    start : float
        Equity before the first value: a peak as well, where it is known.
    """
    result: Floats = equity / np.maximum.accumulate(np.maximum(equity, start)) - 1.0
    return result


def max_drawdown(equity: Floats) -> float:
    """Largest fall from a peak as a fraction of the peak; the start, 1, is a peak."""
    return abs(float(np.min(drawdown_curve(equity, 1.0)))) if len(equity) else 0.0


def expected_maximum_sharpe(trials: float, variance: float) -> float:
    """Sharpe ratio that the best of many worthless trials is expected to show.

    Bailey and Lopez de Prado, "The Deflated Sharpe Ratio", 2014, equation 1.

    Parameters
    ----------
    trials : float
        How many, as if independent.
    variance : float
        Of the trials' Sharpe ratios.
    """
    from scipy.special import ndtri

    if trials < 2:
        return 0.0
    high = float(ndtri(1 - 1 / trials))
    higher = float(ndtri(1 - 1 / (trials * math.e)))
    return math.sqrt(variance) * ((1 - EULER_GAMMA) * high + EULER_GAMMA * higher)


def deflated_sharpe(returns: Floats, trials: float) -> float:
    """Probability that the true Sharpe ratio beats what the count of trials explains.

    Bailey and Lopez de Prado, 2014, equation 2, with the skewness and kurtosis of the returns. The
    trials' Sharpe ratios are given the variance 1 / (n - 1) that worthless trials have by chance:
    measured over a population of programs it would mostly say how differently they burn fees.

    Parameters
    ----------
    returns : ndarray of float64, shape (n,)
    trials : float
        How many, as if independent: candidates counted one by one err on the strict side; see
        `crucible.forge.validation.null_maximum`.

    Returns
    -------
    float
        In [0, 1]; NaN where the Sharpe ratio is not defined.
    """
    from scipy.special import ndtr

    ratio = sharpe(returns)
    if not math.isfinite(ratio):
        return float("nan")
    centred = returns - np.mean(returns)
    spread = float(np.sqrt(np.mean(centred**2)))
    skewness = float(np.mean(centred**3)) / spread**3
    kurtosis = float(np.mean(centred**4)) / spread**4
    uncertainty = 1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2
    if uncertainty <= 0:
        return float("nan")
    edge = ratio - expected_maximum_sharpe(trials, 1 / (len(returns) - 1))
    return float(ndtr(edge * math.sqrt(len(returns) - 1) / math.sqrt(uncertainty)))


def overfitting_probability(returns: Floats, slices: int = 8) -> float:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation.

    Bailey, Borwein, Lopez de Prado, Zhu, "The Probability of Backtest Overfitting", 2015: over
    every way to choose half of the slices, how often the candidate that was best there ranks in the
    lower half of the rest *and earns nothing there*. The second condition is ours: where a whole
    field has the same real edge, its order is chance and rank alone would call it overfitted.

    Parameters
    ----------
    returns : ndarray of float64, shape (candidates, observations)
    slices : int
        Even.

    Returns
    -------
    float
        In [0, 1]; NaN with fewer than two candidates or two observations a slice.
    """
    candidates, observations = returns.shape
    if candidates < 2 or observations < 2 * slices:
        return float("nan")
    parts = np.array_split(np.arange(observations), slices)
    counts = np.array([len(part) for part in parts], dtype=np.float64)
    sums = np.stack([returns[:, part].sum(axis=1) for part in parts], axis=1)
    squares = np.stack([(returns[:, part] ** 2).sum(axis=1) for part in parts], axis=1)
    splits = np.zeros((math.comb(slices, slices // 2), slices))
    for row, chosen in enumerate(combinations(range(slices), slices // 2)):
        splits[row, list(chosen)] = 1

    def ratios(mask: Floats) -> Floats:
        count = mask @ counts
        mean = (sums @ mask.T) / count
        variance = (squares @ mask.T) / count - mean**2
        scale = np.sqrt(np.maximum(variance, 0))
        # A candidate that never traded shows nothing: it ranks as zero, neither good nor bad.
        result: Floats = np.divide(mean, scale, out=np.zeros_like(mean), where=scale > 1e-12)
        return result

    inside, outside = ratios(splits), ratios(1 - splits)
    best = np.argmax(inside, axis=0)
    chosen_value = outside[best, np.arange(len(splits))]
    below = (outside < chosen_value).sum(axis=0)
    ties = (outside == chosen_value).sum(axis=0)
    rank = (below + (ties + 1) / 2) / (candidates + 1)
    return float(np.mean((rank <= 0.5) & (chosen_value <= 0)))


def superior_probability(returns: Floats, seed: int, draws: int = 2_000) -> float:
    """p-value of Hansen's test that no candidate earns more than cash.

    Hansen, "A Test for Superior Predictive Ability", 2005, consistent version, by the stationary
    bootstrap; the candidates must not have been bred on these observations.

    Parameters
    ----------
    returns : ndarray of float64, shape (candidates, observations)
    seed : int
    draws : int
        Bootstrap samples.

    Returns
    -------
    float
        In [0, 1]; NaN below ten observations or where nobody's returns vary.
    """
    from arch.bootstrap import SPA

    moving = returns[returns.std(axis=1) > 0]
    observations = returns.shape[1]
    if observations < FEWEST_FOR_TEST or len(moving) == 0:
        return float("nan")
    # Losses: cash has none, a candidate's are its returns with the sign turned.
    test = SPA(
        np.zeros(observations),
        -moving.T,
        block_size=max(1, round(observations ** (1 / 3))),
        reps=draws,
        seed=seed % 2**32,
    )
    test.compute()
    return float(test.pvalues["consistent"])
