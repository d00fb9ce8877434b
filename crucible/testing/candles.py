"""Hypothesis strategies for candles: any prices, any gaps, always sound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from crucible.market.candles import Candles
from crucible.market.simulator import START_MS
from crucible.settings import MINUTE_MS

SYMBOLS = ("BTCUSDT", "ETHUSDT")


@st.composite
def candles(
    draw: st.DrawFn,
    symbol: str = "BTCUSDT",
    *,
    min_minutes: int = 1,
    max_minutes: int = 300,
    max_gaps: int = 4,
    constant: bool = True,
) -> Candles:
    """Candles of one symbol over a span of minutes with runs of minutes missing.

    Parameters
    ----------
    symbol : str
    min_minutes, max_minutes : int
        Length of the span before gaps are cut; at least one candle is left.
    max_gaps : int
        Greatest number of missing runs, each of up to 30 minutes.
    constant : bool
        Whether a market that never moves may be drawn.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(candles(max_minutes=50))
    ... def promise(drawn: Candles) -> None:
    ...     assert len(drawn) >= 1
    >>> promise()
    """
    minutes = draw(st.integers(min_minutes, max_minutes))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    least = 0.0 if constant else 1e-4
    volatility = draw(st.sampled_from([v for v in (0.0, 1e-4, 1e-3, 0.02) if v >= least]))
    price = draw(st.sampled_from([1e-5, 1.0, 95_000.0]))
    start = START_MS + MINUTE_MS * draw(st.integers(0, 10_000))
    gaps = draw(st.lists(st.tuples(st.integers(0, minutes), st.integers(1, 30)), max_size=max_gaps))
    path = price * np.exp(np.cumsum(volatility * generator.standard_normal(minutes + 1)))
    opening, closing = path[:-1], path[1:]
    wick = np.exp(volatility * np.abs(generator.standard_normal((2, minutes))))
    keep = np.ones(minutes, dtype=bool)
    for first, length in gaps:
        keep[first : first + length] = False
    if not keep.any():
        keep[0] = True
    return Candles(
        symbol,
        (start + MINUTE_MS * np.arange(minutes, dtype=np.int64))[keep],
        opening[keep],
        (np.maximum(opening, closing) * wick[0])[keep],
        (np.minimum(opening, closing) / wick[1])[keep],
        closing[keep],
        generator.lognormal(0, 1, minutes)[keep],
    )


@st.composite
def markets(
    draw: st.DrawFn, symbols: Sequence[str] = SYMBOLS, *, max_minutes: int = 300
) -> dict[str, Candles]:
    """Candles of several symbols, each with a span and gaps of its own."""
    return {symbol: draw(candles(symbol, max_minutes=max_minutes)) for symbol in symbols}
