"""Market messages of the wire as the values that features are computed from."""

from __future__ import annotations

from collections.abc import Sequence

from crucible.arena.alignment import Minute
from crucible.execution.messages import BookMessage, CandleMessage
from crucible.features.order_books.microstructure import BookMinute, BookSecond, OpenBookMinute
from crucible.features.order_books.store import BookStore
from crucible.market.candles import Candle
from crucible.settings import MINUTE_MS


def candle_of(message: CandleMessage) -> Candle:
    """Turn a closed candle of the wire into numbers."""
    return Candle(
        message.open_ts,
        float(message.open),
        float(message.high),
        float(message.low),
        float(message.close),
        float(message.volume),
    )


def book_second_of(message: BookMessage) -> BookSecond:
    """Turn a book second of the wire into numbers; what was stale becomes NaN."""

    def number(value: float | None) -> float:
        return float("nan") if value is None else value

    return BookSecond(
        message.second_ts,
        number(message.skew),
        number(message.ofi),
        number(message.depth),
        number(message.microprice_offset),
        message.updates,
    )


class BookRecorder:
    """Book seconds as they come, summed to minutes; the minutes are kept until they are stored.

    Parameters
    ----------
    symbols : sequence of str
    store : BookStore
    """

    def __init__(self, symbols: Sequence[str], store: BookStore) -> None:
        self._store = store
        # For each symbol, candles in the making by their exclusive close time.
        self._open: dict[str, dict[int, OpenBookMinute]] = {symbol: {} for symbol in symbols}
        self._minutes: dict[str, list[BookMinute]] = {symbol: [] for symbol in symbols}

    def add(self, message: BookMessage) -> None:
        """Take one second; that of a symbol not recorded here is left out."""
        if message.symbol in self._open:
            close_ts = message.second_ts - message.second_ts % MINUTE_MS + MINUTE_MS
            minutes = self._open[message.symbol]
            if close_ts not in minutes:
                minutes[close_ts] = OpenBookMinute()
            minutes[close_ts].add(book_second_of(message))

    def close(self, minute: Minute) -> dict[str, BookMinute]:
        """Sum up the seconds of a minute for each symbol that has a candle in it."""
        books = {}
        for symbol in minute.candles:
            own = self._open[symbol].pop(minute.close_ts, None) or OpenBookMinute()
            books[symbol] = book = own.close(minute.close_ts)
            if book.seconds:
                self._minutes[symbol].append(book)
            for passed in [ts for ts in self._open[symbol] if ts < minute.close_ts]:
                del self._open[symbol][passed]
        return books

    def store(self) -> None:
        """Write the minutes that are not written yet."""
        for symbol, minutes in self._minutes.items():
            self._store.append(symbol, minutes)
            minutes.clear()
