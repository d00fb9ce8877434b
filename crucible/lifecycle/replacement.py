"""Orders for forge runs: the parameters of the next one of a slot, so that none repeats another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from crucible.registry.models import Registry


def forge_order(
    registry: Registry,
    slot: str,
    reason: str,
    *,
    renewal: bool = False,
    unfinished: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Give the parameters of a slot's next forge run, as Singularity and the Watchtower order it.

    A refused forge run leaves no version, and the next one must not be the same again: all are counted.

    Parameters
    ----------
    registry : Registry
    slot, reason : str
    renewal : bool
        Whether it is made although the slot has a challenger.
    unfinished : iterable of mapping
        Parameters of forge runs of any slot that are ordered and have not ended: the registry knows a run only
        once it has begun.

    Raises
    ------
    RegistryError
        If the registry does not answer.
    """
    ran = registry.forge_seeds(slot)
    # What an event ordered carries its seed as text.
    taken = {*ran, *(str(each.get("seed")) for each in unfinished if each.get("slot") == slot)}
    seeds = (forge_seed(slot, number) for number in count(len(ran) + 1))
    return {
        "slot": slot,
        "seed": next(seed for seed in seeds if str(seed) not in taken),
        "reason": reason,
        "only_without_challenger": not renewal,
    }


def forge_seed(slot: str, number: int) -> int:
    """Seed of a slot's n-th forge run: the same for everyone, different for every slot and number."""
    digest = hashlib.sha256(f"{slot}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
