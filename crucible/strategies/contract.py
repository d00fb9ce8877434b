"""The Strategy contract: what the Forge makes and an agent trades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from crucible.features.frame import FeatureFrame, FeatureRow
from crucible.vm.signals import Signal, Signals

FORMAT = "crucible.strategy/1"


@dataclass(frozen=True, slots=True)
class Exits:
    """When a position is closed without the strategy asking.

    Attributes
    ----------
    stop, target : float
        Fractions of the entry price.
    timeout : int
        Candles a position may be held when volatility is ordinary.
    """

    stop: float
    target: float
    timeout: int

    def timeout_at(self, volatility_ratio: float) -> int:
        """Adapt the timeout to the pace of the market at entry.

        Parameters
        ----------
        volatility_ratio : float
            Short over long volatility (feature ``volatility_ratio``); NaN leaves the timeout as is.

        Returns
        -------
        int
            ``timeout / ratio`` rounded down, within half and twice the timeout, at least 1.
        """
        if not volatility_ratio > 0:
            return self.timeout
        return max(1, int(self.timeout / min(2.0, max(0.5, volatility_ratio))))


class Strategy(Protocol):
    """One specialist: it sees feature rows and says hold, buy or exit."""

    @property
    def kind(self) -> str:
        """``gp`` or ``boosted``; ``placebo`` for one that is never forged."""

    @property
    def symbol(self) -> str:
        """The only symbol it trades."""

    @property
    def schema_hash(self) -> str:
        """Hash of the feature schema it was born with."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features it reads."""

    @property
    def exits(self) -> Exits:
        """Its stop, target and timeout."""

    @property
    def warmup(self) -> int:
        """Rows it must have seen before its signal counts; until then it holds."""

    def signals(self, frame: FeatureFrame) -> Signals:
        """Signals over history, shape (n,); independent of any live state."""

    def decide(self, row: FeatureRow) -> Signal:
        """Signal at one closed candle; carries state, equal to `signals` fed the same rows."""

    def reset(self) -> None:
        """Forget the state that `decide` carries."""

    def to_json(self) -> dict[str, Any]:
        """Give the strategy file: everything needed to load and run it, as JSON values."""
