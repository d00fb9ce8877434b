"""Promotion: a version to production, back to the one before, or out, as a flow run."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger, runtime

from crucible.lifecycle.context import load_context
from crucible.lifecycle.production import Change, Decision, change_production
from flows.runs import page_of_flow_run


@flow(name="promotion", flow_run_name="{action} {slot} version {version}")
def promotion(
    slot: str,
    version: str = "challenger",
    action: Change = "promote",
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
        If there is no such version, or it may not trade here.
    """
    page = page_of_flow_run()
    decision = Decision(
        decided_by,
        reason,
        key or str(runtime.flow_run.id),
        evidence or {},
        {"prefect_link": page} if page else {},
    )
    return change_production(load_context(get_run_logger()), slot, version, action, decision)
