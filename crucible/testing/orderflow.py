"""Order-flow statistics of a live book in plain Python: the reference for the compiled ones.

Slow and readable on purpose. Cerebellum computes the same numbers from its live book; a parity test
feeds both the same recorded events.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from crucible.features.order_books.microstructure import BookSecond

LEVELS = 10
SECOND_MS = 1_000

Level = tuple[float, float]
"""Price and size."""


@dataclass(frozen=True, slots=True)
class Book:
    """A book at one instant.

    Attributes
    ----------
    bids, asks : tuple of (price, size)
        Best first; both sides hold at least one level and do not cross.
    """

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    @property
    def mid(self) -> float:
        """Mean of the best prices."""
        return (self.bids[0][0] + self.asks[0][0]) / 2

    @property
    def spread(self) -> float:
        """Best ask minus best bid."""
        return self.asks[0][0] - self.bids[0][0]


def order_flow_imbalance(before: Book, after: Book, levels: int = LEVELS) -> float:
    """Order-flow imbalance of one event, summed over levels, base asset.

    At each level ``e = 1{Pb >= Pb'} qb - 1{Pb <= Pb'} qb' - 1{Pa <= Pa'} qa + 1{Pa >= Pa'} qa'``
    with primes for the book before the event (Cont, Kukanov, Stoikov 2014). Levels that either
    book lacks are left out, side by side.
    """
    total = 0.0
    for (price, size), (old_price, old_size) in _pairs(after.bids, before.bids, levels):
        total += (size if price >= old_price else 0.0) - (old_size if price <= old_price else 0.0)
    for (price, size), (old_price, old_size) in _pairs(after.asks, before.asks, levels):
        total += (old_size if price >= old_price else 0.0) - (size if price <= old_price else 0.0)
    return total


def skew(book: Book, levels: int = LEVELS) -> float:
    """Imbalance of resting size in [-1, 1], nearer levels counting more.

    ``sum w (qb - qa) / sum w (qb + qa)`` with ``w = exp(-0.5 * distance / spread)`` and distance
    from the mid; NaN where the spread is not positive or nothing rests.
    """
    if not book.spread > 0:
        return math.nan

    def weighted(side: Sequence[Level]) -> float:
        return math.fsum(
            size * math.exp(-0.5 * abs(price - book.mid) / book.spread)
            for price, size in side[:levels]
        )

    bid, ask = weighted(book.bids), weighted(book.asks)
    return (bid - ask) / (bid + ask) if bid + ask > 0 else math.nan


def depth(book: Book, levels: int = LEVELS) -> float:
    """Size resting on the first levels of a side, mean of the two sides, base asset."""
    return math.fsum(size for _, size in (*book.bids[:levels], *book.asks[:levels])) / 2


def microprice_offset(book: Book) -> float:
    """Microprice minus mid: the best prices weighted by the other side's size, quote asset."""
    (bid, bid_size), (ask, ask_size) = book.bids[0], book.asks[0]
    return (bid * ask_size + ask * bid_size) / (bid_size + ask_size) - book.mid


def book_second(
    second_ts: int, standing: Book | None, events: Sequence[tuple[int, Book]]
) -> BookSecond:
    """Fold one second of a book.

    Skew and depth are means over time, each book counting for as long as it stood; the imbalance
    is the sum over events divided by that mean depth; the microprice is the second's last.

    Parameters
    ----------
    second_ts : int
        Start of the second, epoch milliseconds.
    standing : Book or None
        The book as the second began; None when it was not trusted then.
    events : sequence of (int, Book)
        Times within the second, in order, and the book after each event.
    """
    at, book = second_ts, standing
    spans: list[tuple[int, Book]] = []
    flow = 0.0
    for ts, after in events:
        if book is not None:
            spans.append((ts - at, book))
            flow += order_flow_imbalance(book, after)
        at, book = ts, after
    if book is None:
        return BookSecond(second_ts, math.nan, math.nan, math.nan, math.nan, len(events))
    spans.append((second_ts + SECOND_MS - at, book))
    whole = sum(span for span, _ in spans)
    resting = math.fsum(span * depth(b) for span, b in spans) / whole
    leaning = math.fsum(span * skew(b) for span, b in spans) / whole
    imbalance = flow / resting if resting > 0 else math.nan
    return BookSecond(second_ts, leaning, imbalance, resting, microprice_offset(book), len(events))


def _pairs(
    after: Sequence[Level], before: Sequence[Level], levels: int
) -> list[tuple[Level, Level]]:
    return list(zip(after[:levels], before[:levels], strict=False))
