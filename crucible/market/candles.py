"""Candles: one symbol's closed candles as columns, read from files and written to Parquet.

The Parquet schema is ``ts`` (int64, open time in epoch milliseconds), then ``open, high, low, close,
volume`` (float64; volume in the base asset).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crucible.errors import CrucibleError
from crucible.market.formats import candles_name
from crucible.market.parquet import read_columns, write_columns
from crucible.market.plausible import (
    LARGEST_PRICE,
    LARGEST_VOLUME,
    LEAST_PRICE,
    implausible_steps,
    implausible_year,
)
from crucible.setting_names import is_symbol
from crucible.settings import MINUTE_MS

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

PRICE_COLUMNS = ("open", "high", "low", "close")
COLUMNS = ("ts", *PRICE_COLUMNS, "volume")
ENDING = "-1m.parquet"


class CandleError(CrucibleError, ValueError):
    """Candles that cannot be used; the message names the file or symbol, the row and the value."""


@dataclass(frozen=True, slots=True)
class Candle:
    """One closed candle.

    Attributes
    ----------
    ts : int
        Open time, epoch milliseconds.
    open, high, low, close : float
        Prices in the quote asset.
    volume : float
        Traded size in the base asset.
    """

    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class Candles:
    """Closed candles of one symbol, oldest first; minutes without a candle are absent.

    Attributes
    ----------
    symbol : str
    ts : ndarray of int64, shape (n,)
        Open times, strictly increasing, multiples of `timeframe_ms`.
    open, high, low, close, volume : ndarray of float64, shape (n,)
    timeframe_ms : int
        Length of a candle.
    """

    symbol: str
    ts: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    timeframe_ms: int = MINUTE_MS

    def __len__(self) -> int:
        return len(self.ts)

    def __getitem__(self, rows: slice) -> Candles:
        return Candles(
            self.symbol,
            self.ts[rows],
            self.open[rows],
            self.high[rows],
            self.low[rows],
            self.close[rows],
            self.volume[rows],
            self.timeframe_ms,
        )

    @classmethod
    def none_of(cls, symbol: str) -> Candles:
        """No candles of a symbol."""
        nothing = np.empty(0)
        return cls(symbol, np.empty(0, np.int64), nothing, nothing, nothing, nothing, nothing)

    @property
    def close_ts(self) -> Integers:
        """Exclusive close times, epoch milliseconds: the instants at which candles are known."""
        return self.ts + self.timeframe_ms

    def candle(self, row: int) -> Candle:
        """One row as a value."""
        return Candle(int(self.ts[row]), *(float(getattr(self, name)[row]) for name in COLUMNS[1:]))

    def between(self, start_ms: int, end_ms: int) -> Candles:
        """Candles whose open time is in ``[start_ms, end_ms)``."""
        first, last = np.searchsorted(self.ts, [start_ms, end_ms])
        return self[int(first) : int(last)]

    def gaps(self) -> list[tuple[int, int]]:
        """Spans of missing candles as ``(first missing open time, how many)``."""
        steps = np.diff(self.ts) // self.timeframe_ms
        rows = np.flatnonzero(steps > 1)
        return [(int(self.ts[row]) + self.timeframe_ms, int(steps[row]) - 1) for row in rows]

    def data_hash(self) -> str:
        """SHA-256 over the symbol and every column, in hexadecimal."""
        digest = hashlib.sha256(f"{self.symbol}:{self.timeframe_ms}".encode())
        for name in COLUMNS:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()


def check(candles: Candles, source: str) -> Candles:
    """Return the candles if every row is sound by itself and after the one before it.

    Raises
    ------
    CandleError
        Naming `source`, the first bad row and its value: a time of another century (in another unit,
        most likely), not increasing or not aligned, a value that is not finite, a price that is not
        positive or not plausible, a high below or a low above the body.
    """
    if len(candles) == 0:
        message = f"{source}: no candles"
        raise CandleError(message)

    def refuse(bad: npt.NDArray[np.bool_], what: str, values: npt.NDArray[np.generic]) -> None:
        rows = np.flatnonzero(bad)
        if len(rows):
            row = int(rows[0])
            message = f"{source}: row {row} (ts {candles.ts[row]}): {what}: {values[row]}"
            raise CandleError(message)

    _refuse_times(candles, source, implausible_year(candles.ts))
    later = np.diff(candles.ts, prepend=candles.ts[0] - 1) <= 0
    refuse(later, "time is not after the row before", candles.ts)
    refuse(candles.ts % candles.timeframe_ms != 0, "time is not on the candle grid", candles.ts)
    for name in COLUMNS[1:]:
        column = getattr(candles, name)
        refuse(~np.isfinite(column), f"{name} is not finite", column)
    for name in PRICE_COLUMNS:
        column = getattr(candles, name)
        refuse(column <= 0, f"{name} is not positive", column)
        beyond = (column < LEAST_PRICE) | (column > LARGEST_PRICE)
        refuse(beyond, f"{name} is no plausible price (1e-12 to 1e12)", column)
    refuse(candles.volume < 0, "volume is negative", candles.volume)
    beyond = candles.volume > LARGEST_VOLUME
    refuse(beyond, "volume is not plausible (at most 1e18)", candles.volume)
    top = np.maximum(candles.open, candles.close)
    bottom = np.minimum(candles.open, candles.close)
    refuse(candles.high < top, "high is below the body", candles.high)
    refuse(candles.low > bottom, "low is above the body", candles.low)
    return candles


def check_whole(candles: Candles, source: str) -> Candles:
    """Return a symbol's candles if every row is sound and they are, as a whole, one-minute candles.

    Raises
    ------
    CandleError
        As `check`; and for a gap of more than two weeks, longer candles under a one-minute name, or
        so few candles that hardly any minute has one.
    """
    check(candles, source)
    _refuse_times(candles, source, implausible_steps(candles.ts, candles.timeframe_ms))
    return candles


def _refuse_times(candles: Candles, source: str, found: tuple[int, str] | None) -> None:
    if found is not None:
        row, what = found
        message = f"{source}: row {row} (ts {candles.ts[row]}): {what}"
        raise CandleError(message)


def read_candles(path: Path, symbol: str | None = None) -> Candles:
    """Read and check one file named ``SYMBOL-1m.parquet``, or of another format; see ``data/schema.md``.

    Raises
    ------
    CandleError
        If the file cannot be read, lacks a column or holds a bad row.
    """
    return check_whole(read_unchecked(path, symbol), str(path))


def read_unchecked(path: Path, symbol: str | None = None) -> Candles:
    """Read one file of candles whose rows may be anything: only the columns and their types are asked for.

    Raises
    ------
    CandleError
        If the file cannot be read or lacks a column.
    """
    named = candles_name(path)
    ts, *columns = read_columns(path, COLUMNS, "candles", CandleError, named).values()
    return Candles(symbol or (named.symbol if named else path.name.split("-")[0]), ts, *columns)


def files_of(folder: Path) -> dict[str, Path]:
    """Find every file of one-minute candles in a folder, by symbol; hidden files are no candles.

    That is ``SYMBOL-1m.parquet``, ``.feather`` or ``.csv``, or what freqtrade calls ``BASE_QUOTE-1m.feather``.

    Raises
    ------
    CandleError
        If a file's name begins with something that is no symbol (who leaves it out drops a market unsaid), or a
        symbol has two files.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*-1m*")):
        named = candles_name(path)
        if named is None:
            continue
        if not is_symbol(named.symbol):
            message = (
                f"{path}: {named.symbol!r} is no symbol; name the file SYMBOL-1m.{named.suffix}, the symbol in "
                "capitals and digits, or move it away"
            )
            raise CandleError(message)
        if named.symbol in files:
            message = f"{path}: {files[named.symbol].name} has candles of {named.symbol} too; move one of both away"
            raise CandleError(message)
        files[named.symbol] = path
    return files


