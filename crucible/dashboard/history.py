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
from crucible.market.candles import COLUMNS, Candles
from crucible.market.lake import Lake
from crucible.settings import MINUTE_MS

CANDLES = 400
"""Candles that a chart shows at most."""
_KEPT = 24
_UNREADABLE = (OSError, pa.ArrowException, KeyError, ValueError, TypeError)


@dataclass(frozen=True, slots=True)
class Minutes:
    """What is known of a symbol's newest minutes.

    Attributes
    ----------
    candles : Candles
        Of one minute, oldest first.
    trouble : str
        Why there are not more of them where a file cannot be read; empty otherwise.
    """

    candles: Candles
    trouble: str = ""


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
        self._kept: dict[tuple[str, int], tuple[object, Candles]] = {}
        self._lock = threading.Lock()

    def minutes(self, tape: MarketTape, symbol: str, since_ts: int) -> Minutes:
        """Give the one-minute candles of a symbol that open at `since_ts` or later."""
        held, trouble = Candles.none_of(symbol), ""
        try:
            held = self._of_lake(symbol, since_ts)
        except FileNotFoundError:
            pass  # none were written yet
        except _UNREADABLE as error:
            trouble = _trouble("candles", self._lake.path(symbol), error)
        newest = int(held.ts[-1]) if len(held) else since_ts - 1
        new = [row for row in tape.candles(symbol) if row[0] > newest]
        if not new:
            return Minutes(held, trouble)
        columns = np.array(new, dtype=np.float64).T
        merged = {
            name: np.concatenate([getattr(held, name), columns[place]])
            for place, name in enumerate(COLUMNS)
        }
        return Minutes(_candles(symbol, merged), trouble)

    def newest_close(self, symbol: str) -> int | None:
        """Give the close of the lake's newest candle, from the file's own statistics; None where there is none."""
        try:
            groups = pq.ParquetFile(self._lake.path(symbol)).metadata
            held = [groups.row_group(n).column(0).statistics for n in range(groups.num_row_groups)]
            return max(int(each.max) for each in held) + MINUTE_MS
        except (OSError, pa.ArrowException, AttributeError, TypeError, ValueError):
            return None

    def _of_lake(self, symbol: str, since_ts: int) -> Candles:
        path = self._lake.path(symbol)
        # A day's steps: what was read serves every question of the same day.
        first = since_ts - since_ts % 86_400_000
        found = path.stat()
        stamp = found.st_mtime_ns, found.st_size
        with self._lock:
            held = self._kept.get((symbol, first))
            if held is None or held[0] != stamp:
                read = _read_since(path, symbol, first)
                if len(self._kept) >= _KEPT:
                    self._kept.clear()
                held = self._kept[symbol, first] = stamp, read
        candles = held[1]
        return candles[int(np.searchsorted(candles.ts, since_ts)) :]

    def book_minutes(self, symbol: str, since_ts: int) -> tuple[dict[str, list[Any]] | None, str]:
        """Give the recorded minutes of a symbol's order book since an instant, and why they cannot be read.

        None where none were recorded, or where they cannot be read; only then it is said why.
        """
        path = self._books.path(symbol)
        names = ("ts", "skew", "ofi", "depth", "seconds")
        try:
            table = pq.read_table(path, columns=list(names), filters=[("ts", ">=", since_ts)])
            places = np.linspace(0, table.num_rows - 1, min(table.num_rows, 2 * CANDLES)).astype(
                int
            )
            read = {
                name: [_or_none(value) for value in np.asarray(table[name])[places].tolist()]
                for name in names
            }
        except FileNotFoundError:
            return None, ""
        except _UNREADABLE as error:
            return None, _trouble("minutes of the order book", path, error)
        return read, ""


def _trouble(what: str, path: Path, error: Exception) -> str:
    said = " ".join(str(error).split())
    return f"the {what} cannot be read: {path}: {said:.200}; crucible data check says more"


def _read_since(path: Path, symbol: str, since_ts: int) -> Candles:
    table = pq.read_table(path, columns=list(COLUMNS), filters=[("ts", ">=", since_ts)])
    return _candles(symbol, {name: np.asarray(table[name]) for name in COLUMNS})


def _candles(symbol: str, columns: dict[str, Any]) -> Candles:
    ts = columns["ts"].astype(np.int64)
    return Candles(symbol, ts, *(columns[name].astype(np.float64) for name in COLUMNS[1:]))


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def price_at(minutes: Candles, instants: Sequence[int], longest_ms: int) -> list[float | None]:
    """Give the close that was known at each instant; None where it was older than `longest_ms`."""
    closes = minutes.close_ts
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
