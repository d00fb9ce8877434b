"""Columns of numbers: one strict reader for every file of the market, and an atomic writer of Parquet.

What a file must hold is in ``data/schema.md``; the paper venue reads by the same rules, and both are
held to them by the files of ``tests/cases``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from crucible.files import make_folder, replacing
from crucible.market.formats import TIME, Named, read_other
from crucible.market.plausible import MOST_ROWS

CODECS = ("ZSTD", "SNAPPY", "GZIP", "UNCOMPRESSED")
LARGEST_EXACT = 2**53
"""Beyond it a float64 no longer holds every whole number."""
_PER_MS = {"us": 1_000, "ns": 1_000_000}


def read_columns(
    path: Path,
    columns: Sequence[str],
    what: str,
    error: type[ValueError],
    named: Named | None = None,
) -> dict[str, Any]:
    """Read columns of numbers, each an ndarray: ``ts`` of int64 milliseconds, every other of float64.

    Times may be stored as int64 milliseconds or as instants with a time zone, numbers as float64 or as
    whole numbers that a float64 holds exactly; nothing else is taken, and nothing is ever rounded.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Others in the file are left alone.
    what : str
        What the file should hold, for the message.
    error : type of ValueError
        What is raised.
    named : Named, optional
        Which format its name says; without it, and for a Parquet file of ours, it is read as one.

    Raises
    ------
    ValueError
        Of the given type: if the file cannot be read, lacks a column or has it twice, or a column holds
        something else or has a row without a value.
    """
    try:
        other = named is not None and not named.is_own
        table = _read_other(path, named, columns) if other else _read_table(path, columns)
    except (OSError, pa.ArrowException, KeyError, ValueError) as cause:
        # A name of another encoding or a broken page is an ordinary ValueError.
        said = " ".join(str(cause).split())
        message = f"{path}: cannot be read as {what} with columns {', '.join(columns)}: {said}"
        raise error(message) from cause
    if isinstance(table, str):
        message = f"{path}: {table}"
        raise error(message)
    for name in columns:
        if table[name].null_count:
            row = int(np.argmax(table[name].is_null().to_numpy()))
            message = f"{path}: row {row}: {name} is missing; leave such rows out"
            raise error(message)
    numbers: dict[str, Any] = {}
    for name in columns:
        found = _times(table[name]) if name == TIME else _numbers(table[name], name)
        if isinstance(found, str):
            message = f"{path}: {found}"
            raise error(message)
        numbers[name] = found
    return numbers


def _read_table(path: Path, columns: Sequence[str]) -> pa.Table | str:
    """Read the columns, or tell what is wrong with how they are stored."""
    if path.exists() and not path.is_file():
        return "is no file"
    with pq.ParquetFile(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
        for name in columns:
            count = schema.names.count(name)
            if count == 0:
                return f"column {name!r} is missing; columns: {schema.names}"
            if count > 1:
                return f"column {name!r} is there {count} times; keep one of them"
            problem = _problem(name, schema.field(name).type)
            if problem is not None:
                return f"column {name!r} {problem}"
        if metadata.num_rows > MOST_ROWS:
            return f"{metadata.num_rows} rows are more than there are minutes in a century"
        for group in range(metadata.num_row_groups):
            for at in range(metadata.num_columns):
                codec = metadata.row_group(group).column(at).compression
                if codec not in CODECS:
                    return f"its compression is {codec}; write it with zstd, snappy, gzip or none"
        return file.read(columns=list(columns))


def _read_other(path: Path, named: Named | None, columns: Sequence[str]) -> pa.Table | str:
    """Read another format, held to the same types."""
    assert named is not None
    table = read_other(path, named, columns)
    if isinstance(table, str):
        return table
    if len(table) > MOST_ROWS:
        return f"{len(table)} rows are more than there are minutes in a century"
    problems = ((name, _problem(name, table.schema.field(name).type)) for name in columns)
    found = next(((name, problem) for name, problem in problems if problem), None)
    return table if found is None else f"column {found[0]!r} {found[1]}"


def _problem(name: str, kind: pa.DataType) -> str | None:
    if name == TIME:
        if pa.types.is_timestamp(kind):
            if kind.tz is None:
                return (
                    "holds times without a time zone; write them in UTC, or as int64 milliseconds"
                )
            return None
        if kind == pa.int64():
            return None
        return f"holds {kind}, not times; write epoch milliseconds as int64"
    if kind == pa.float64() or pa.types.is_integer(kind):
        return None
    if pa.types.is_floating(kind):
        return f"holds {kind}, which has lost digits; write float64 from the source"
    return f"holds {kind}, not numbers; write float64"


def _times(column: pa.ChunkedArray) -> npt.NDArray[np.int64] | str:
    unit = column.type.unit if pa.types.is_timestamp(column.type) else "ms"
    values: npt.NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
    if unit == "s":
        if np.any(bad := np.abs(values) > np.iinfo(np.int64).max // 1_000):
            row = int(np.argmax(bad))
            return f"row {row}: ts is no time: {values[row]} seconds since 1970"
        return values * 1_000
    per_ms = _PER_MS.get(unit, 1)
    if np.any(bad := values % per_ms != 0):
        row = int(np.argmax(bad))
        return f"row {row}: ts is no whole millisecond: {values[row]} {unit} since 1970"
    return values // per_ms


def _numbers(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.float64] | str:
    values = column.to_numpy()
    if values.dtype.kind in "iu":
        # Not by abs(): the smallest int64 has none.
        bad = (values > LARGEST_EXACT) | (
            values < -LARGEST_EXACT if values.dtype.kind == "i" else False
        )
        if np.any(bad):
            row = int(np.argmax(bad))
            return f"row {row}: {name} is too large to be held exactly: {values[row]}; at most 2^53"
    numbers: npt.NDArray[np.float64] = values.astype(np.float64)
    return numbers


def write_columns(path: Path, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write one file atomically: a reader sees the old file or the new one, never half."""
    make_folder(path.parent)
    with replacing(path) as part:
        pq.write_table(pa.table(dict(columns)), part, compression="zstd")
