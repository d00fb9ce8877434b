"""Bring candles and funding of an exchange into a folder: resumable, contiguous, gaps named and never filled.

What has been fetched is on disk every few seconds: the same download again goes on from there. A folder holds
candles of one exchange, at one address, and one kind of market only; two would be spliced into one series unseen.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from crucible.errors import RefusedError, Rule
from crucible.files import make_folder, write_json
from crucible.locks import HeldError, held
from crucible.market import funding as rates
from crucible.market.candles import (
    ENDING,
    CandleError,
    Candles,
    check_whole,
    read_candles,
    write_candles,
)
from crucible.market.funding import Funding, read_funding, write_funding
from crucible.market.inspection import candle_files
from crucible.market.lake import merge
from crucible.settings import MINUTE_MS

SOURCE = "source.json"
WRITE_EVERY_S = 15.0
CHUNK_MS = 10 * 1_440 * MINUTE_MS
"""Fetched and joined at a time; shorter than the longest gap that candles may have."""
EMPTY_CHUNKS = 2
"""So many without a candle are a longer gap than candles may have: what is older cannot be of one series."""
# Spans that are this near are asked for together: a page of an exchange reaches over both.
NEAR_MS = 500 * MINUTE_MS


class History(Protocol):
    """What is asked of an exchange."""

    name: str

    def pages(self, symbol: str, start_ms: int, end_ms: int) -> Iterator[Candles]:
        """Give one-minute candles of a span, oldest first."""
        ...

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> Funding:
        """Give the settlements of a span."""
        ...

    def file_symbol(self, symbol: str) -> str:
        """Give the symbol that files are named by."""
        ...


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What a download brought of one symbol.

    Attributes
    ----------
    symbol : str
        By which its files are named.
    path : Path
    added, total : int
        Candles.
    first_ts, last_ts : int
    gaps : tuple of (int, int)
        First missing open time, and how many candles.
    settlements : int
        Rates of funding that are known.
    """

    symbol: str
    path: Path
    added: int
    total: int
    first_ts: int
    last_ts: int
    gaps: tuple[tuple[int, int], ...]
    settlements: int

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "symbol": self.symbol,
            "file": str(self.path),
            "added": self.added,
            "candles": self.total,
            "first_ts": self.first_ts,
            "last_ts": self.last_ts,
            "gaps": [{"from_ts": first, "candles": count} for first, count in self.gaps],
            "missing": sum(count for _, count in self.gaps),
            "funding_settlements": self.settlements,
        }


def source_of(exchange: str, market: str, address: str | None) -> dict[str, str]:
    """Say what candles are of: a venue that only speaks an exchange's language is another source.

    Examples
    --------
    >>> source_of("bybit", "swap", None)
    {'exchange': 'bybit', 'market': 'swap'}
    """
    return {"exchange": exchange, "market": market} | ({"url": address} if address else {})


def folder_name(source: Mapping[str, str]) -> str:
    """Name the folder of a source.

    Examples
    --------
    >>> folder_name(source_of("bybit", "swap", "http://127.0.0.1:8400"))
    'bybit-swap-127.0.0.1-8400'
    """
    place = source.get("url", "").partition("://")[2]
    words = re.sub(r"[^A-Za-z0-9.]+", "-", place).strip("-.")
    return "-".join([source["exchange"], source["market"], *([words] if words else [])])


def claim_folder(folder: Path, source: dict[str, str]) -> None:
    """Make a folder the place of one exchange's candles.

    Raises
    ------
    RefusedError
        If it holds another's.
    """
    make_folder(folder)
    path = folder / SOURCE
    try:
        known = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if candle_files(folder):
            message = (
                f"{folder}: holds candles of an unknown source; name another folder with --out"
            )
            raise RefusedError(message, rule=Rule.ONE_SOURCE_A_FOLDER) from None
        write_json(path, source)
        return
    try:
        same = json.loads(known) == source
    except ValueError:
        same = False
    if not same:
        message = f"{folder}: holds candles of {known.strip()}; name another folder with --out"
        raise RefusedError(" ".join(message.split()), rule=Rule.ONE_SOURCE_A_FOLDER)


