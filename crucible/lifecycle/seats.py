"""Seats: what each slot of the deployment strategy lacks, and what is to be done about it.

Entry points: `plan_seats` (asks the registry), `fill_seats` (the pure rule).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from crucible.lifecycle.context import Context
from crucible.lifecycle.turns import ForgeRequest, Past, next_turns
from crucible.registry.admission import QUARANTINED
from crucible.registry.errors import RegistryError
from crucible.registry.version import Version
from crucible.settings import MINUTE_MS, Slot, Trial

HOUR_MS = 60 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class SeatAction:
    """What the Singularity is to do for one slot.

    A forge run that is to renew a slot is made although the slot has a challenger.
    """

    action: Literal["retire", "seat", "forge", "renew"]
    slot: str
    version: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class SeatPlan:
    """What is to be done, and what each slot looked like: one row a slot, JSON values."""

    actions: list[SeatAction]
    rows: list[dict[str, Any]]


def plan_seats(context: Context, under_way: Collection[str], now_ts: int | None) -> SeatPlan:
    """Compare the deployment strategy with the registry and with the forge runs under way.

    Parameters
    ----------
    context : Context
    under_way : collection of str
        Slots for which a forge run is scheduled or running.
    now_ts : int or None
        Market time, epoch milliseconds; None while it is not known: slots that rest go on resting.

    Raises
    ------
    RegistryError
        If the registry does not answer.
    """
    slots, registry = context.settings.slots, context.registry
    aliases = {slot.name: registry.aliases(slot.name) for slot in slots}
    seated = {
        (slot, held[alias]): registry.version(slot, held[alias])
        for slot, held in aliases.items()
        for alias in ("production", "challenger")
        if alias in held
    }
    quarantined = {
        place: version.tags[QUARANTINED]
        for place, version in seated.items()
        if QUARANTINED in version.tags
    }
    refused = {place: _refusal(context, version) for place, version in seated.items()}
    past = {slot.name: Past.of(registry.ended(slot.name)) for slot in slots}
    actions = fill_seats(
        slots,
        aliases,
        under_way,
        refused={place: reason for place, reason in refused.items() if reason},
        quarantined=quarantined,
        unproven={place for place, version in seated.items() if not version.proven},
        trial=context.settings.singularity.trial,
        renew_ms=context.settings.singularity.renew_hours * HOUR_MS,
        past=past,
        now_ts=now_ts,
    )
    rows = [
        {
            "slot": slot.name,
            "production": aliases[slot.name].get("production", ""),
            "challenger": aliases[slot.name].get("challenger", ""),
            "forging": slot.name in under_way,
            "forgings without a version": past[slot.name].fruitless,
            "rests": past[slot.name].rests(now_ts),
        }
        for slot in slots
    ]
    return SeatPlan(actions, rows)


def _refusal(context: Context, version: Version) -> str:
    """Say why a version may not trade; one that cannot be looked up now keeps its seat."""
    try:
        return context.refusal(version)
    except RegistryError as error:
        context.log.warning(
            "%s: version %s keeps its seat: %s", version.slot, version.version, error
        )
        return ""


def fill_seats(
    slots: Iterable[Slot],
    aliases: Mapping[str, Mapping[str, str]],
    under_way: Iterable[str],
    *,
    refused: Mapping[tuple[str, str], str],
    quarantined: Mapping[tuple[str, str], str],
    past: Mapping[str, Past],
    now_ts: int | None,
    unproven: Collection[tuple[str, str]] = (),
    trial: Trial = "venue",
    renew_ms: int = 0,
) -> list[SeatAction]:
    """Say what has to be done so that every slot is filled.

    A quarantined version trades no more: it is retired. The seat of any version that may not trade
    here counts as empty: its alias stays, since it may trade elsewhere, until another version takes it.
    An empty production seat is given to the slot's challenger, unless it is unproven and its trial is in shadow:
    then it waits for the evidence of its life. What is still empty, and every production version without a challenger,
    asks for a forge run, and so does a slot with an unproven version whose newest forge run lies back for long
    enough; `next_turns` says whose turn it is.

    Parameters
    ----------
    slots : iterable of Slot
    aliases : mapping of str to mapping
        Per slot, alias to version.
    under_way : iterable of str
        Slots for which a forge run is scheduled or running.
    refused : mapping of (slot, version) to str
        Why a version may not trade here.
    quarantined : mapping of (slot, version) to str
        Why the arena has quarantined a version.
    past : mapping of slot to Past
        What its forge runs came to.
    now_ts : int or None
        Market time, epoch milliseconds.
    unproven : collection of (slot, version)
        Who has no proof.
    trial : {'shadow', 'venue'}
        Where unproven versions trade before evidence speaks for them.
    renew_ms : int
        Market milliseconds from a slot's newest forge run to one that renews it; 0 for never.
    """
    retire: list[SeatAction] = []
    seat: list[SeatAction] = []
    requests: list[ForgeRequest] = []
    for slot in slots:
        held = {}
        empty = "the slot is empty"
        for alias, version in aliases.get(slot.name, {}).items():
            place = slot.name, version
            if alias not in {"production", "challenger"}:
                continue
            if place in quarantined:
                why = f"quarantined: {quarantined[place]}"
                retire.append(SeatAction("retire", slot.name, version, why))
            elif place in refused:
                if alias == "production":
                    empty = f"version {version} {refused[place]}"
            else:
                held[alias] = version
        production, challenger = held.get("production"), held.get("challenger")
        if challenger == production:  # both aliases by hand: it challenges nobody but itself
            challenger = None
        waits = trial == "shadow" and (slot.name, challenger) in unproven
        if production is None and challenger is not None and not waits:
            why = empty if empty != "the slot is empty" else "the production seat was empty"
            seat.append(SeatAction("seat", slot.name, challenger, why))
            production, challenger = challenger, None
        if production is None and challenger is None:
            requests.append(ForgeRequest(slot.name, empty, is_empty=True))
        elif challenger is None:
            requests.append(ForgeRequest(slot.name, "production has no challenger", is_empty=False))
        elif past.get(slot.name, Past()).is_over(renew_ms, now_ts):
            doubtful = [each for each in (production, challenger) if (slot.name, each) in unproven]
            if doubtful:
                why = f"version {doubtful[0]} is unproven, and candles have come since"
                requests.append(ForgeRequest(slot.name, why, is_empty=False, is_renewal=True))
    turns = next_turns(requests, past, under_way, now_ts)
    return (
        retire
        + seat
        + [
            SeatAction("renew" if turn.is_renewal else "forge", turn.slot, None, turn.reason)
            for turn in turns
        ]
    )


def seat_of_newcomer(
    held: Mapping[str, str],
    serving: Mapping[str, str],
    version: str,
    *,
    refused: bool,
    proven: bool = False,
    unproven: Collection[str] = (),
    trial: Trial = "venue",
) -> Literal["production", "challenger"] | None:
    """Say which seat a version takes that was just registered; None where there is none for it.

    A proven version takes the seat of an unproven one. An unproven version takes a seat that is empty, that of
    production only where its trial is at the venue.

    Parameters
    ----------
    held : mapping of str to str
        The slot's aliases and their versions.
    serving : mapping of str to str
        Those of them that may trade here.
    version : str
    refused : bool
        Whether it may not trade here itself.
    proven : bool
        Whether it is proven.
    unproven : collection of str
        Those that serve and are not.
    trial : {'shadow', 'venue'}
        Where unproven versions trade before evidence speaks for them.

    Examples
    --------
    >>> seat_of_newcomer({}, {}, "1", refused=False)
    'production'
    >>> seat_of_newcomer({}, {}, "1", refused=False, trial="shadow")
    'challenger'
    >>> held = {"production": "1", "challenger": "2"}
    >>> seat_of_newcomer(held, held, "3", refused=False)
    >>> seat_of_newcomer(held, held, "3", refused=False, proven=True, unproven=["1", "2"])
    'production'
    >>> seat_of_newcomer(held, held, "3", refused=False, proven=True, unproven=["2"])
    'challenger'
    """

    def is_free(seat: str) -> bool:
        holder = serving.get(seat)
        return holder in {None, version} or (proven and holder in unproven)

    admitted = not refused and (proven or trial == "venue")
    if (
        admitted
        and is_free("production")
        and (proven or version in held.values() or is_free("challenger"))
    ):
        return "production"
    return "challenger" if is_free("challenger") or version in held.values() else None
