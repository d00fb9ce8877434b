"""What is in a folder of candles and what is wrong with it: every fault of every file, named and counted.

`crucible.market.candles.check` ends at the first fault, since a file with one is not used. Here a person wants all
of them. Entry points: `inspect_folder`, `inspect_file`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crucible.market.candles import (
    COLUMNS,
    PRICE_COLUMNS,
    CandleError,
    Candles,
    check_whole,
    read_unchecked,
)
from crucible.market.formats import candles_name
from crucible.market.funding import FundingError, read_funding
from crucible.market.plausible import implausible_year
from crucible.setting_names import is_symbol
from crucible.text import moment

FaultKind = Literal["schema", "name", "empty", "order", "duplicates", "values", "times", "funding"]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault of a file.

    Attributes
    ----------
    kind : str
        ``schema`` (columns or types), ``name``, ``empty``, ``order``, ``duplicates``, ``values`` (a price or a
        volume), ``times`` (another unit, off the minute, longer candles) or ``funding``.
    rows : int
        How many rows have it; 0 where it is the file's.
    text : str
        The first of them, with its row and value.
    """

    kind: FaultKind
    rows: int
    text: str

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {"kind": self.kind, "rows": self.rows, "text": self.text}


@dataclass(frozen=True, slots=True)
class FileReport:
    """What one file holds.

    Attributes
    ----------
    path : Path
    symbol : str
    rows : int
    first_ts, last_ts : int or None
        Open times of the oldest and newest candle; None where there are none.
    gaps : tuple of (int, int)
        First missing open time, and how many candles.
    faults : tuple of Fault
    funding : int
        Settlements known beside it.
    """

    path: Path
    symbol: str
    rows: int = 0
    first_ts: int | None = None
    last_ts: int | None = None
    gaps: tuple[tuple[int, int], ...] = ()
    faults: tuple[Fault, ...] = ()
    funding: int = 0

    @property
    def missing(self) -> int:
        """How many candles are missing between the first and the last."""
        return sum(count for _, count in self.gaps)

    @property
    def largest_gap(self) -> tuple[int, int] | None:
        """Give the longest gap; None where nothing is missing."""
        return max(self.gaps, key=lambda gap: gap[1], default=None)

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "file": str(self.path),
            "symbol": self.symbol,
            "rows": self.rows,
            "first_ts": self.first_ts,
            "last_ts": self.last_ts,
            "missing": self.missing,
            "gaps": [{"from_ts": first, "candles": count} for first, count in self.gaps],
            "funding_settlements": self.funding,
            "faults": [fault.to_json() for fault in self.faults],
        }


def candle_files(folder: Path) -> list[Path]:
    """Find what looks like files of one-minute candles, well named or not."""
    return [path for path in sorted(folder.glob("*-1m*")) if candles_name(path) is not None]


def inspect_folder(
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
    funding: Path | None = None,
) -> list[FileReport]:
    """Look at every file of candles in a folder, and at its funding.

    Parameters
    ----------
    folder : Path
    progress : callable, optional
        Called with ``(files done, files)``.
    funding : Path, optional
        Where rates are; by default beside the candles.

    Raises
    ------
    CandleError
        If there is no such folder.
    """
    if not folder.is_dir():
        message = f"{folder}: no such folder; name one with SYMBOL-1m.parquet files"
        raise CandleError(message)
    files = candle_files(folder)
    reports = []
    for done, path in enumerate(files):
        if progress is not None:
            progress(done, len(files))
        reports.append(inspect_file(path, funding or folder))
    for symbol in {report.symbol for report in reports}:
        same = [report.path.name for report in reports if report.symbol == symbol]
        if len(same) > 1:
            fault = Fault("name", 0, f"{' and '.join(same)} are both of {symbol}; move one away")
            reports = [
                _with(report, fault) if report.symbol == symbol else report for report in reports
            ]
    return reports


