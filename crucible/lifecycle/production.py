"""Changes of production, each carried out in the registry and left as a run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.exceptions import MlflowException
from prefect import get_run_logger

from crucible.lifecycle.records import Action, Deployment, Records
from crucible.registry.models import RegistryError, Version
from flows.context import House, page_of_flow_run


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided a change, why, on which evidence; `key` is the same when it is carried out again."""

    decided_by: str
    reason: str
    evidence: Mapping[str, Any]
    key: str


def promote(
    house: House, version: Version, decision: Decision, *, back: bool = False
) -> str | None:
    """Make a version production; give the version that it replaces."""
    before = house.registry.aliases(version.slot).get("production")
    replaced = house.registry.promote(version.slot, version.version, decision.reason)
    action: Action = "rolled back" if back else "promoted"
    write(house, change_of(version, action, before, version.version, decision))
    return replaced


def retire(house: House, version: Version, decision: Decision) -> None:
    """Take a version out of trading."""
    before = house.registry.aliases(version.slot).get("production")
    house.registry.retire(version.slot, version.version, decision.reason)
    after = None if before == version.version else before
    action: Action = "culled" if decision.decided_by == "watchtower" else "retired"
    write(house, change_of(version, action, before, after, decision))


def refuse(house: House, version: Version, decision: Decision) -> None:
    """Leave a record of a version that was not let through."""
    before = house.registry.aliases(version.slot).get("production")
    write(house, change_of(version, "refused", before, before, decision))


def change_of(
    version: Version, action: Action, before: str | None, after: str | None, decision: Decision
) -> Deployment:
    """Put a change together with the links to where it was made."""
    page = page_of_flow_run()
    return Deployment(
        slot=version.slot,
        action=action,
        version=version.version,
        before=before,
        after=after,
        decided_by=decision.decided_by,
        reason=decision.reason,
        key=f"{version.slot}@{version.version}:{action}:{decision.key}",
        evidence=decision.evidence,
        links={"prefect_link": page} if page else {},
    )


def write(house: House, change: Deployment) -> None:
    """Write a change that was made; one that cannot be written now is noticed by the Singularity."""
    try:
        Records(house.registry).deploy(change)
    except (MlflowException, RegistryError) as error:
        get_run_logger().warning(
            "%s: version %s %s; its record is written later: %s",
            change.slot,
            change.version,
            change.action,
            error,
        )
