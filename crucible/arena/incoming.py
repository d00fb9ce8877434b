"""Market messages of the wire as the values that features are computed from."""

from __future__ import annotations

from crucible.execution.messages import BookMessage, CandleMessage
from crucible.features.microstructure import BookSecond
from crucible.market.candles import Candle


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
