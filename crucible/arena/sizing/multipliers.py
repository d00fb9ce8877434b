"""Risk multipliers: what radar, micro-causality and influence take off the size of an entry.

Each is a number from its floor to 1 and never above it: information from these blocks may only
take risk off, so a wrong one costs size and never adds exposure. Each is monotone in what speaks
against the entry. A source that gives no figure, or whose figure is too old to be served, gets the
floor: not knowing is no reason to risk more. A block that has no source at all is left out and named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from crucible.features.frame import FeatureRow, FeatureSchema
from crucible.settings import MultiplierSettings

Side = Literal["buy", "sell"]
State = Literal["measured", "unknown", "absent", "off"]

RADAR = ("radar_distance", "radar_age")
MICRO_CAUSALITY = ("mce_skew", "mce_pressure", "mce_tier")
INFLUENCE = ("influence_in", "influence_age")
BOOK_TIER = 3.0


@dataclass(frozen=True, slots=True)
class Multiplier:
    """One block's multiplier and how it came about.

    Attributes
    ----------
    name : str
        ``radar``, ``micro_causality`` or ``influence``.
    state : str
        ``measured``; ``unknown`` where the source is stale or gave no figure, so that the floor
        applies; ``absent`` where there is no source; ``off`` where it is switched off.
    value : float or None
        In [floor, 1]; None where it is left out.
    inputs : mapping of str to float or None
        Features that it was made of, None for one without a figure.
    """

    name: str
    state: State
    value: float | None
    inputs: Mapping[str, float | None]

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {"state": self.state, "value": self.value, "inputs": dict(self.inputs)}


@dataclass(frozen=True, slots=True)
class RiskMultipliers:
    """The multipliers of one entry."""

    items: tuple[Multiplier, ...] = ()

    @property
    def product(self) -> float:
        """Product of those that are not left out; 1 where all are."""
        return math.prod(item.value for item in self.items if item.value is not None)

    def to_json(self) -> dict[str, Any]:
        """Give the multipliers by name, and their product, as JSON values."""
        return {**{item.name: item.to_json() for item in self.items}, "product": self.product}

    def __str__(self) -> str:
        """Name each in a few words, for a decision's reason."""
        return ", ".join(
            f"{item.name.replace('_', '-')} {item.state}"
            if item.value is None
            else f"{item.name.replace('_', '-')} {item.value:.2f}"
            + (" (unknown)" if item.state == "unknown" else "")
            for item in self.items
        )


NO_MULTIPLIERS = RiskMultipliers()
"""Takes nothing off; for callers that ask what a size would be without them."""


def risk_multipliers(row: FeatureRow, side: Side, settings: MultiplierSettings) -> RiskMultipliers:
    """Give every multiplier of an entry, from the features at its decision.

    Parameters
    ----------
    row : FeatureRow
        At the closed candle on which the entry is decided.
    side : str
        Of the entry.
    settings : MultiplierSettings
    """
    return RiskMultipliers(
        (
            _radar(row, settings),
            _micro_causality(row, 1.0 if side == "buy" else -1.0, settings),
            _influence(row, 1.0 if side == "buy" else -1.0, settings),
        )
    )


def shrink(against: float, floor: float) -> float:
    """Give the multiplier for how much speaks against an entry.

    Parameters
    ----------
    against : float
        0 for nothing; from 1 on the floor applies.
    floor : float

    Examples
    --------
    >>> shrink(0.0, 0.5), shrink(0.5, 0.5), shrink(7.0, 0.5)
    (1.0, 0.75, 0.5)
    """
    return 1.0 - (1.0 - floor) * min(max(against, 0.0), 1.0)


def serves_books(schema: FeatureSchema) -> bool:
    """Whether the features are computed with order books."""
    settings = schema.parameters.get("settings")
    return isinstance(settings, dict) and bool(settings.get("books"))


def has_trained_influence(schema: FeatureSchema) -> bool:
    """Whether the features are computed with a trained influence model."""
    return schema.parameters.get("influence") is not None


def _radar(row: FeatureRow, settings: MultiplierSettings) -> Multiplier:
    """Shrink with the distance of the market's shape from its trailing reference."""
    if not settings.radar:
        return Multiplier("radar", "off", None, {})
    if not _has(row, RADAR):
        return Multiplier("radar", "absent", None, {})
    distance = row["radar_distance"]
    span = settings.radar_far - settings.radar_calm
    return _measured("radar", row, RADAR, (distance - settings.radar_calm) / span, settings)


def _micro_causality(row: FeatureRow, sign: float, settings: MultiplierSettings) -> Multiplier:
    """Shrink with what leans and presses against the entry's side.

    Where books are served both must speak, and from a book: a source that fell back to candles is
    a stale one. Without books the pressure of classified volume speaks alone.
    """
    name = "micro_causality"
    if not settings.micro_causality:
        return Multiplier(name, "off", None, {})
    if not _has(row, MICRO_CAUSALITY):
        return Multiplier(name, "absent", None, {})
    press = max(0.0, -sign * row["mce_pressure"]) if _known(row, "mce_pressure") else math.nan
    if serves_books(row.schema):
        lean = max(0.0, -sign * row["mce_skew"]) if _known(row, "mce_skew") else math.nan
        against = lean + press if row["mce_tier"] == BOOK_TIER else math.nan
    else:
        against = press
    return _measured(name, row, MICRO_CAUSALITY, against, settings)


def _influence(row: FeatureRow, sign: float, settings: MultiplierSettings) -> Multiplier:
    """Shrink with the return of the other sign that the asset's leaders predict."""
    if not settings.influence:
        return Multiplier("influence", "off", None, {})
    if not _has(row, INFLUENCE) or not has_trained_influence(row.schema):
        return Multiplier("influence", "absent", None, {})
    against = -sign * row["influence_in"] / settings.influence_full
    return _measured("influence", row, INFLUENCE, against, settings)


def _measured(
    name: str,
    row: FeatureRow,
    features: tuple[str, ...],
    against: float,
    settings: MultiplierSettings,
) -> Multiplier:
    inputs = {feature: row[feature] if _known(row, feature) else None for feature in features}
    if not math.isfinite(against):
        return Multiplier(name, "unknown", settings.floor, inputs)
    return Multiplier(name, "measured", shrink(against, settings.floor), inputs)


def _has(row: FeatureRow, features: tuple[str, ...]) -> bool:
    return all(feature in row.schema for feature in features)


def _known(row: FeatureRow, feature: str) -> bool:
    return math.isfinite(row[feature])
