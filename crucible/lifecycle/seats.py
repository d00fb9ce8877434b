"""Seats: what each slot of the deployment strategy lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from crucible.lifecycle.turns import Past, Wish, next_turns
from crucible.settings import Slot


@dataclass(frozen=True, slots=True)
class SeatAction:
    """What the Singularity is to do for one slot."""

    action: Literal["retire", "seat", "forge"]
    slot: str
    version: str | None
    reason: str


def fill_seats(
    slots: Iterable[Slot],
    aliases: Mapping[str, Mapping[str, str]],
    forging: Iterable[str],
    *,
    may_seat_unproven: bool,
    proven: Mapping[tuple[str, str], bool],
    past: Mapping[str, Past],
    now_ts: int | None,
    quarantined: Mapping[tuple[str, str], str],
) -> list[SeatAction]:
    """Say what has to be done so that every slot is filled.

    A quarantined version trades no more: it is retired, and its seat counts as empty. An empty
    production seat is given to the slot's challenger where the venue allows it: always on the paper
    venue under ``explore``, elsewhere only to a proven version. What is still empty, and every
    production version without a rival, wishes for a forging; `next_turns` says whose turn it is.

    Parameters
    ----------
    slots : iterable of Slot
    aliases : mapping of str to mapping
        Per slot, alias to version.
    forging : iterable of str
        Slots for which a forging is scheduled or running.
    may_seat_unproven : bool
    proven : mapping of (slot, version) to bool
    past : mapping of slot to Past
        What its forgings came to.
    now_ts : int or None
        Market time, epoch milliseconds.
    quarantined : mapping of (slot, version) to str
        Why the arena has quarantined a version.
    """
    retire: list[SeatAction] = []
    seat: list[SeatAction] = []
    wishes: list[Wish] = []
    for slot in slots:
        held = {}
        for alias, version in aliases.get(slot.name, {}).items():
            if alias in {"production", "challenger"} and (slot.name, version) in quarantined:
                why = f"quarantined: {quarantined[slot.name, version]}"
                retire.append(SeatAction("retire", slot.name, version, why))
            else:
                held[alias] = version
        production, challenger = held.get("production"), held.get("challenger")
        if production is None and challenger is not None:
            if may_seat_unproven or proven.get((slot.name, challenger), False):
                why = "the production seat was empty"
                seat.append(SeatAction("seat", slot.name, challenger, why))
                challenger = None
            production = "seated or waiting"
        if production is None:
            wishes.append(Wish(slot.name, "the slot is empty", is_empty=True))
        elif challenger is None:
            wishes.append(Wish(slot.name, "production has no challenger", is_empty=False))
    turns = next_turns(wishes, past, forging, now_ts)
    return retire + seat + [SeatAction("forge", wish.slot, None, wish.reason) for wish in turns]
