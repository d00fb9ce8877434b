"""Turns at the forge: which slot is forged next, so that none starves another.

A forge run that ended without a version will hardly end otherwise on the same candles, and every
candidate it tries makes the next gate harder: fruitless slots wait, and wait longer each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crucible.settings import MINUTE_MS

FIRST_PAUSE_MS = 60 * MINUTE_MS
LONGEST_PAUSE_MS = 24 * 60 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Past:
    """What the forge runs of one slot came to.

    Attributes
    ----------
    forge_runs : int
        All it ever had, refused and failed ones included.
    fruitless : int
        Of those, how many of the newest, in a row, ended without a version.
    last_ts : int or None
        Market time up to which the newest one saw candles; None where that is not known.
    stands_still : bool
        Whether it and the two before it saw the same candles: the symbol does not trade.
    """

    forge_runs: int = 0
    fruitless: int = 0
    last_ts: int | None = None
    stands_still: bool = False

    @classmethod
    def of(cls, ended: Sequence[tuple[bool, int | None]]) -> Past:
        """Sum up a slot's forge runs, the newest first: whether each gave a version, and its `last_ts`.

        Examples
        --------
        >>> Past.of([(False, 9), (False, None), (True, 7), (False, 5)])
        Past(forge_runs=4, fruitless=2, last_ts=9, stands_still=False)
        """
        fruitless = next((place for place, (gave, _) in enumerate(ended) if gave), len(ended))
        newest = [ts for _, ts in ended[:3]]
        stands_still = len(newest) == 3 and newest[0] is not None and len(set(newest)) == 1
        return cls(len(ended), fruitless, newest[0] if newest else None, stands_still)

    @property
    def pause_ms(self) -> int:
        """How long after its newest forge run the slot waits, in market milliseconds.

        Examples
        --------
        >>> [Past(9, fruitless).pause_ms // 3_600_000 for fruitless in (0, 1, 2, 3, 9)]
        [0, 1, 2, 4, 24]
        """
        if self.fruitless == 0:
            return 0
        return min(FIRST_PAUSE_MS << min(self.fruitless - 1, 10), LONGEST_PAUSE_MS)

    @property
    def place(self) -> tuple[int, int]:
        """Place in the line, the smaller the earlier: who was forged longest ago, then least often."""
        return self.last_ts or 0, self.forge_runs

    def rests(self, now_ts: int | None) -> bool:
        """Whether the slot still waits; where market time is not known, it does."""
        if self.pause_ms == 0 or self.last_ts is None:
            return False
        return now_ts is None or now_ts < self.last_ts + self.pause_ms

    def is_over(self, pause_ms: int, now_ts: int | None) -> bool:
        """Whether a pause since the newest forge run is over.

        It is not for 0, where either instant is not known, and where no new candle has come for some forge runs: another
        one would see the same.
        """
        if not pause_ms or self.last_ts is None or now_ts is None or self.stands_still:
            return False
        return now_ts >= self.last_ts + pause_ms


@dataclass(frozen=True, slots=True)
class ForgeRequest:
    """A slot that wants a forge run, and why; one that is to be renewed has both of its seats filled."""

    slot: str
    reason: str
    is_empty: bool
    is_renewal: bool = False


def next_turns(
    requests: Iterable[ForgeRequest],
    past: Mapping[str, Past],
    busy: Iterable[str],
    now_ts: int | None,
) -> list[ForgeRequest]:
    """Say which requests are granted now, in the order in which they are to be forged.

    Empty slots that were never forged are granted at once, all of them: they wait in line. Everything
    else is granted one at a time and only when nothing is being forged, to the slot whose newest
    forge run lies longest back; at the same distance an empty slot comes before a rival. Renewals come last.

    Parameters
    ----------
    requests : iterable of ForgeRequest
    past : mapping of slot to Past
        A slot without an entry was never forged.
    busy : iterable of str
        Slots for which a forge run is scheduled or running, whoever asked for it.
    now_ts : int or None
        Market time, epoch milliseconds.
    """
    under_way = set(busy)
    waiting = [request for request in requests if request.slot not in under_way]
    none = Past()
    new = [
        request
        for request in waiting
        if request.is_empty and not past.get(request.slot, none).forge_runs
    ]
    if new or under_way:
        return new
    ready = [request for request in waiting if not past.get(request.slot, none).rests(now_ts)]
    # The sort is stable: among equals the deployment's order decides.
    ready.sort(
        key=lambda request: (
            request.is_renewal,
            *past.get(request.slot, none).place,
            not request.is_empty,
        )
    )
    return ready[:1]
