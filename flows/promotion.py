"""Promotion: move a version to production through the gates, or roll back to the one before."""

from __future__ import annotations

from typing import Literal

from prefect import flow, get_run_logger

from crucible.errors import CrucibleError
from crucible.strategies.registry import Version
from flows.house import House, open_house


class PromotionError(CrucibleError, RuntimeError):
    """A version that may not go to production, and why."""


@flow(name="promotion", flow_run_name="{action} {slot} version {version}")
def promotion(
    slot: str,
    version: str = "challenger",
    action: Literal["promote", "roll back"] = "promote",
    reason: str = "asked for by a person",
) -> str:
    """Promote a version, or roll back to the version that production replaced.

    Parameters
    ----------
    slot : str
    version : str
        A version's number, or ``challenger``. Ignored when rolling back.
    action : {'promote', 'roll back'}
    reason : str
        Kept as a tag on the version.

    Raises
    ------
    PromotionError
        If there is no such version, or it may not trade on this venue.
    """
    house = open_house()
    logger = get_run_logger()
    aliases = house.registry.aliases(slot)
    if action == "promote":
        number: str | None = aliases.get(version, version)
    elif "production" in aliases:
        number = house.registry.version(slot, aliases["production"]).tags.get("replaced")
    else:
        number = aliases.get("retired")
    if number is None or not number.isdigit():
        message = f"{slot}: nothing to {action}: aliases are {aliases or 'none'}"
        raise PromotionError(message)
    candidate = house.registry.version(slot, number)
    require_admission(house, candidate)
    replaced = house.registry.promote(slot, number, reason)
    logger.info("%s: version %s is production, in place of %s", slot, number, replaced or "none")
    return number


def require_admission(house: House, version: Version) -> None:
    """Refuse a version that the policy keeps off this venue.

    Raises
    ------
    PromotionError
    """
    name = f"{version.slot} version {version.version}"
    if house.real_money and not version.proven:
        failed = version.tags.get("failed_gates", "unknown")
        message = f"{name} is not proven (failed gates: {failed}); only paper may trade it"
        raise PromotionError(message)
    if "arena_refused" in version.tags:
        message = f"{name} was refused by the arena: {version.tags['arena_refused']}"
        raise PromotionError(message)
