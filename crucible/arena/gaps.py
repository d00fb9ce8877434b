"""Minutes that the stream did not bring, asked for at the venue before the next one is decided upon."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from crucible.arena.alignment import Minute
from crucible.market.candles import Candle, CandleError, Candles
from crucible.market.exchange import ExchangeError
from crucible.settings import MINUTE_MS

logger = logging.getLogger(__name__)

Backfill = Callable[[str, int, int], list[Candles]]
"""Fetches closed candles of ``[start_ms, end_ms)`` of a symbol."""

PATIENCE_S = 10.0


def closed_minutes(
    symbols: Iterable[str], backfill: Backfill, since: int, until: int
) -> dict[int, dict[str, Candle]]:
    """Fetch the candles that closed in ``(since, until]``, by close time and symbol.

    Raises
    ------
    ExchangeError
        If the venue cannot be reached.
    CandleError
        If a row it sent is not a sound candle.
    """
    found: dict[int, dict[str, Candle]] = {}
    for symbol in symbols:
        for page in backfill(symbol, since, until):
            for row in range(len(page)):
                candle = page.candle(row)
                if since < candle.ts + MINUTE_MS <= until:
                    found.setdefault(candle.ts + MINUTE_MS, {})[symbol] = candle
    return found


@dataclass(slots=True)
class _Request:
    """What is being asked for in a thread of its own; the thread sets `done` last."""

    minute_ts: int
    began: float
    done: threading.Event = field(default_factory=threading.Event)
    found: dict[int, dict[str, Candle]] | None = None
    problem: str = "the question broke off, see above"


class GapFiller:
    """Puts minutes that are missing, or lack a symbol, together with what the venue tells afterwards.

    The venue is asked in a thread: the loop goes on hearing fills and telling that it lives. Where it
    does not answer in time the minute is taken as it came, and the hole stays a hole.

    Parameters
    ----------
    symbols : sequence of str
    backfill : callable
    last_ts : int
        Close time of the last minute taken, ms.
    patience_s : float
        Seconds that a minute waits for those before it.

    Attributes
    ----------
    filled : int
        Candles that the stream did not bring and the venue told.
    unfilled : int
        Minutes before which the venue could not be asked.
    hole_ts : int or None
        Close time of the newest of them, ms.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        backfill: Backfill,
        last_ts: int,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._symbols = tuple(symbols)
        self._backfill = backfill
        self._last_ts = last_ts
        self._patience_s = patience_s
        self._request: _Request | None = None
        self.filled = 0
        self.unfilled = 0
        self.hole_ts: int | None = None

    def fill(self, minute: Minute) -> list[Minute] | None:
        """Give the minutes up to and including `minute`, oldest first; None while they are asked for.

        Ask with the same minute again until it is given.
        """
        if minute.close_ts == self._last_ts + MINUTE_MS and self._is_whole(minute):
            return self._take([minute])
        request = self._request
        if request is None or (request.minute_ts != minute.close_ts and request.done.is_set()):
            request = self._request = self._ask(minute)
        if request.minute_ts != minute.close_ts:
            return self._give_up(minute, "the venue still owes the answer to an earlier question")
        if not request.done.is_set():
            if time.monotonic() - request.began < self._patience_s:
                return None
            return self._give_up(minute, f"no answer in {self._patience_s:g} s")
        if request.found is None:
            return self._give_up(minute, request.problem)
        return self._join(minute, request.found)

    def reaches_over_a_hole(self, ts: int, memory_ms: int) -> bool:
        """Whether what remembers so much market time has a hole in its memory at `ts`."""
        return self.hole_ts is not None and ts < self.hole_ts + memory_ms

    def _is_whole(self, minute: Minute) -> bool:
        return len(minute.candles) == len(self._symbols)

    def _ask(self, minute: Minute) -> _Request:
        request = _Request(minute.close_ts, time.monotonic())
        alone = minute.close_ts == self._last_ts + MINUTE_MS
        symbols = [s for s in self._symbols if not alone or s not in minute.candles]
        since = self._last_ts

        def work() -> None:
            try:
                request.found = closed_minutes(symbols, self._backfill, since, minute.close_ts)
            except (ExchangeError, CandleError) as error:
                request.problem = str(error)
            except Exception:
                # The loop must not wait for ever for a thread that has ended.
                logger.exception("asking for minutes before %d", minute.close_ts)
            request.done.set()

        threading.Thread(target=work, name="backfill", daemon=True).start()
        return request

    def _join(self, minute: Minute, found: dict[int, dict[str, Candle]]) -> list[Minute]:
        reported = dict(found)
        # What the stream brought stands.
        reported[minute.close_ts] = {**reported.get(minute.close_ts, {}), **minute.candles}
        minutes = [Minute(ts, reported[ts]) for ts in sorted(reported)]
        count = sum(len(each.candles) for each in minutes) - len(minute.candles)
        self.filled += count
        logger.warning(
            "the stream left a hole between %d and %d; the venue told %d candles of it",
            self._last_ts,
            minute.close_ts,
            count,
        )
        return self._take(minutes)

    def _give_up(self, minute: Minute, why: str) -> list[Minute]:
        self.unfilled += 1
        self.hole_ts = minute.close_ts
        logger.error(
            "the hole before %d (last minute %d) stays: %s", minute.close_ts, self._last_ts, why
        )
        return self._take([minute])

    def _take(self, minutes: list[Minute]) -> list[Minute]:
        self._last_ts = minutes[-1].close_ts
        return minutes
