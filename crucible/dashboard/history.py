"""Candles for charts: what the lake holds of the newest time, and what was heard since; never more than a window."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crucible.dashboard.tape import MarketTape
from crucible.features.order_books.store import BookStore
from crucible.market.candles import Floats, Integers
from crucible.market.lake import Lake
from crucible.settings import MINUTE_MS

COLUMNS = ("ts", "open", "high", "low", "close", "volume")
BARS = 400
"""Candles that a chart shows at most."""
_KEPT = 24


@dataclass(frozen=True, slots=True)
class Bars:
    """Candles of one symbol as columns; `step_ms` is the length of each, `ts` their opens."""

    ts: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    step_ms: int = MINUTE_MS

    def __len__(self) -> int:
        return len(self.ts)


class PriceHistory:
    """Minutes of the lake and of the tape.

    Parameters
    ----------
    lake : Path
        The workspace's lake.
    """

    def __init__(self, lake: Path) -> None:
        self._lake = Lake(lake)
        self._books = BookStore(lake)
        self._kept: dict[tuple[str, int], tuple[object, Bars]] = {}
        self._lock = threading.Lock()

    def minutes(self, tape: MarketTape, symbol: str, since_ts: int) -> Bars:
        """Give the one-minute candles of a symbol that open at `since_ts` or later, oldest first."""
        held = self._of_lake(symbol, since_ts)
        recent = [row for row in tape.candles(symbol) if row[0] >= since_ts]
        newest = int(held.ts[-1]) if len(held) else -1
        new = [row for row in recent if row[0] > newest]
        if not new:
            return held
        columns = np.array(new, dtype=np.float64).T
        merged = {
            name: np.concatenate([getattr(held, name), columns[place]])
            for place, name in enumerate(COLUMNS)
        }
        return _bars(merged)

    def newest_close(self, symbol: str) -> int | None:
        """Give the close of the lake's newest candle, from the file's own statistics; None where there is none."""
        try:
            groups = pq.ParquetFile(self._lake.path(symbol)).metadata
            held = [groups.row_group(n).column(0).statistics for n in range(groups.num_row_groups)]
            return max(int(each.max) for each in held) + MINUTE_MS
        except (OSError, pa.ArrowException, AttributeError, TypeError, ValueError):
            return None

    def _of_lake(self, symbol: str, since_ts: int) -> Bars:
        path = self._lake.path(symbol)
        # A day's steps: what was read serves every question of the same day.
        first = since_ts - since_ts % 86_400_000
        try:
            found = path.stat()
        except OSError:
            return _bars({name: np.empty(0) for name in COLUMNS})
        stamp = found.st_mtime_ns, found.st_size
        with self._lock:
            held = self._kept.get((symbol, first))
            if held is None or held[0] != stamp:
                try:
                    read = _read_since(path, first)
                except (OSError, pa.ArrowException, KeyError):
                    return _bars({name: np.empty(0) for name in COLUMNS})
                if len(self._kept) >= _KEPT:
                    self._kept.clear()
                held = self._kept[symbol, first] = stamp, read
        bars = held[1]
        place = int(np.searchsorted(bars.ts, since_ts))
        return Bars(*(getattr(bars, name)[place:] for name in COLUMNS))

    def book_minutes(self, symbol: str, since_ts: int) -> dict[str, list[Any]] | None:
        """Give the recorded minutes of a symbol's order book since an instant; None where none were recorded."""
        path = self._books.path(symbol)
        if not path.exists():
            return None
        names = ("ts", "skew", "ofi", "depth", "seconds")
        try:
            table = pq.read_table(path, columns=list(names), filters=[("ts", ">=", since_ts)])
        except (OSError, pa.ArrowException, KeyError):
            return None
        places = np.linspace(0, table.num_rows - 1, min(table.num_rows, 2 * BARS)).astype(int)
        return {
            name: [_or_none(value) for value in np.asarray(table[name])[places].tolist()]
            for name in names
        }


def _read_since(path: Path, since_ts: int) -> Bars:
    table = pq.read_table(path, columns=list(COLUMNS), filters=[("ts", ">=", since_ts)])
    return _bars({name: np.asarray(table[name]) for name in COLUMNS})


def _bars(columns: dict[str, Any]) -> Bars:
    ts = columns["ts"].astype(np.int64)
    return Bars(ts, *(columns[name].astype(np.float64) for name in COLUMNS[1:]))


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def step_for(minutes: int, bars: int = BARS) -> int:
    """Give the length of a candle, in minutes, with which a span fits into a chart.

    Examples
    --------
    >>> step_for(300), step_for(2_000), step_for(100_000)
    (1, 5, 1440)
    """
    for step in (1, 5, 15, 60, 240, 1_440):
        if minutes <= step * bars:
            return step
    return 1_440


def missing_minutes(minutes: Bars) -> int:
    """Count the minutes between the first and the last candle that have none."""
    return (
        0
        if not len(minutes)
        else int(minutes.ts[-1] - minutes.ts[0]) // MINUTE_MS + 1 - len(minutes)
    )


def coarser(minutes: Bars, step: int) -> Bars:
    """Merge one-minute candles into candles of `step` minutes; an unfinished last one is shown as it is."""
    if step == 1 or not len(minutes):
        return minutes
    step_ms = step * MINUTE_MS
    group = minutes.ts // step_ms
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    ends = np.r_[starts[1:], len(group)] - 1
    return Bars(
        group[starts] * step_ms,
        minutes.open[starts],
        np.maximum.reduceat(minutes.high, starts),
        np.minimum.reduceat(minutes.low, starts),
        minutes.close[ends],
        np.add.reduceat(minutes.volume, starts),
        step_ms,
    )


def price_at(minutes: Bars, instants: Sequence[int], longest_ms: int) -> list[float | None]:
    """Give the close that was known at each instant; None where it was older than `longest_ms`."""
    closes = minutes.ts + MINUTE_MS
    found: list[float | None] = []
    for ts in instants:
        place = int(np.searchsorted(closes, ts, side="right")) - 1
        known = place >= 0 and ts - int(closes[place]) <= longest_ms
        found.append(float(minutes.close[place]) if known else None)
    return found


def buy_and_hold(prices: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Give what one unit of money is worth at each instant that is spread evenly over symbols.

    It is spread at the first instant at which every symbol has a price; before it, and where one has none, the value is
    not known.

    Examples
    --------
    >>> buy_and_hold([[None, 10.0, 20.0], [4.0, 5.0, 5.0]])
    [None, 1.0, 1.5]
    """
    worth: list[float | None] = []
    first: list[float] = []
    for row in zip(*prices, strict=True):
        known = [price for price in row if price]
        if len(known) < len(row):
            worth.append(None)
            continue
        first = first or known
        worth.append(sum(now / then for now, then in zip(known, first, strict=True)) / len(row))
    return worth
