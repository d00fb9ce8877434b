"""How unlike the incumbents a candidate earns, measured by its daily returns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crucible.features.frame import FeatureFrame
from crucible.forge.backtest.engine import ForgeError, Market, backtest
from crucible.market.candles import Candles, Floats, Integers
from crucible.market.funding import Funding, charged
from crucible.settings import ForgeSettings
from crucible.strategies.contract import Strategy

# Fewer common days than this, and a correlation of returns says nothing.
FEWEST_COMMON_DAYS = 10


@dataclass(frozen=True, slots=True)
class Incumbents:
    """What the incumbents earned, day by day.

    Attributes
    ----------
    names : tuple of str
        Of the agents, for example ``BTCUSDT-gp-1/3``.
    days : ndarray of int64, shape (days,)
        UTC days of the market counted from 1970, ascending.
    returns : ndarray of float64, shape (days, agents)
        Daily returns; NaN where an agent's is not known.

    Raises
    ------
    ForgeError
        If the shapes do not match, a day is not after the one before, or a return is infinite.
    """

    names: tuple[str, ...]
    days: Integers
    returns: Floats

    def __post_init__(self) -> None:
        if self.returns.shape != (len(self.days), len(self.names)):
            message = (
                f"incumbents: returns of shape {self.returns.shape} for {len(self.days)} days and "
                f"{len(self.names)} agents; give one row for each day, one column for each agent"
            )
            raise ForgeError(message)
        if len(self.days) and (np.diff(self.days) <= 0).any():
            place = int(np.argmax(np.diff(self.days) <= 0))
            message = (
                f"incumbents: day {self.days[place + 1]} comes after day {self.days[place]}; "
                "give every day once, in order"
            )
            raise ForgeError(message)
        if np.isinf(self.returns).any():
            day, agent = np.argwhere(np.isinf(self.returns))[0]
            message = (
                f"incumbents: {self.names[agent]} has an infinite return on day {self.days[day]}; "
                "leave the agent out or give NaN"
            )
            raise ForgeError(message)

    def digest(self) -> str:
        """Return a hash of names, days and returns: part of a forge run's identity."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        digest.update(np.ascontiguousarray(self.days, np.int64).tobytes())
        digest.update(np.ascontiguousarray(self.returns, np.float64).tobytes())
        return digest.hexdigest()


def earned(
    strategies: Mapping[str, Strategy],
    candles: Candles,
    frame: FeatureFrame,
    settings: ForgeSettings,
    funding: Funding | None = None,
) -> Incumbents:
    """Backtest strategies on the candles that a forge run uses.

    Parameters
    ----------
    strategies : mapping of str to Strategy
        By the name of the agent; of the frame's schema.
    candles : Candles
        n candles: those that a forge run uses.
    frame : FeatureFrame
        Features of the same n candles.
    settings : ForgeSettings
    funding : Funding, optional
        Charged where it is known.

    Raises
    ------
    ForgeError
        If candles and features do not match.
    """
    market = Market.of(candles, frame, charged(funding, candles.ts))
    days = np.unique(market.day)
    returns = np.empty((len(days), len(strategies)))
    for column, strategy in enumerate(strategies.values()):
        signals = strategy.signals(frame)
        test = backtest(signals, market, strategy.exits, settings.costs)
        returns[:, column] = test.daily_returns
    return Incumbents(tuple(strategies), days, returns)


class Novelty:
    """Measures candidates against the incumbents over the days of the training window.

    Parameters
    ----------
    incumbents : Incumbents, optional
    days : ndarray of int64, shape (n,)
        Days of the candidates' returns.
    whole : int
        How many of them, from the first, the window holds to their end. A day that the window cuts
        is compared with nobody's.

    Attributes
    ----------
    agents : tuple of str
        Those that can be compared with: their returns are known, and not all equal, over at least
        `FEWEST_COMMON_DAYS` common days. Without any, novelty is no objective.
    left_out : dict of str to str
        The others, and why.
    """

    def __init__(self, incumbents: Incumbents | None, days: Integers, whole: int) -> None:
        self.left_out: dict[str, str] = {}
        self._peers: list[tuple[Integers, Floats]] = []
        agents = []
        held = incumbents or Incumbents((), np.empty(0, np.int64), np.empty((0, 0)))
        _, rows, places = np.intersect1d(held.days, days[:whole], return_indices=True)
        for column, name in enumerate(held.names):
            returns = held.returns[rows, column]
            known = ~np.isnan(returns)
            if known.sum() < FEWEST_COMMON_DAYS:
                self.left_out[name] = (
                    f"{int(known.sum())} common days of {whole} in training, "
                    f"{FEWEST_COMMON_DAYS} are needed"
                )
            elif np.ptp(returns[known]) == 0:
                self.left_out[name] = "its daily returns in training are all the same"
            else:
                agents.append(name)
                self._peers.append((places[known], returns[known]))
        self.agents = tuple(agents)

    def of(self, daily: Floats) -> float:
        """Return 1 less the largest absolute correlation with any agent's daily returns.

        NaN where it is not defined: nobody to compare with, or returns that are all the same over
        the days in common with an agent.

        Parameters
        ----------
        daily : ndarray of float64, shape (n,)
            A candidate's returns of the training days.
        """
        if not self._peers:
            return float("nan")
        largest = 0.0
        for places, returns in self._peers:
            own = daily[places]
            if not np.isfinite(own).all() or np.ptp(own) == 0:
                return float("nan")
            largest = max(largest, abs(float(np.corrcoef(own, returns)[0, 1])))
        # Rounding may leave a correlation of one a hair above one.
        return max(0.0, 1.0 - largest)

    def describe(self) -> str:
        """Tell in a sentence what novelty is measured against, or why it is not measured."""
        out = "; ".join(f"{name}: {reason}" for name, reason in self.left_out.items())
        if self.agents:
            reported = f"novelty is measured against {', '.join(self.agents)}"
        else:
            reported = f"novelty is no objective: {'nobody' if out else 'no agent'} to compare with"
        return f"{reported} (left out: {out})" if out else reported
