"""Columns of sound candles and funding, and ways to spoil one thing in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

ROWS = 150
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
START_MS = 1_735_689_600_000  # 2025-01-01T00:00Z, when public archives went over to microseconds

Columns = dict[str, Any]


def sound_candles(ts: npt.NDArray[Any] | None = None, rows: int = ROWS) -> Columns:
    """Sound candles with prices of one decimal and volumes of three."""
    ts = START_MS + MINUTE_MS * np.arange(rows, dtype=np.int64) if ts is None else ts
    generator = np.random.default_rng(11)
    path = np.cumsum(generator.integers(-40, 41, len(ts) + 1))
    opened, closed = 935_000 + path[:-1], 935_000 + path[1:]
    spread = generator.integers(0, 30, (2, len(ts)))
    return {
        "ts": ts,
        "open": opened / 10,
        "high": (np.maximum(opened, closed) + spread[0]) / 10,
        "low": (np.minimum(opened, closed) - spread[1]) / 10,
        "close": closed / 10,
        "volume": generator.integers(0, 90_000, len(ts)) / 1_000,
    }


def sound_funding(ts: npt.NDArray[Any] | None = None) -> Columns:
    """Rates of twelve settlements."""
    ts = START_MS + 8 * HOUR_MS * np.arange(12, dtype=np.int64) if ts is None else ts
    return {"ts": ts, "funding_rate": np.random.default_rng(5).integers(-40, 60, len(ts)) / 1e5}


def sound_minutes() -> npt.NDArray[np.int64]:
    """Open times of `ROWS` minutes."""
    return START_MS + MINUTE_MS * np.arange(ROWS, dtype=np.int64)


def with_value(name: str, row: int, value: float) -> Columns:
    """Sound candles with another value in one place."""
    columns = sound_candles()
    columns[name] = columns[name].copy()
    columns[name][row] = value
    return columns


def without_value(columns: Columns, name: str, row: int) -> Columns:
    """Take one value out."""
    values = columns[name].tolist()
    values[row] = None
    return columns | {name: pa.array(values, pa.int64() if name == "ts" else pa.float64())}


def with_column(
    name: str, change: Callable[[npt.NDArray[Any]], Any], of: Columns | None = None
) -> Columns:
    """Change a whole column, of sound candles or of what is given."""
    columns = sound_candles() if of is None else of
    return columns | {name: change(columns[name])}


def as_instants(unit: str, zone: str | None) -> Callable[[npt.NDArray[Any]], pa.Array]:
    """Turn milliseconds into instants of a unit and a zone."""
    scale = {"ms": 1, "us": 1_000, "ns": 1_000_000}[unit]
    return lambda ts: pa.array(ts * scale, pa.timestamp(unit, zone))


def some_of(ts: npt.NDArray[np.int64], share: float) -> npt.NDArray[np.int64]:
    """Keep a share of the times, the first two and the last among them."""
    chosen = np.random.default_rng(3).random(len(ts)) < share
    chosen[[0, 1, -1]] = True
    return ts[chosen]


def as_json(values: Any) -> list[float]:  # noqa: ANN401
    """Give a column as JSON numbers, times in milliseconds."""
    if isinstance(values, pa.Array):
        per_ms = {"ms": 1, "us": 1_000, "ns": 1_000_000}[values.type.unit]
        return [each // per_ms for each in values.cast(pa.int64()).to_pylist()]
    listed: list[float] = np.asarray(values).tolist()
    return listed
