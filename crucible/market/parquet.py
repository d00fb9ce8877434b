"""Columns of numbers in Parquet: read with every fault named, written atomically."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

TIME = "ts"


def read_columns(
    path: Path, columns: Sequence[str], what: str, error: type[ValueError]
) -> dict[str, Any]:
    """Read columns of numbers, each an ndarray: ``ts`` of int64, every other of float64.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Others in the file are left alone.
    what : str
        What the file should hold, for the message.
    error : type of ValueError
        What is raised.

    Raises
    ------
    ValueError
        Of the given type: if the file cannot be read, lacks a column, or a column holds no numbers or
        has a row without one.
    """
    try:
        held = pq.read_schema(path).names
        table = pq.read_table(path, columns=[name for name in columns if name in held])
    except (OSError, pa.ArrowException, KeyError) as cause:
        message = f"{path}: cannot be read as {what} with columns {', '.join(columns)}: {cause}"
        raise error(message) from cause
    missing = [name for name in columns if name not in held]
    if missing:
        message = f"{path}: column {missing[0]!r} is missing; columns: {held}"
        raise error(message)
    for name in columns:
        kind = table[name].type
        if not (pa.types.is_integer(kind) or (name != TIME and pa.types.is_floating(kind))):
            wanted = "epoch milliseconds as int64" if name == TIME else "float64"
            message = f"{path}: column {name!r} holds {kind}, not numbers; write {wanted}"
            raise error(message)
        if table[name].null_count:
            row = table[name].is_null().to_pylist().index(True)
            message = f"{path}: row {row}: {name} is missing"
            raise error(message)
    return {
        name: table[name].to_numpy().astype("int64" if name == TIME else "float64")
        for name in columns
    }


def write_columns(path: Path, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write one file atomically: a reader sees the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    pq.write_table(pa.table(dict(columns)), part, compression="zstd")
    part.replace(path)
