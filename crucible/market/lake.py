"""The data lake: one-minute candles and funding of every tracked symbol in Parquet, one file a symbol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crucible.locks import held as lock_held
from crucible.market import funding
from crucible.market.candles import (
    COLUMNS,
    CandleError,
    Candles,
    check_whole,
    read_candles,
    write_candles,
)
from crucible.market.exchange import Exchange
from crucible.market.funding import Funding, read_funding, write_funding
from crucible.settings import MINUTE_MS

LOCK_WAIT_S = 3_600.0
"""A download of years by another process is waited for."""


@dataclass(frozen=True, slots=True)
class Ingestion:
    """What one refresh of a symbol brought.

    Attributes
    ----------
    symbol : str
    added, total : int
        Candles.
    first_ts, last_ts : int
        Open times of the oldest and newest candle in the lake.
    gaps : list of (int, int)
        Missing spans: first missing open time, and how many candles.
    """

    symbol: str
    added: int
    total: int
    first_ts: int
    last_ts: int
    gaps: list[tuple[int, int]]


class Lake:
    """Candles under ``folder/candles``, funding under ``folder/funding``.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.candles_folder = folder / "candles"
        self.funding_folder = folder / "funding"

    def path(self, symbol: str) -> Path:
        """Name the file of a symbol."""
        return self.candles_folder / f"{symbol}-1m.parquet"

    def read(self, symbol: str) -> Candles | None:
        """Read a symbol's candles; None where there are none yet."""
        path = self.path(symbol)
        return read_candles(path, symbol) if path.exists() else None

    def read_all(self, symbols: Iterable[str]) -> dict[str, Candles]:
        """Read several symbols.

        Raises
        ------
        CandleError
            Naming the first symbol that the lake does not hold.
        """
        found: dict[str, Candles] = {}
        for symbol in symbols:
            candles = self.read(symbol)
            if candles is None:
                message = f"{self.path(symbol)}: no candles of {symbol}; run the ingest flow first"
                raise CandleError(message)
            found[symbol] = candles
        return found

    def refresh(
        self,
        exchange: Exchange,
        symbol: str,
        start_ms: int,
        end_ms: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Ingestion:
        """Bring a symbol up to `end_ms`: fetch what is newer, and try once more for each gap.

        Parameters
        ----------
        exchange : Exchange
        symbol : str
        start_ms : int
            Oldest open time wanted, used where the lake holds nothing yet.
        end_ms : int
            Exclusive; only candles closed by then are asked for.
        progress : callable, optional
            Called with ``(candles fetched, candles expected)``.
        """
        with self._lock(symbol):
            held = self.read(symbol)
            spans = [(start_ms, end_ms)]
            if held is not None:
                spans = [(int(held.ts[-1]) + MINUTE_MS, end_ms)]
                spans += [(first, first + count * MINUTE_MS) for first, count in held.gaps()]
            expected = sum(max(0, end - start) for start, end in spans) // MINUTE_MS
            parts = [] if held is None else [held]
            added = 0
            for start, end in spans:
                for page in exchange.pages(symbol, start, end):
                    parts.append(page)
                    added += len(page)
                    if progress is not None:
                        progress(added, expected)
            if not parts:
                message = f"{symbol}: the exchange has no candles from {start_ms} to {end_ms}"
                raise CandleError(message)
            merged = merge(parts)
            if added:
                # What could not be read again is never written: the lake stays as it was.
                check_whole(merged, f"{self.path(symbol)} with what the exchange sent")
                write_candles(merged, self.path(symbol))
            ends = int(merged.ts[0]), int(merged.ts[-1])
            return Ingestion(symbol, added, len(merged), *ends, merged.gaps())

    def read_funding(self, symbol: str) -> Funding:
        """Read a symbol's funding; empty where none is known."""
        return read_funding(self.funding_folder, symbol)

    def refresh_funding(
        self, exchange: Exchange, symbol: str, start_ms: int, end_ms: int
    ) -> Funding:
        """Bring a symbol's funding up to `end_ms`; give all that is known.

        Parameters
        ----------
        exchange : Exchange
        symbol : str
        start_ms : int
            Oldest settlement wanted, used where the lake holds none yet.
        end_ms : int
            Exclusive.
        """
        with self._lock(symbol):
            held = self.read_funding(symbol)
            first = int(held.ts[-1]) + 1 if len(held) else start_ms
            added = exchange.funding(symbol, first, end_ms)
            if not len(added):
                return held
            merged = funding.merge([held, added])
            write_funding(merged, self.funding_folder)
            return merged

    @contextmanager
    def _lock(self, symbol: str) -> Iterator[None]:
        """Let one process at a time write a symbol's file."""
        self.candles_folder.mkdir(parents=True, exist_ok=True)
        with lock_held(self.candles_folder / f".{symbol}.lock", LOCK_WAIT_S):
            yield


def merge(parts: list[Candles]) -> Candles:
    """Merge candles of one symbol by open time; an earlier part wins where two hold the same minute."""
    ts = np.concatenate([part.ts for part in parts])
    unique, first = np.unique(ts, return_index=True)
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])[first] for name in COLUMNS[1:]
    }
    return Candles(
        parts[0].symbol,
        unique,
        columns["open"],
        columns["high"],
        columns["low"],
        columns["close"],
        columns["volume"],
    )
