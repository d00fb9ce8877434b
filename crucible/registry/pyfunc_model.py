"""The MLflow model of a strategy, logged from code: users score it through ``mlflow.pyfunc``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.strategies.load import read_strategy


class StrategyModel(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined]
    """Scores a table of features: one column per feature, one row per closed candle in order."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401 - MLflow's context
        """Read the strategy's JSON from the model's artifacts."""
        self.strategy = read_strategy(Path(context.artifacts["strategy"]))

    def predict(
        self,
        context: Any,  # noqa: ANN401, ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.Series:
        """Give the signal of every row: 0 hold, 1 buy, 2 exit."""
        schema = FeatureSchema(tuple(map(str, model_input.columns)), {})
        # A table has names but no schema; the caller vouches for how its columns were computed.
        vars(schema)["hash"] = self.strategy.schema_hash
        values = model_input.to_numpy(dtype=np.float64)
        ts = np.arange(1, len(values) + 1, dtype=np.int64) * 60_000
        frame = FeatureFrame(self.strategy.symbol, ts, values, schema)
        return pd.Series(self.strategy.signals(frame), index=model_input.index, name="signal")


mlflow.models.set_model(StrategyModel())
