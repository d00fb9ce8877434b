"""What the features said of a symbol at a closed candle, as the ledger keeps it for whoever looks at the market."""

from __future__ import annotations

from typing import NamedTuple

KEPT_MINUTES = 43_200
"""Newest minutes of a symbol that are kept: the longest time that the live page shows."""
FIGURES = ("influence_in", "mce_pressure", "mce_skew", "radar_distance")
"""Fields of a reading that are numbers, in their order."""


class Reading(NamedTuple):
    """The reading of one symbol at one closed candle; None for what was not known then.

    Attributes
    ----------
    symbol : str
    ts : int
        Exclusive close time of the candle, market milliseconds.
    regime_change_detected : bool or None
        Whether the regime was taken to have changed.
    influence_in, mce_pressure, mce_skew, radar_distance : float or None
        As the features of these names.
    """

    symbol: str
    ts: int
    regime_change_detected: bool | None
    influence_in: float | None
    mce_pressure: float | None
    mce_skew: float | None
    radar_distance: float | None


class Step(NamedTuple):
    """The readings of a stretch of a symbol's candles, summed up.

    Attributes
    ----------
    ts : int
        Open time of the stretch, market milliseconds.
    minutes, regime_minutes : int
        Candles that have a reading, and those of them at which the regime was known.
    regime_change_detected : bool
        Whether the regime was taken to have changed at any of them.
    influence_in, mce_pressure, mce_skew, radar_distance : float or None
        Mean of what was known; None where nothing was.
    """

    ts: int
    minutes: int
    regime_minutes: int
    regime_change_detected: bool
    influence_in: float | None
    mce_pressure: float | None
    mce_skew: float | None
    radar_distance: float | None
