"""Market messages of the wire as the values that features are computed from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crucible.arena.alignment import Minute
from crucible.execution.messages import BookMessage, CandleMessage
from crucible.features.microstructure import BookSecond
from crucible.market.candles import Candle, Candles
from crucible.settings import MINUTE_MS

Backfill = Callable[[str, int, int], list[Candles]]
"""Fetches closed candles of ``[start_ms, end_ms)`` of a symbol."""


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


def gap_minutes(
    symbols: Sequence[str], backfill: Backfill, seen: int, first_live: int
) -> list[Minute]:
    """Fetch what lies between history and the first live minute."""
    found: dict[int, dict[str, Candle]] = {}
    for symbol in symbols:
        for page in backfill(symbol, seen, first_live - MINUTE_MS):
            for row in range(len(page)):
                candle = page.candle(row)
                found.setdefault(candle.ts + MINUTE_MS, {})[symbol] = candle
    return [Minute(ts, found[ts]) for ts in sorted(found) if seen < ts < first_live]
