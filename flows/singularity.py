"""Singularity: keep every slot of the deployment strategy filled, and an arena running."""

from __future__ import annotations

from dataclasses import asdict

from mlflow.exceptions import MlflowException
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.deployments import run_deployment

from crucible.forge.progress import write_slots
from crucible.lifecycle.context import Context, load_context
from crucible.lifecycle.production import Change, PromotionError
from crucible.lifecycle.records import notice_changes
from crucible.lifecycle.replacement import forge_order
from crucible.lifecycle.seats import SeatAction, plan_seats
from crucible.registry.errors import RegistryError
from flows.promotion import promotion
from flows.runs import unfinished_runs


@flow(name="singularity", flow_run_name="fill the slots")
def singularity() -> list[str]:
    """Seat challengers in empty production seats, order forge runs, and see that an arena runs.

    Returns
    -------
    list of str
        What was done, one sentence each.
    """
    logger = get_run_logger()
    context = load_context(logger)
    done = []
    # First, since a slot that cannot be looked at must not keep the others from trading.
    if not unfinished_runs("arena"):
        run_deployment("arena/arena", timeout=0, as_subflow=False)
        done.append("arena started: none was running")
    done += notice_changes(context)
    for action in plan(context):
        try:
            done.append(carry_out(context, action))
        except (PromotionError, RegistryError, MlflowException) as error:
            # One slot's trouble is no other's; this one is looked at again by the next run.
            logger.warning("%s: not done: %s: %s", action.slot, action.action, error)
    for line in done:
        logger.info(line)
    return done


@task(cache_policy=NO_CACHE, task_run_name="look at the slots")
def plan(context: Context) -> list[SeatAction]:
    """Compare the deployment strategy with the registry and with the forge runs under way."""
    under_way = [str(run.parameters.get("slot")) for run in unfinished_runs("forge")]
    found = plan_seats(context, under_way, context.market_ts())
    actions = [asdict(action) for action in found.actions]
    write_slots(context.forge_folder(""), found.rows, actions, under_way)
    create_table_artifact(
        key="slots",
        table=found.rows,
        description="Seats of the deployment strategy when this run began.",
    )
    return found.actions


def carry_out(context: Context, action: SeatAction) -> str:
    """Retire or seat a version, or order a forge run."""
    if action.action in {"forge", "renew"}:
        renewal = action.action == "renew"
        run_deployment(
            "forge/forge",
            parameters=forge_order(context.registry, action.slot, action.reason, renewal=renewal),
            flow_run_name=f"forge {action.slot}",
            timeout=0,
            as_subflow=False,
        )
        return f"{action.slot}: forge run ordered: {action.reason}"
    change: Change = "retire" if action.action == "retire" else "promote"
    promotion(
        action.slot,
        str(action.version),
        change,
        reason=action.reason,
        decided_by="singularity",
    )
    done = "retired" if change == "retire" else "seated in production"
    return f"{action.slot}: version {action.version} {done}: {action.reason}"
