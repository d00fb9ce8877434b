"""The evolved specialist: a genetic program that reads features and says buy, exit or hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from crucible.errors import StrategyError
from crucible.features.frame import FeatureFrame, FeatureRow, FeatureSchema
from crucible.settings import Kind
from crucible.strategies.contract import FORMAT, Exits
from crucible.vm.interpreter import Lines, Runner, columns_of, feature_lines
from crucible.vm.linear import LinearProgram, compile_programs
from crucible.vm.program import Expression, expression_to_json
from crucible.vm.signals import Signal, Signals


@dataclass(eq=False)
class GpStrategy:
    """A typed program ``trade(buy, exit)`` with its exits.

    Where both are true at one close it exits.

    Parameters
    ----------
    slot : str
        The slot it was made for.
    symbol : str
    schema_hash : str
        Of the feature schema it was evolved on; rows of another schema are refused.
    program : tuple
        As `parse_program` returns it.
    exits : Exits
    """

    slot: str
    symbol: str
    schema_hash: str
    program: Expression
    exits: Exits
    _linear: LinearProgram = field(init=False, repr=False)
    _live: tuple[Runner, Lines] | None = field(init=False, repr=False, default=None)
    _columns: tuple[FeatureSchema, Any] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        self._linear = compile_programs([self.program])

    @property
    def kind(self) -> Kind:
        """Always ``gp``."""
        kind: Literal["gp"] = "gp"
        return kind

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features it reads, sorted."""
        return self._linear.features

    @property
    def warmup(self) -> int:
        """Rows it must have seen before its signal counts."""
        return int(self._linear.warmups[0])

    def signals(self, frame: FeatureFrame) -> Signals:
        """Signals over history.

        Parameters
        ----------
        frame : FeatureFrame
            n rows of the schema it was born with.

        Returns
        -------
        ndarray of int8, shape (n,)

        Raises
        ------
        StrategyError
            If the frame has another schema.
        """
        require_schema(self.schema_hash, frame.schema)
        signals: Signals = Runner(self._linear).run(feature_lines(frame, self.features))[0]
        return signals

    def decide(self, row: FeatureRow) -> Signal:
        """Signal at one closed candle; carries the lookbacks' state.

        Raises
        ------
        StrategyError
            If the row has another schema.
        """
        if self._columns is None or self._columns[0] is not row.schema:
            require_schema(self.schema_hash, row.schema)
            self._columns = (row.schema, columns_of(self.features, row.schema))
        values = row.values[self._columns[1]].reshape(-1, 1)
        if self._live is None:
            self._live = (Runner(self._linear, block=1), Lines.of(values))
        runner, lines = self._live
        lines.fill(values)
        return Signal(runner.run_row(lines))

    def reset(self) -> None:
        """Forget the rows that `decide` has seen."""
        if self._live is not None:
            self._live[0].reset()

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
            "program": expression_to_json(self.program),
        }


def require_schema(schema_hash: str, schema: FeatureSchema) -> None:
    """Refuse features of another schema than a strategy was born with.

    Raises
    ------
    StrategyError
    """
    if schema.hash != schema_hash:
        message = (
            f"the strategy was made with feature schema {schema_hash}, these rows have "
            f"{schema.hash}; serve the old schema or forge the slot again"
        )
        raise StrategyError(message)


def exits_to_json(exits: Exits) -> dict[str, float | int]:
    """Return exits as JSON values."""
    return {"stop": exits.stop, "target": exits.target, "timeout": exits.timeout}
