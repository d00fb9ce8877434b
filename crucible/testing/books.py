"""Hypothesis strategies for order books."""

from __future__ import annotations

from hypothesis import strategies as st

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
