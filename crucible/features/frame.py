"""Feature rows and frames: what a strategy sees, with the schema it was computed under."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from crucible.market.candles import Integers

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FeatureSchema:
    """The ordered names of the features and everything that decides their values.

    Attributes
    ----------
    names : tuple of str
        Column order of every row and frame.
    parameters : dict
        JSON-able: windows, kernel code version, hashes of frozen model arrays.
    """

    names: tuple[str, ...]
    parameters: dict[str, Any]

    @cached_property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of names and parameters."""
        text = json.dumps([self.names, self.parameters], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.names)}

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def column(self, name: str) -> int:
        """Position of a feature; `KeyError` names an unknown one."""
        try:
            return self._columns[name]
        except KeyError:
            message = f"feature {name!r} is not in schema {self.hash}"
            raise KeyError(message) from None


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """The features of one symbol at one closed candle.

    Attributes
    ----------
    symbol : str
    ts : int
        Exclusive close time of the candle, epoch milliseconds.
    values : ndarray of float64, shape (features,)
        In the schema's order; NaN where a feature has no value.
    schema : FeatureSchema
    """

    symbol: str
    ts: int
    values: Matrix
    schema: FeatureSchema

    def __getitem__(self, name: str) -> float:
        return float(self.values[self.schema.column(name)])


@dataclass(frozen=True, slots=True)
class FeatureFrame:
    """The features of one symbol over history; row i speaks of candle i.

    Attributes
    ----------
    symbol : str
    ts : ndarray of int64, shape (n,)
        Exclusive close times, strictly increasing, epoch milliseconds.
    values : ndarray of float64, shape (n, features)
    schema : FeatureSchema
    """

    symbol: str
    ts: Integers
    values: Matrix
    schema: FeatureSchema

    def __len__(self) -> int:
        return len(self.ts)

    def row(self, index: int) -> FeatureRow:
        """One row as a value."""
        ts = int(self.ts[index])
        return FeatureRow(self.symbol, ts, self.values[index], self.schema)

    def column(self, name: str) -> Matrix:
        """One feature over time, shape (n,)."""
        values: Matrix = self.values[:, self.schema.column(name)]
        return values
