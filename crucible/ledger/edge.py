"""The edge of a strategy: how often its trades win, and how much more they win than they lose."""

from __future__ import annotations

from collections.abc import Mapping
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
    def of_returns(cls, returns: list[float]) -> Edge | None:
        """Measure the edge of a list of net returns; None where it is not defined.

        It is not defined before there is at least one winner and one loser.
        """
        wins = [value for value in returns if value > 0]
        losses = [-value for value in returns if value < 0]
        if not wins or not losses:
            return None
        payoff = (sum(wins) / len(wins)) / (sum(losses) / len(losses))
        return cls(len(returns), len(wins) / len(returns), payoff)

    @classmethod
    def of_summary(cls, summary: Mapping[str, float | int | None]) -> Edge | None:
        """Read the edge from a backtest's summary: trades, win rate and profit factor.

        The profit factor is gains over losses, so the payoff is it times losers over winners.
        None where it is not defined: no winner or no loser.
        """
        trades, win_rate = summary.get("trades"), summary.get("win_rate")
        factor = summary.get("profit_factor")
        if not trades or not win_rate or not factor or win_rate >= 1:
            return None
        return cls(int(trades), float(win_rate), float(factor) * (1 - win_rate) / win_rate)
