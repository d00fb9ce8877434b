"""Hypothesis strategies for order books."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from crucible.features.order_books.microstructure import BookMinute, BookSecond, OpenBookMinute
from crucible.settings import MINUTE_MS
from crucible.testing.orderflow import Book


@st.composite
def books(draw: st.DrawFn, *, min_levels: int = 1, max_levels: int = 12) -> Book:
    """Books that do not cross, on a tick of 0.5 around 100, sizes above zero."""
    middle = draw(st.integers(180, 220))
    sizes = st.floats(0.001, 1_000)

    def side(sign: int) -> tuple[tuple[float, float], ...]:
        count = draw(st.integers(min_levels, max_levels))
        steps = draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))
        price, levels = middle, []
        for step in steps:
            price += sign * step
            levels.append((price / 2, draw(sizes)))
        return tuple(levels)

    return Book(bids=side(-1), asks=side(1))


def book_minute(close_ts: int, seconds: Sequence[BookSecond]) -> BookMinute:
    """Fold the seconds of one candle.

    Parameters
    ----------
    close_ts : int
        Exclusive close time, epoch milliseconds.
    seconds : sequence of BookSecond
        Seconds outside the candle are ignored; of repeated seconds the last counts.
    """
    minute = OpenBookMinute()
    for second in seconds:
        if close_ts - MINUTE_MS <= second.second_ts < close_ts:
            minute.add(second)
    return minute.close(close_ts)
