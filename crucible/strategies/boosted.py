"""The boosted specialist: a LightGBM classifier of "a long trade from here pays its costs"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crucible.errors import StrategyError
from crucible.features.frame import FeatureFrame, FeatureRow, FeatureSchema
from crucible.settings import Kind
from crucible.strategies.contract import FORMAT, Exits
from crucible.strategies.forest import Forest
from crucible.strategies.forest_text import parse_forest
from crucible.strategies.gp import exits_to_json, require_schema
from crucible.vm.interpreter import columns_of
from crucible.vm.signals import Signal, Signals

TOP_FEATURES = 5


@dataclass(eq=False)
class BoostedStrategy:
    """Buys when the model's probability is high, exits when it is low, holds between.

    It carries no state: `decide` is `signals` on one row, equal bit for bit.

    Parameters
    ----------
    slot, symbol, schema_hash : str
    features : tuple of str
        Column order of the model.
    model : str
        LightGBM's own text model; it is read and evaluated here, LightGBM never sees it.
    buy_at, exit_at : float
        Probabilities; buy at or above the first, exit at or below the second.
    exits : Exits

    Raises
    ------
    StrategyError
        If the text is not a LightGBM model over exactly these features.
    """

    slot: str
    symbol: str
    schema_hash: str
    features: tuple[str, ...]
    model: str
    buy_at: float
    exit_at: float
    exits: Exits
    _forest: Forest = field(init=False, repr=False)
    _columns: tuple[FeatureSchema, npt.NDArray[np.int64]] | None = field(
        init=False, repr=False, default=None
    )

    def __post_init__(self) -> None:
        self._forest = parse_forest(self.model, self.features)
        if not self.exit_at < self.buy_at:
            message = f"exit_at {self.exit_at} is not below buy_at {self.buy_at}"
            raise StrategyError(message)

    @property
    def kind(self) -> Kind:
        """Always ``boosted``."""
        kind: Literal["boosted"] = "boosted"
        return kind

    @property
    def warmup(self) -> int:
        """One: a row speaks for itself."""
        return 1

    def probabilities(self, frame: FeatureFrame) -> npt.NDArray[np.float64]:
        """Return the model's probability that a long trade from each row pays, shape (n,).

        Rows without a single present feature have no probability (NaN).

        Raises
        ------
        StrategyError
            If the frame has another schema.
        """
        require_schema(self.schema_hash, frame.schema)
        return self._predict(frame.values[:, columns_of(self.features, frame.schema)])

    def signals(self, frame: FeatureFrame) -> Signals:
        """Signals over history, int8 of shape (n,).

        Raises
        ------
        StrategyError
            If the frame has another schema.
        """
        return threshold_signals(self.probabilities(frame), self.buy_at, self.exit_at)

    def decide(self, row: FeatureRow) -> Signal:
        """Signal at one closed candle.

        Raises
        ------
        StrategyError
            If the row has another schema.
        """
        if self._columns is None or self._columns[0] is not row.schema:
            require_schema(self.schema_hash, row.schema)
            self._columns = (row.schema, columns_of(self.features, row.schema))
        probability = self._predict(row.values[self._columns[1]].reshape(1, -1))
        return Signal(int(threshold_signals(probability, self.buy_at, self.exit_at)[0]))

    def reset(self) -> None:
        """Do nothing: no state is carried."""

    def importance(self) -> dict[str, float]:
        """Share of the model's total gain that each feature brought, largest first."""
        gains = self._forest.gains()
        total = float(gains.sum())
        shares = {
            name: float(gain) / total
            for name, gain in zip(self.features, gains, strict=True)
            if gain > 0
        }
        return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))

    def to_json(self) -> dict[str, Any]:
        """Return the strategy file; see docs/reference/strategy.md."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "slot": self.slot,
            "symbol": self.symbol,
            "schema_hash": self.schema_hash,
            "features": list(self.features),
            "exits": exits_to_json(self.exits),
            "buy_at": self.buy_at,
            "exit_at": self.exit_at,
            "model": self.model,
        }

    def _predict(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        # Infinity is as absent as NaN, in training (the Forge cleans alike) and here.
        values = np.where(np.isfinite(values), values, np.nan)
        probabilities = self._forest.probabilities(values)
        probabilities[np.isnan(values).all(axis=1)] = np.nan
        return probabilities


def threshold_signals(
    probabilities: npt.NDArray[np.float64], buy_at: float, exit_at: float
) -> Signals:
    """Turn probabilities into signals; a missing probability holds."""
    signals = np.zeros(len(probabilities), np.int8)
    signals[probabilities >= buy_at] = Signal.BUY
    signals[probabilities <= exit_at] = Signal.EXIT
    return signals
