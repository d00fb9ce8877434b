"""Files of candles and funding that are no Parquet of ours: CSV, Feather, and what freqtrade downloads.

Entry points: `kind_of` (which symbol a file is of), `read_other` (its columns, named as ours). What a file must hold
is the same as for Parquet (``data/schema.md``); the time column may have one of the names that exports use.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as pafeather

TIME: Final = "ts"
TIME_NAMES = ("ts", "timestamp", "time", "date", "datetime", "open_time", "opentime", "open time")
"""How exports call the time of a row, in any case of letters."""
RATE = "funding_rate"
RATE_NAMES = ("funding_rate", "fundingrate", "rate")
SUFFIXES = ("parquet", "feather", "csv", "csv.gz", "json", "json.gz")
_ENDING = "|".join(re.escape(suffix) for suffix in SUFFIXES)
_CANDLES = re.compile(rf"(?P<name>.+?)-1m(?P<futures>-futures)?\.(?P<suffix>{_ENDING})")
_FUNDING = re.compile(rf"(?P<name>.+?)-(funding|\d+[hm]-funding_rate)\.(?P<suffix>{_ENDING})")
# freqtrade: BASE_QUOTE of a spot market, BASE_QUOTE_SETTLE of a perpetual.
_PAIR = re.compile(r"(?P<base>[A-Z0-9]+)_(?P<quote>[A-Z0-9]+)(_(?P<settle>[A-Z0-9]+))?", re.ASCII)
# The order of a row in freqtrade's JSON, and in what most exchanges send.
_ROW = (TIME, "open", "high", "low", "close", "volume")
ADVICE = "; the columns are " + ", ".join(_ROW)


@dataclass(frozen=True, slots=True)
class Named:
    """What a file's name says.

    Attributes
    ----------
    symbol : str
        As it is written in the name, of a pair of freqtrade without its separators.
    suffix : str
        One of `SUFFIXES`.
    by_freqtrade : bool
    """

    symbol: str
    suffix: str
    by_freqtrade: bool

    @property
    def is_own(self) -> bool:
        """Whether it is a Parquet file that every reader takes, the paper venue too."""
        return self.suffix == "parquet" and not self.by_freqtrade


def candles_name(path: Path) -> Named | None:
    """Read the name of a file of one-minute candles; None if it is none."""
    return _named(_CANDLES.fullmatch(path.name))


def funding_name(path: Path) -> Named | None:
    """Read the name of a file of funding rates; None if it is none."""
    return _named(_FUNDING.fullmatch(path.name))


def _named(found: re.Match[str] | None) -> Named | None:
    if found is None or found["name"].startswith("."):
        return None
    pair = _PAIR.fullmatch(found["name"])
    if pair is None:
        return Named(found["name"], found["suffix"], by_freqtrade=False)
    return Named(pair["base"] + pair["quote"], found["suffix"], by_freqtrade=True)


def read_other(path: Path, named: Named, columns: Sequence[str]) -> pa.Table | str:
    """Read a file's columns under our names, or tell what it lacks.

    Parameters
    ----------
    path : Path
    named : Named
    columns : sequence of str
        Ours; the first is the time.

    Raises
    ------
    OSError, pyarrow.ArrowException, ValueError
        If the file cannot be read.
    """
    table = _table(path, named.suffix)
    if isinstance(table, str):
        return table
    lowered = [name.strip().lower() for name in table.column_names]
    found: dict[str, pa.ChunkedArray] = {}
    for name in columns:
        accepted = _accepted(name, columns, named)
        places = [at for at, each in enumerate(lowered) if each in accepted]
        if not places:
            return _lacks(name, accepted, table.column_names)
        if len(places) > 1:
            twice = ", ".join(repr(table.column_names[at]) for at in places)
            return f"column {name!r} could be any of {twice}; keep one of them"
        found[name] = table.column(places[0])
    return pa.table(found)


def _accepted(name: str, columns: Sequence[str], named: Named) -> tuple[str, ...]:
    if name == TIME:
        return TIME_NAMES
    if name == RATE and RATE in columns:
        # freqtrade keeps rates as candles whose open is the rate.
        return ("open",) if named.by_freqtrade else RATE_NAMES
    return (name,)


def _lacks(name: str, accepted: Sequence[str], there: Sequence[str]) -> str:
    if all(_is_number(each) for each in there):
        return f"its first row holds numbers, no names; write a first row of names{ADVICE}"
    other = f" (or {', '.join(accepted[1:])})" if len(accepted) > 1 else ""
    return f"column {name!r}{other} is missing; columns: {list(there)}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _table(path: Path, suffix: str) -> pa.Table | str:
    if not path.is_file():
        return "is no file"
    if suffix == "feather":
        # A file that is mapped into memory may be changed under a reader.
        return pafeather.read_table(path, memory_map=False)
    if suffix.startswith("csv"):
        return _csv(path)
    if suffix.startswith("json"):
        return _json(path, packed=suffix.endswith(".gz"))
    import pyarrow.parquet as pq

    return pq.read_table(path, partitioning=None)


def _csv(path: Path) -> pa.Table | str:
    """Read a CSV file: whole numbers as int64, others as float64, times as instants where they name a zone."""
    options = pacsv.ConvertOptions(
        null_values=["", "NaN", "nan", "null", "None", "NA"],
        strings_can_be_null=True,
        timestamp_parsers=[pacsv.ISO8601],
    )
    table = pacsv.read_csv(path, convert_options=options)
    for at, field in enumerate(table.schema):
        if pa.types.is_null(field.type):
            table = table.set_column(at, field.name, pa.nulls(len(table), pa.float64()))
        elif pa.types.is_string(field.type) and field.name.strip().lower() in TIME_NAMES:
            instants = _instants(table.column(at))
            if instants is not None:
                table = table.set_column(at, field.name, instants)
    return table


def _instants(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Read texts such as ``2024-01-01 00:00:00+00:00``; None where they are no instants with a zone."""
    try:
        return column.cast(pa.timestamp("ms", "UTC"))
    except pa.ArrowInvalid:
        return None


def _json(path: Path, *, packed: bool) -> pa.Table | str:
    """Read freqtrade's JSON: one row a candle, ``[time, open, high, low, close, volume]``."""
    data = path.read_bytes()
    rows: Any = json.loads(gzip.decompress(data) if packed else data)
    if not isinstance(rows, list) or not all(
        isinstance(row, list) and len(row) >= len(_ROW) for row in rows
    ):
        return f"holds no rows of six numbers, as freqtrade writes them{ADVICE}"
    columns = list(zip(*(row[: len(_ROW)] for row in rows), strict=True)) or [()] * len(_ROW)
    return pa.table(
        {
            name: pa.array(values, pa.int64() if name == TIME else pa.float64())
            for name, values in zip(_ROW, columns, strict=True)
        }
    )
