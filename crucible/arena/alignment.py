"""Closed candles of several symbols, gathered into one market minute at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from crucible.market.candles import Candle
from crucible.settings import MINUTE_MS


@dataclass(frozen=True, slots=True)
class Minute:
    """All that closed at one instant; a symbol without a candle is absent."""

    close_ts: int
    candles: dict[str, Candle]


@dataclass(slots=True)
class MarketClock:
    """The market's time, which only goes forward and is moved far by no single message.

    One bad time in the future would make every true candle after it too late. A message that is more than
    `jump_ms` ahead is believed once another agrees with it, as after a night in which nothing ran; by itself it is
    refused, and what it carried is asked for as any missing candle is.

    Attributes
    ----------
    now_ts : int
        Newest market instant that is believed, epoch milliseconds; 0 before the first message.
    refused : int
        Messages that were not believed.
    """

    jump_ms: int = 60 * MINUTE_MS
    now_ts: int = 0
    refused: int = 0
    _doubted_ts: int | None = None

    def admits(self, ts: int) -> bool:
        """Whether a message of this market time is believed; the clock moves with it."""
        is_far = self.now_ts > 0 and ts > self.now_ts + self.jump_ms
        agrees = self._doubted_ts is not None and abs(ts - self._doubted_ts) <= self.jump_ms
        if is_far and not agrees:
            self._doubted_ts = ts
            self.refused += 1
            return False
        self._doubted_ts = None
        self.now_ts = max(self.now_ts, ts)
        return True


@dataclass(slots=True)
class MinuteAligner:
    """Releases a minute when every symbol's candle is there, or when market time says it will not be.

    The clock is the market's: a minute is released incomplete once any message carries a time of
    `grace_ms` after its close. Minutes come out in order, each once; a candle for a minute already
    released is counted in `late` and dropped.

    Parameters
    ----------
    symbols : tuple of str
    grace_ms : int
    """

    symbols: tuple[str, ...]
    grace_ms: int = 5_000
    late: int = 0
    _waiting: dict[int, dict[str, Candle]] = field(default_factory=dict)
    _released_ts: int = 0

    def add(self, symbol: str, candle: Candle, close_ts: int) -> Iterator[Minute]:
        """Take one closed candle; yield the minutes that it completes."""
        if close_ts <= self._released_ts or symbol not in self.symbols:
            self.late += 1
            return
        self._waiting.setdefault(close_ts, {})[symbol] = candle
        yield from self.advance(close_ts)

    def advance(self, market_ts: int) -> Iterator[Minute]:
        """Tell the aligner the market's time; yield the minutes that need no more waiting."""
        for close_ts in sorted(self._waiting):
            complete = len(self._waiting[close_ts]) == len(self.symbols)
            if not complete and market_ts < close_ts + self.grace_ms:
                return
            self._released_ts = close_ts
            yield Minute(close_ts, self._waiting.pop(close_ts))

    def skip_to(self, close_ts: int) -> None:
        """Forget every minute up to and including `close_ts`: history has covered them."""
        self._released_ts = max(self._released_ts, close_ts)
        for waiting in [ts for ts in self._waiting if ts <= self._released_ts]:
            del self._waiting[waiting]
