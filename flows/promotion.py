"""Promotion, the one door to production: through the gates, back to the version before, or out.

Watchtower and Singularity go through it as well, so that every change is a flow run, and a run in
MLflow's experiment ``deployments``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from prefect import flow, get_run_logger, runtime

from crucible.arena.registry_watcher import QUARANTINED, REFUSED
from crucible.errors import CrucibleError
from crucible.registry.models import Version
from flows.context import House, open_house
from flows.deployments import Decision, promote, refuse, retire


class PromotionError(CrucibleError, RuntimeError):
    """A version that may not go to production, and why."""


@flow(name="promotion", flow_run_name="{action} {slot} version {version}")
def promotion(
    slot: str,
    version: str = "challenger",
    action: Literal["promote", "roll back", "retire"] = "promote",
    reason: str = "asked for by a person",
    decided_by: str = "a person",
    evidence: dict[str, Any] | None = None,
    key: str = "",
) -> str:
    """Promote a version, roll back to the version that production replaced, or retire one.

    Parameters
    ----------
    slot : str
    version : str
        A version's number, or ``challenger``. Ignored when rolling back.
    action : {'promote', 'roll back', 'retire'}
    reason : str
        Kept as a tag on the version.
    decided_by : str
    evidence : dict, optional
        The scorecard behind the decision.
    key : str
        Identifies the decision where it may be carried out twice; this flow run's id otherwise.

    Raises
    ------
    PromotionError
        If there is no such version, or it may not trade on this venue.
    """
    house = open_house()
    logger = get_run_logger()
    aliases = house.registry.aliases(slot)
    if action in {"promote", "retire"}:
        number: str | None = aliases.get(version, version)
    elif "production" in aliases:
        number = house.registry.version(slot, aliases["production"]).tags.get("replaced")
    else:
        number = aliases.get("retired")
    if number is None or not number.isdigit():
        message = f"{slot}: nothing to {action}: aliases are {aliases or 'none'}"
        raise PromotionError(message)
    candidate = house.registry.version(slot, number)
    told = Decision(decided_by, reason, evidence or {}, key or str(runtime.flow_run.id))
    if action == "retire":
        retire(house, candidate, told)
        logger.info("%s: version %s is retired: %s", slot, number, reason)
        return number
    try:
        require_admission(house, candidate)
    except PromotionError as error:
        refuse(house, candidate, replace(told, reason=str(error)))
        raise
    replaced = promote(house, candidate, told, back=action == "roll back")
    logger.info("%s: version %s is production, in place of %s", slot, number, replaced or "none")
    return number


def require_admission(house: House, version: Version) -> None:
    """Refuse a version that the policy keeps off this venue.

    Raises
    ------
    PromotionError
    """
    name = f"{version.slot} version {version.version}"
    if house.real_money and (doubt := house.doubt(version)):
        message = f"{name} is not proven ({doubt}); only paper may trade it"
        raise PromotionError(message)
    for tag, what in ((REFUSED, "was refused by the arena"), (QUARANTINED, "is quarantined")):
        if tag in version.tags:
            message = f"{name} {what}: {version.tags[tag]}"
            raise PromotionError(message)
