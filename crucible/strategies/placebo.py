"""A placebo: a strategy that enters at random, so that it is known to have no edge.

It is never registered and never forged; the arena makes it (`crucible.arena.shadow.placebos`).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from crucible.errors import StrategyError
from crucible.features.frame import FeatureFrame, FeatureRow
from crucible.strategies.contract import Exits
from crucible.strategies.gp import exits_to_json
from crucible.vm.signals import Signal, Signals

KIND = "placebo"


@dataclass(frozen=True, slots=True)
class Placebo:
    """Buys with the same probability at every closed candle and asks for no exit.

    Whether it buys is a function of seed, symbol, life and market time alone: it carries no state, and whoever
    makes it anew gets the same decisions.

    Parameters
    ----------
    symbol : str
    exits : Exits
        Stop, target and timeout of the version that it is compared with.
    gap : float
        Market minutes between two trades of that version; it buys once in so many closed candles.
    seed : int
    life : int
        Number of the life: another one has other decisions.

    Raises
    ------
    StrategyError
        If the gap is not a number above zero.
    """

    symbol: str
    exits: Exits
    gap: float
    seed: int
    life: int

    def __post_init__(self) -> None:
        if not 0 < self.gap < math.inf:
            message = f"{self.symbol}: a placebo with a gap of {self.gap} minutes; it must be a number above 0"
            raise StrategyError(message)

    @property
    def kind(self) -> str:
        """Always ``placebo``."""
        return KIND

    @property
    def schema_hash(self) -> str:
        """Empty: it reads no feature."""
        return ""

    @property
    def features(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def warmup(self) -> int:
        """Zero: it needs no history."""
        return 0

    def signals(self, frame: FeatureFrame) -> Signals:
        """Signals over history, int8 of shape (n,)."""
        return np.array([self._signal(int(ts)) for ts in frame.ts], np.int8)

    def decide(self, row: FeatureRow) -> Signal:
        """Signal at one closed candle."""
        return self._signal(row.ts)

    def reset(self) -> None:
        """Do nothing: no state is carried."""

    def to_json(self) -> dict[str, Any]:
        """Give what `from_json` makes it of, as JSON values."""
        return {
            "kind": self.kind,
            "symbol": self.symbol,
            "exits": exits_to_json(self.exits),
            "gap": self.gap,
            "seed": self.seed,
            "life": self.life,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Make the placebo that `to_json` described.

        Raises
        ------
        StrategyError
            If the values describe none.
        """
        try:
            exits = values["exits"]
            return cls(
                symbol=str(values["symbol"]),
                exits=Exits(float(exits["stop"]), float(exits["target"]), int(exits["timeout"])),
                gap=float(values["gap"]),
                seed=int(values["seed"]),
                life=int(values["life"]),
            )
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            message = f"{values!r} describes no placebo: {error!r}"
            raise StrategyError(message) from error

    def _signal(self, ts: int) -> Signal:
        drawn = random.Random(f"{self.seed}:{self.symbol}:{self.life}:{ts}").random()
        return Signal.BUY if drawn * self.gap < 1.0 else Signal.HOLD
