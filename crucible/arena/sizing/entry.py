"""How much an agent buys: fractional Kelly on the edge it has shown, times what takes risk off.

`entry_fraction` is the one place where a share of capital is decided: for live and simulated
entries (`size_entry`) and for the sized figures of a backtest (`sized`). Kelly (1956): for a bet that wins ``payoff`` times the stake with probability ``win_rate`` the growth
rate is largest at ``win_rate - (1 - win_rate) / payoff`` of the capital at risk.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from crucible.arena.sizing.multipliers import RiskMultipliers
from crucible.ledger.edge import Edge
from crucible.market.instruments import Instrument
from crucible.settings import ArenaSettings

OWN_TRADES = 10
"""Own trades from which on an agent believes its own edge, where nothing measured one before."""


@dataclass(frozen=True, slots=True)
class Size:
    """A size and how it came about; `qty` zero means do not trade, and `reason` says why.

    Attributes
    ----------
    qty : Decimal
        Base asset.
    fraction : float
        Share of the agent's equity, after the multipliers.
    reason : str
    before : float
        The same share before the multipliers.
    multipliers : RiskMultipliers
    """

    qty: Decimal
    fraction: float
    reason: str
    before: float
    multipliers: RiskMultipliers

    def to_json(self) -> dict[str, Any]:
        """Give all that made the size as JSON values, for the decision's record."""
        return {
            "fraction_before": self.before,
            "multipliers": self.multipliers.to_json(),
            "fraction": self.fraction,
        }


def kelly_fraction(edge: Edge) -> float:
    """Full Kelly fraction; negative when the edge is."""
    return edge.win_rate - (1.0 - edge.win_rate) / edge.payoff


def current_edge(own: Edge | None, born_with: Edge | None) -> Edge | None:
    """Give an agent's own edge once it has trades enough, else what the Forge measured.

    Parameters
    ----------
    own : Edge or None
        Of its closed trades.
    born_with : Edge or None
        Measured out of sample before the first trade.
    """
    if own is not None and own.trades >= (born_with.trades if born_with else OWN_TRADES):
        return own
    return born_with


def entry_fraction(
    edge: Edge | None,
    settings: ArenaSettings,
    multipliers: RiskMultipliers,
    *,
    proven: bool,
) -> tuple[float, float, str]:
    """Decide the share of an agent's equity that an entry gets.

    An agent whose version is proven and whose edge is measured gets ``settings.kelly_fraction`` of
    Kelly, at most ``max_position_fraction`` of its equity, and nothing without a positive edge. An
    unproven one (the paper venue only) gets at least ``exploration_fraction``: live selection needs
    trades to judge. So does one that is proven by living alone: that it gains is proven, the Forge's edge
    is not. The multipliers then only take off.

    Parameters
    ----------
    edge : Edge or None
        None where no edge could be measured yet.
    settings : ArenaSettings
    multipliers : RiskMultipliers
    proven : bool
        Whether the version passed every gate: its edge is what it is sized by.

    Returns
    -------
    fraction, before : float
        After and before the multipliers; 0 for no entry.
    reason : str
    """
    kelly = 0.0 if edge is None else settings.kelly_fraction * kelly_fraction(edge)
    floor = 0.0 if proven else settings.exploration_fraction
    before = round(min(max(kelly, floor), settings.max_position_fraction), 9)
    if before <= 0:
        return 0.0, 0.0, "no positive edge"
    reason = (
        f"{settings.kelly_fraction:g} of Kelly, at most {settings.max_position_fraction:g}"
        if kelly > floor
        else "exploration: the edge measured so far is not larger"
    )
    if multipliers.items:
        reason = f"{reason}; {multipliers}"
    return round(before * multipliers.product, 9), before, reason


def size_entry(
    edge: Edge | None,
    equity: Decimal,
    price: Decimal,
    instrument: Instrument,
    settings: ArenaSettings,
    multipliers: RiskMultipliers,
    *,
    proven: bool,
) -> Size:
    """Size an entry: `entry_fraction` of the equity, on the venue's grid.

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
    multipliers : RiskMultipliers
    proven : bool
        Whether the version passed every gate: its edge is what it is sized by.
    """
    if equity <= 0:
        return Size(Decimal(0), 0.0, f"equity is {equity}", 0.0, multipliers)
    fraction, before, reason = entry_fraction(edge, settings, multipliers, proven=proven)
    if fraction <= 0:
        return Size(Decimal(0), 0.0, reason, before, multipliers)
    qty = instrument.round_qty(equity * Decimal(repr(fraction)) / price)
    if qty < instrument.min_qty or qty * price < instrument.min_notional:
        text = f"{qty} {instrument.symbol} at {price} is below the venue's minimum; {reason}"
        return Size(Decimal(0), fraction, text, before, multipliers)
    return Size(qty, fraction, reason, before, multipliers)


def within_gross_limit(
    notional: Decimal, gross: Decimal, capital: Decimal, settings: ArenaSettings
) -> bool:
    """Whether a new notional keeps all agents together within the portfolio's gross limit."""
    return gross + notional <= capital * Decimal(repr(settings.max_gross_fraction))