def download(
    exchange: History,
    symbol: str,
    folder: Path,
    start_ms: int,
    end_ms: int,
    progress: Callable[[int, int], None] | None = None,
) -> Downloaded:
    """Bring one symbol's candles and funding of ``[start_ms, end_ms)``.

    Parameters
    ----------
    exchange : History
    symbol : str
        As the exchange calls it.
    folder : Path
        See `claim_folder`.
    start_ms, end_ms : int
        Open times; candles between what is held and this span are fetched too, so that no gap opens.
    progress : callable, optional
        Called with ``(minutes looked at, minutes to look at)``.

    Raises
    ------
    CandleError
        If there are no candles in the span, or what came cannot be one series with what is held.
    """
    name = exchange.file_symbol(symbol)
    path = folder / f"{name}{ENDING}"
    make_folder(folder)
    with _only_one(folder / f".{name}.lock", name):
        holder = _Holder(path, name)
        before = len(holder)
        spans = missing_spans(holder.candles, start_ms, end_ms)
        expected = sum(end - start for start, end in spans) // MINUTE_MS
        done = empty = 0
        try:
            for start, end in spans:
                came = holder.add(exchange.pages(symbol, start, end))
                done += (end - start) // MINUTE_MS
                if progress is not None:
                    progress(done, expected)
                empty = 0 if came or end > start_of(holder.candles, end_ms) else empty + 1
                if empty == EMPTY_CHUNKS:
                    break  # before its first listing there is nothing
        finally:
            holder.write()
        candles = holder.candles
        if candles is None:
            message = (
                f"{exchange.name}: no candles of {symbol} in that span; give an earlier --from"
            )
            raise CandleError(message)
        settled = _funding(exchange, symbol, folder, name, int(candles.ts[0]), end_ms)
    return Downloaded(
        name,
        path,
        len(candles) - before,
        len(candles),
        int(candles.ts[0]),
        int(candles.ts[-1]),
        tuple(candles.gaps()),
        len(settled),
    )


def missing_spans(candles: Candles | None, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """Give the spans to ask for, each at most `CHUNK_MS` long, in an order in which no gap opens for long.

    What is newer than the candles held comes first, oldest first; then their gaps; then what is older, newest
    first, so that the beginning of a market ends the search.
    """
    if candles is None:
        return list(_chunks(start_ms, end_ms))[::-1]
    first, last = int(candles.ts[0]), int(candles.ts[-1]) + MINUTE_MS
    gaps: list[tuple[int, int]] = []
    for gap, count in candles.gaps():
        end = gap + count * MINUTE_MS
        if end <= start_ms or gap >= end_ms:
            continue
        if gaps and gap - gaps[-1][1] <= NEAR_MS:
            gaps[-1] = gaps[-1][0], end
        else:
            gaps.append((gap, end))
    older = list(_chunks(start_ms, first))[::-1]
    return [*_chunks(last, end_ms), *(each for gap in gaps for each in _chunks(*gap)), *older]


def start_of(candles: Candles | None, end_ms: int) -> int:
    """Open time of the oldest candle; the end of the span where there is none."""
    return end_ms if candles is None else int(candles.ts[0])


def _chunks(start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    for start in range(start_ms, end_ms, CHUNK_MS):
        yield start, min(end_ms, start + CHUNK_MS)


class _Holder:
    """A symbol's candles, on disk at the latest some seconds after they came."""

    def __init__(self, path: Path, symbol: str) -> None:
        self._path = path
        self.candles = read_candles(path, symbol) if path.exists() else None
        self._new: list[Candles] = []
        self._written = time.monotonic()

    def __len__(self) -> int:
        return 0 if self.candles is None else len(self.candles)

    def add(self, pages: Iterator[Candles]) -> bool:
        """Take a span's pages, those before a fault as well; give whether there were any."""
        before = len(self._new)
        for page in pages:
            self._new.append(page)
        came = len(self._new) > before
        if time.monotonic() - self._written > WRITE_EVERY_S:
            self.write()
        return came

    def write(self) -> None:
        """Write what came since; a file that could not be read again is never left."""
        self._written = time.monotonic()
        if not self._new:
            return
        parts = [*([] if self.candles is None else [self.candles]), *self._new]
        merged = merge(parts)
        check_whole(merged, f"{self._path} with what the exchange sent")
        write_candles(merged, self._path)
        self.candles, self._new = merged, []


def _funding(
    exchange: History, symbol: str, folder: Path, name: str, start_ms: int, end_ms: int
) -> Funding:
    """Bring the rates of the time of which there are candles."""
    known = read_funding(folder, name)
    parts = [known] if len(known) else []
    spans = [(start_ms, end_ms)]
    if len(known):
        spans = [(start_ms, int(known.ts[0])), (int(known.ts[-1]) + 1, end_ms)]
    for start, end in spans:
        if start < end:
            added = exchange.funding(symbol, start, end)
            parts += [added] if len(added) else []
    if not parts:
        return known
    merged = rates.merge(parts)
    if len(merged) > len(known):
        write_funding(merged, folder)
    return merged


@contextmanager
def _only_one(lock: Path, name: str) -> Iterator[None]:
    try:
        with held(lock):
            yield
    except HeldError as error:
        message = f"{lock.parent}: another download of {name} is at work there; let it end first"
        raise RefusedError(message, rule=Rule.ONE_DOWNLOAD_A_SYMBOL) from error
