"""Which candles a forge run uses: all that are given, as far as memory allows, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from crucible.market.candles import Candles
from crucible.settings import FEWEST_CANDLES, ForgeSettings, Kind
from crucible.text import moment

BASE_BYTES = 700_000_000
"""What a forge run holds besides its rows: packages, compiled code, a population's registers."""
FEATURE_BYTES: dict[Kind, int] = {"gp": 14, "boosted": 24}
"""Of one feature of one row: as computed, as the interpreter reads it; for a classifier a copy and its ranks in every
set of folds."""
ROW_BYTES: dict[Kind, int] = {"gp": 300, "boosted": 900}
"""Of one row besides its features: candles, signals, equity; for a classifier labels and probabilities of many fits."""
GIGABYTE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """The candles that a forge run uses, of those that it was given.

    Attributes
    ----------
    given, used : int
        Candles; the used ones are the newest.
    first_ts, last_ts : int
        Open time of the first used candle and close time of the last, epoch milliseconds.
    bound : str
        What left the others out; empty where none is.
    """

    given: int
    used: int
    first_ts: int
    last_ts: int
    bound: str = ""

    @classmethod
    def of(cls, candles: Candles, features: int, settings: ForgeSettings, kind: Kind) -> Span:
        """Take as many of the newest candles as the settings' bounds let in.

        Parameters
        ----------
        candles : Candles
            All that there are of the symbol, at least one.
        features : int
            Features of each candle.
        settings : ForgeSettings
        kind : {"gp", "boosted"}
            Of the slot that is forged.
        """
        given = len(candles)
        within = candles_within(settings.memory_gb, features, kind)
        bound = ""
        if given > min(within, settings.max_candles):
            bound = f"forge.max_candles = {settings.max_candles:,}"
            if within < settings.max_candles:
                bound = f"forge.memory_gb = {settings.memory_gb:g} holds {within:,} candles of {features} features"
        used = min(given, within, settings.max_candles)
        return cls(given, used, int(candles.ts[-used]), int(candles.close_ts[-1]), bound)

    @classmethod
    def all_of(cls, candles: Candles) -> Span:
        """Take every candle, of which there is at least one."""
        return cls(len(candles), len(candles), int(candles.ts[0]), int(candles.close_ts[-1]))

    @property
    def left_out(self) -> int:
        """Older candles that are not used."""
        return self.given - self.used

    def describe(self) -> str:
        """Tell in a line which candles are used and which are not.

        Examples
        --------
        >>> Span(3_000, 2_000, 60_000_000, 180_000_000, "forge.max_candles = 2,000").describe()
        'the newest 2,000 of 3,000 candles, 1970-01-01 16:40 to 1970-01-03 02:00; 1,000 older ones are \
left out: forge.max_candles = 2,000'
        """
        when = f"{moment(self.first_ts)} to {moment(self.last_ts)}"
        if not self.left_out:
            return f"all {self.used:,} candles, {when}"
        return (
            f"the newest {self.used:,} of {self.given:,} candles, {when}; {self.left_out:,} older ones are "
            f"left out: {self.bound}"
        )

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Span:
        """Read what `to_json` wrote."""
        return cls(**{name: values[name] for name in cls.__slots__})

    def to_json(self) -> dict[str, Any]:
        """JSON-able, with the line that tells it."""
        return {**asdict(self), "left_out": self.left_out, "description": self.describe()}


def candles_within(memory_gb: float, features: int, kind: Kind) -> int:
    """Count the candles of which a forge run stays within so much memory, and no fewer than one needs.

    Parameters
    ----------
    memory_gb : float
        Gigabytes of resident memory at the peak.
    features : int
        Features of each candle.
    kind : {"gp", "boosted"}
    """
    held = memory_gb * GIGABYTE - BASE_BYTES
    return max(FEWEST_CANDLES, int(held // (FEATURE_BYTES[kind] * features + ROW_BYTES[kind])))
