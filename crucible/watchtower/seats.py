"""Seats: what each slot of the deployment strategy lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from crucible.settings import Slot


@dataclass(frozen=True, slots=True)
class SeatAction:
    """What the Singularity is to do for one slot."""

    action: Literal["seat", "forge"]
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
) -> list[SeatAction]:
    """Say what has to be done so that every slot is filled.

    An empty production seat is given to the slot's challenger where the venue allows it: always on
    the paper venue under ``explore``, elsewhere only to a proven version. Empty slots are forged
    first, all of them; only when nothing is empty and nothing is being forged does one production
    version get a rival, so that rivals never keep an empty slot waiting.

    Parameters
    ----------
    slots : iterable of Slot
    aliases : mapping of str to mapping
        Per slot, alias to version.
    forging : iterable of str
        Slots for which a forging is scheduled or running.
    may_seat_unproven : bool
    proven : mapping of (slot, version) to bool
    """
    busy = set(forging)
    seat: list[SeatAction] = []
    empty: list[SeatAction] = []
    rivals: list[SeatAction] = []
    for slot in slots:
        held = aliases.get(slot.name, {})
        production, challenger = held.get("production"), held.get("challenger")
        if production is None and challenger is not None:
            if may_seat_unproven or proven.get((slot.name, challenger), False):
                why = "the production seat was empty"
                seat.append(SeatAction("seat", slot.name, challenger, why))
                challenger = None
            production = "seated or waiting"
        if slot.name in busy:
            continue
        if production is None:
            empty.append(SeatAction("forge", slot.name, None, "the slot is empty"))
        elif challenger is None:
            rivals.append(SeatAction("forge", slot.name, None, "production has no challenger"))
    if empty or busy:
        return seat + empty
    return seat + rivals[:1]
