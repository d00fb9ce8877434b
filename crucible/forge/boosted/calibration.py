"""What a probability was worth on rows that its model never saw, and the thresholds that follow.

A classifier's probability is one of its training rows, drawn and weighted as they were. What a trader
wants to know is what a trade earned after costs where the model said so much, out of fold. Net
return is taken to rise with the probability, so the isotonic regression of net return on probability
is above zero from one probability on; that is the one from which all trades together earned most.

Robertson, Wright, Dykstra, "Order Restricted Statistical Inference", 1988.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crucible.market.candles import Floats


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds of a model as other rows than its own taught them.

    Attributes
    ----------
    levels : ndarray of float64, shape (n,)
        Distinct probabilities seen, ascending.
    share : ndarray of float64, shape (n,)
        Share of rows at or below each level.
    pays_from : float
        The probability from which a trade is expected to earn after costs; above every level if
        there is none.
    falls_until : float
        The probability up to which a trade is expected to lose before costs; below every level
        if there is none.
    """

    levels: Floats
    share: Floats
    pays_from: float
    falls_until: float

    def thresholds(self, buy_rate: float, exit_rate: float) -> tuple[float, float]:
        """Probabilities at which to buy and to exit, the second always below the first.

        Parameters
        ----------
        buy_rate, exit_rate : float
            Largest shares of rows that buy and that exit, where what was calibrated would be more.
            A level is taken whole, the outermost always where it was calibrated; an `exit_rate`
            of zero never exits.
        """
        above = np.concatenate([[1.0], 1.0 - self.share[:-1]])
        # A sliver more, because shares are sums of floats.
        rare = int(np.argmax(above <= buy_rate + 1e-12)) if above[-1] <= buy_rate else -1
        buy_at = max(self.pays_from, float(self.levels[rare]))
        few = max(1, int(np.searchsorted(self.share, exit_rate + 1e-12, side="right")))
        below = float(self.levels[few - 1]) if exit_rate > 0 else _under(self.levels[0])
        return buy_at, min(self.falls_until, below, _under(buy_at))


def calibrate(
    probabilities: Floats, net_return: Floats, weight: Floats, charge: float
) -> Calibration:
    """Learn thresholds from rows that the model did not see.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n,)
        None of them NaN. Without any row nothing is known to pay, and nothing is ever bought.
    net_return : ndarray of float64, shape (n,)
        Of the trade decided at each row, after costs.
    weight : ndarray of float64, shape (n,)
        Average uniqueness.
    charge : float
        What a trade costs, as a fraction of its notional.
    """
    if len(probabilities) == 0:
        return Calibration(np.ones(1), np.ones(1), pays_from=_over(1.0), falls_until=_under(0.0))
    levels, place, count = np.unique(probabilities, return_inverse=True, return_counts=True)
    net = np.bincount(place, weight * net_return, len(levels))
    gross = np.bincount(place, weight * (net_return + charge), len(levels))
    # What is earned by buying at a level and everywhere above; avoided by leaving there and below.
    earned = np.cumsum(net[::-1])[::-1]
    avoided = -np.cumsum(gross)
    buy, leave = int(np.argmax(earned)), int(np.argmax(avoided))
    return Calibration(
        levels=levels,
        share=np.cumsum(count) / len(probabilities),
        pays_from=float(levels[buy]) if earned[buy] > 0 else _over(levels[-1]),
        falls_until=float(levels[leave]) if avoided[leave] > 0 else _under(levels[0]),
    )


def _over(level: float) -> float:
    return float(np.nextafter(level, np.inf))


def _under(level: float) -> float:
    return float(np.nextafter(level, -np.inf))
