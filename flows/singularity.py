"""Singularity: keep every slot of the deployment strategy filled, and an arena running."""

from __future__ import annotations

import hashlib
from typing import Literal

from mlflow.exceptions import MlflowException
from prefect import flow, get_client, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment

from crucible.arena.registry_watcher import QUARANTINED
from crucible.lifecycle.records import Records
from crucible.lifecycle.seats import SeatAction, fill_seats
from crucible.lifecycle.turns import Past
from crucible.market.exchange import ExchangeError
from crucible.registry.models import RegistryError
from flows.context import House, open_house
from flows.promotion import PromotionError, promotion

UNFINISHED = [
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
]


@flow(name="singularity", flow_run_name="fill the slots")
def singularity() -> list[str]:
    """Seat challengers in empty production seats, order forgings, and see that an arena runs.

    Returns
    -------
    list of str
        What was done, one sentence each.
    """
    house = open_house()
    logger = get_run_logger()
    done = notice(house)
    for action in plan(house):
        try:
            done.append(carry_out(house, action))
        except (PromotionError, RegistryError, MlflowException) as error:
            # One slot's trouble is no other's; this one is looked at again by the next run.
            logger.warning("%s: not done: %s: %s", action.slot, action.action, error)
    if not unfinished_runs("arena"):
        run_deployment("arena/arena", timeout=0, as_subflow=False)
        done.append("arena started: none was running")
    for line in done:
        logger.info(line)
    return done


def notice(house: House) -> list[str]:
    """Record changes of production that nobody recorded, such as an alias set in MLflow's page."""
    records = Records(house.registry)
    done = []
    for slot in house.settings.slots:
        try:
            change = records.notice(slot.name)
        except (MlflowException, RegistryError) as error:
            get_run_logger().warning("%s: production is looked at later: %s", slot.name, error)
            continue
        if change is not None:
            done.append(f"{slot.name}: version {change.version} {change.action}: {change.reason}")
    return done


@task(cache_policy=NO_CACHE, task_run_name="look at the slots")
def plan(house: House) -> list[SeatAction]:
    """Compare the deployment strategy with the registry and with the forgings under way."""
    slots = house.settings.slots
    aliases = {slot.name: house.registry.aliases(slot.name) for slot in slots}
    forging = [str(run.parameters.get("slot")) for run in unfinished_runs("forge")]
    seated = {
        (slot, held[alias]): house.registry.version(slot, held[alias])
        for slot, held in aliases.items()
        for alias in ("production", "challenger")
        if alias in held
    }
    quarantined = {
        place: version.tags[QUARANTINED]
        for place, version in seated.items()
        if QUARANTINED in version.tags
    }
    waiting = {
        (slot, held["challenger"]): not house.doubt(seated[slot, held["challenger"]])
        for slot, held in aliases.items()
        if "challenger" in held and "production" not in held
    }
    past = {slot.name: Past.of(house.registry.ended(slot.name)) for slot in slots}
    now_ts = market_now(house)
    actions = fill_seats(
        slots,
        aliases,
        forging,
        may_seat_unproven=house.seats_unproven,
        proven=waiting,
        past=past,
        now_ts=now_ts,
        quarantined=quarantined,
    )
    create_table_artifact(
        key="slots",
        table=[
            {
                "slot": slot.name,
                "production": aliases[slot.name].get("production", ""),
                "challenger": aliases[slot.name].get("challenger", ""),
                "forging": slot.name in forging,
                "forgings without a version": past[slot.name].fruitless,
                "rests": past[slot.name].rests(now_ts),
            }
            for slot in slots
        ],
        description="Seats of the deployment strategy when this run began.",
    )
    return actions


def market_now(house: House) -> int | None:
    """Ask the venue for market time; None while it does not answer."""
    try:
        return house.exchange.closed_until(house.symbols[0])
    except ExchangeError as error:
        get_run_logger().warning("market time is not known, so slots that rest go on: %s", error)
        return None


def carry_out(house: House, action: SeatAction) -> str:
    """Retire or seat a version, or order a forging."""
    if action.version is not None:
        verb: Literal["retire", "promote"] = "retire" if action.action == "retire" else "promote"
        promotion(action.slot, action.version, verb, reason=action.reason, decided_by="singularity")
        done = "retired" if verb == "retire" else "seated in production"
        return f"{action.slot}: version {action.version} {done}: {action.reason}"
    # A refusal has no version, and the next forging must not be the same again.
    number = house.registry.forgings(action.slot) + 1
    run_deployment(
        "forge/forge",
        parameters={
            "slot": action.slot,
            "seed": forging_seed(action.slot, number),
            "reason": action.reason,
            "only_without_challenger": True,
        },
        flow_run_name=f"forge {action.slot}",
        timeout=0,
        as_subflow=False,
    )
    return f"{action.slot}: forging ordered: {action.reason}"


def forging_seed(slot: str, number: int) -> int:
    """Seed of a slot's n-th forging: the same for everyone, different for every slot and number."""
    digest = hashlib.sha256(f"{slot}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def unfinished_runs(deployment: str) -> list[FlowRun]:
    """Find runs of a deployment that are scheduled, pending or running."""
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))
            ),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[deployment])),
        )