def read_folder(folder: Path, symbols: Iterable[str] | None = None) -> dict[str, Candles]:
    """Read every ``*-1m.parquet`` of a folder, or only those of the named symbols.

    Raises
    ------
    CandleError
        If the folder holds no such file, one that is not named by a symbol, or a named symbol has none.
    """
    files = files_of(folder)
    if not files:
        message = (
            f"{folder}: no SYMBOL-1m.parquet files, nor .feather or .csv ones; point at a folder of one-minute "
            "candles"
        )
        raise CandleError(message)
    wanted = sorted(files) if symbols is None else list(symbols)
    absent = [symbol for symbol in wanted if symbol not in files]
    if absent:
        message = f"{folder}: no file {absent[0]}{ENDING}; it holds {', '.join(sorted(files))}"
        raise CandleError(message)
    return {symbol: read_candles(files[symbol], symbol) for symbol in wanted}


def write_candles(candles: Candles, path: Path) -> None:
    """Write one Parquet file atomically: a reader sees the old file or the new one, never half."""
    write_columns(path, {name: getattr(candles, name) for name in COLUMNS})


def folder_hash(candles: Mapping[str, Candles]) -> str:
    """SHA-256 over several symbols' candles, independent of their order."""
    digest = hashlib.sha256()
    for symbol in sorted(candles):
        digest.update(candles[symbol].data_hash().encode())
    return digest.hexdigest()
