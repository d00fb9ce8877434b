"""How much an agent buys: fractional Kelly on the edge it has shown, within hard limits.

Kelly (1956): for a bet that wins ``payoff`` times the stake with probability ``win_rate`` the growth
rate is largest at ``win_rate - (1 - win_rate) / payoff`` of the capital at risk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from crucible.market.instruments import Instrument
from crucible.settings import ArenaSettings


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


@dataclass(frozen=True, slots=True)
class Size:
    """A size and how it came about; `qty` zero means do not trade, and `reason` says why."""

    qty: Decimal
    fraction: float
    reason: str


def kelly_fraction(edge: Edge) -> float:
    """Full Kelly fraction; negative when the edge is."""
    return edge.win_rate - (1.0 - edge.win_rate) / edge.payoff


def size_entry(
    edge: Edge | None,
    equity: Decimal,
    price: Decimal,
    instrument: Instrument,
    settings: ArenaSettings,
    *,
    proven: bool,
) -> Size:
    """Size an entry.

    An agent whose version is proven and whose edge is measured gets ``settings.kelly_fraction`` of
    Kelly, at most ``max_position_fraction`` of its equity, and nothing without a positive edge. An
    unproven one (the paper venue only) gets at least ``exploration_fraction``: live selection needs
    trades to judge.

    Parameters
    ----------
    edge : Edge or None
        None where no edge could be measured yet.
    equity : Decimal
        The agent's own capital and results, quote asset.
    price : Decimal
        Price expected for the entry.
    instrument : Instrument
    settings : ArenaSettings
    proven : bool
        Whether the version passed every gate.
    """
    if equity <= 0:
        return Size(Decimal(0), 0.0, f"equity is {equity}")
    kelly = 0.0 if edge is None else settings.kelly_fraction * kelly_fraction(edge)
    floor = 0.0 if proven else settings.exploration_fraction
    fraction = round(min(max(kelly, floor), settings.max_position_fraction), 9)
    if fraction <= 0:
        return Size(Decimal(0), 0.0, "no positive edge")
    reason = (
        f"{settings.kelly_fraction:g} of Kelly, at most {settings.max_position_fraction:g}"
        if kelly > floor
        else "exploration: the edge measured so far is not larger"
    )
    qty = instrument.round_qty(equity * Decimal(repr(fraction)) / price)
    if qty < instrument.min_qty or qty * price < instrument.min_notional:
        text = f"{qty} {instrument.symbol} at {price} is below the venue's minimum"
        return Size(Decimal(0), fraction, text)
    return Size(qty, fraction, reason)


def within_gross_limit(
    notional: Decimal, gross: Decimal, capital: Decimal, settings: ArenaSettings
) -> bool:
    """Whether a new notional keeps all agents together within the portfolio's gross limit."""
    return gross + notional <= capital * Decimal(repr(settings.max_gross_fraction))