def inspect_file(path: Path, funding: Path | None = None) -> FileReport:
    """Look at one file of candles.

    Parameters
    ----------
    path : Path
    funding : Path, optional
        Folder of the rates that belong to it; None leaves them out.
    """
    named = candles_name(path)
    symbol = named.symbol if named else path.name
    faults: list[Fault] = []
    if not is_symbol(symbol):
        faults.append(Fault("name", 0, f"{symbol!r} is no symbol; write it in capitals and digits"))
    settled = 0
    if funding is not None:
        try:
            settled = len(read_funding(funding, symbol))
        except FundingError as error:
            faults.append(Fault("funding", 0, str(error)))
    try:
        candles = read_unchecked(path, symbol)
    except CandleError as error:
        text = str(error).removeprefix(f"{path}: ")
        return FileReport(path, symbol, faults=(*faults, Fault("schema", 0, text)), funding=settled)
    if not len(candles):
        return FileReport(
            path, symbol, faults=(*faults, Fault("empty", 0, "no candles")), funding=settled
        )
    faults += _faults_of(candles)
    whole = _sorted(candles)
    return FileReport(
        path,
        symbol,
        len(candles),
        int(whole.ts[0]),
        int(whole.ts[-1]),
        # Times in another unit make gaps that mean nothing.
        () if any(fault.kind == "times" for fault in faults) else tuple(whole.gaps()),
        tuple(faults),
        settled,
    )


def describe_gap(gap: tuple[int, int]) -> str:
    """Tell a gap for a person."""
    first, count = gap
    return f"{count:,} candles from {moment(first)}"


def _with(report: FileReport, fault: Fault) -> FileReport:
    return replace(report, faults=(*report.faults, fault))


def _faults_of(candles: Candles) -> list[Fault]:
    year = implausible_year(candles.ts)
    if year is not None:
        # Another unit, most likely: every other question about times would be beside the point.
        return [Fault("times", 0, f"row {year[0]}: {year[1]}")]
    faults = [
        Fault(kind, int(bad.sum()), _first(candles, bad, what, values))
        for kind, bad, what, values in _questions(candles)
        if bad.any()
    ]
    if faults:
        return faults
    try:
        check_whole(candles, "")
    except CandleError as error:
        # What is left to refuse: another unit or century, longer candles, a gap beyond every halt.
        faults.append(Fault("times", 0, str(error).removeprefix(": ")))
    return faults


def _questions(candles: Candles) -> Iterator[tuple[FaultKind, Mask, str, npt.NDArray[Any]]]:
    steps = np.diff(candles.ts, prepend=candles.ts[0] - 1)
    yield "duplicates", steps == 0, "the same time as the row before", candles.ts
    yield "order", steps < 0, "time is before the row before", candles.ts
    yield "times", candles.ts % candles.timeframe_ms != 0, "time is on no full minute", candles.ts
    for name in COLUMNS[1:]:
        column = getattr(candles, name)
        yield "values", ~np.isfinite(column), f"{name} is no number", column
    for name in PRICE_COLUMNS:
        column = getattr(candles, name)
        yield "values", column <= 0, f"{name} is not positive", column
    yield "values", candles.volume < 0, "volume is negative", candles.volume
    top = np.maximum(candles.open, candles.close)
    bottom = np.minimum(candles.open, candles.close)
    yield "values", candles.high < top, "high is below the body", candles.high
    yield "values", candles.low > bottom, "low is above the body", candles.low


def _first(candles: Candles, bad: Mask, what: str, values: npt.NDArray[Any]) -> str:
    row = int(np.argmax(bad))
    return f"row {row} (ts {candles.ts[row]}): {what}: {values[row]}"


def _sorted(candles: Candles) -> Candles:
    """Give the rows in the order of time, each time once."""
    unique, first = np.unique(candles.ts, return_index=True)
    columns = [getattr(candles, name)[first] for name in COLUMNS[1:]]
    return Candles(candles.symbol, unique, *columns)
