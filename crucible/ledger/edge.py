"""The edge of a strategy: how often its trades win, and how much more they win than they lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edge:
    """What is known of a strategy's trades: out-of-sample backtest first, then live ones as well.

    Attributes
    ----------
    trades : int
    win_rate : float
        Share of trades with a positive return after costs.
    payoff : float
        Mean winning return over mean losing return, both positive.
    """

    trades: int
    win_rate: float
    payoff: float

    @classmethod
    def of_returns(cls, returns: Sequence[float], stop: float) -> Edge | None:
        """Measure the edge of a list of net returns; None without a winner.

        Parameters
        ----------
        returns : sequence of float
            Of closed trades, as fractions.
        stop : float
            What a trade loses at its stop, as a positive fraction. Where no trade has lost, one more is counted
            that did, down to its stop: an edge without a loss has no size, and a run of winners does not prove
            that nothing is ever lost.

        Examples
        --------
        >>> Edge.of_returns([0.01, 0.01, -0.005, -0.005], stop=0.02)
        Edge(trades=4, win_rate=0.5, payoff=2.0)
        >>> Edge.of_returns([0.01, 0.01, 0.01], stop=0.02)
        Edge(trades=3, win_rate=0.75, payoff=0.5)
        """
        wins = [value for value in returns if value > 0]
        losses = [-value for value in returns if value < 0]
        if not wins:
            return None
        gained = sum(wins) / len(wins)
        if not losses:
            return cls(len(returns), len(wins) / (len(returns) + 1), gained / stop)
        return cls(len(returns), len(wins) / len(returns), gained / (sum(losses) / len(losses)))

    @classmethod
    def of_summary(cls, summary: Mapping[str, float | int | None], stop: float) -> Edge | None:
        """Read the edge from a backtest's summary: trades, win rate, mean trade and profit factor.

        The profit factor is gains over losses, so the payoff is it times losers over winners. None without a
        winner; where no trade has lost, one more is counted as in `of_returns`.
        """
        trades, win_rate = summary.get("trades"), summary.get("win_rate")
        factor, mean = summary.get("profit_factor"), summary.get("mean_trade")
        if not trades or not win_rate:
            return None
        if factor:
            return cls(int(trades), float(win_rate), float(factor) * (1 - win_rate) / win_rate)
        if not mean:
            return None
        winners = round(win_rate * trades)
        return cls(int(trades), winners / (trades + 1), float(mean) * trades / winners / stop)
