"""Forge: evolve one specialist for one slot; one MLflow run, at most one registered version.

A generation is a task and leaves a checkpoint. A retry of the same flow run looks at the same candles,
resumes at the last checkpoint and continues the same MLflow run.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE

from crucible.arena.sizing import Edge
from crucible.forge.checkpoint import ForgeState
from crucible.forge.evolution import Forging
from crucible.forge.report import write_folder
from crucible.forge.result import ForgeResult
from crucible.market.candles import folder_hash
from crucible.settings import MINUTE_MS, Slot
from crucible.strategies.registry import TRIALS, Version
from flows.house import House, open_house
from flows.ingest import refresh

CHECKPOINT = "checkpoint.json"


@dataclass(frozen=True)
class Job:
    """What one forging works on; kept beside its checkpoint so that a retry sees the same."""

    slot: str
    seed: int
    until_ms: int
    mlflow_run: str
    prior_trials: int

    @classmethod
    def read(cls, folder: Path) -> Job | None:
        """Read the job of an earlier attempt; None at the first."""
        path = folder / "job.json"
        return cls(**json.loads(path.read_text())) if path.exists() else None

    def write(self, folder: Path) -> None:
        """Keep the job."""
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / "job.part"
        part.write_text(json.dumps(vars(self)))
        part.replace(folder / "job.json")


@flow(name="forge", flow_run_name="forge {slot}", retries=0)
def forge(slot: str, seed: int | str = 0, reason: str = "asked for by a person") -> str:
    """Evolve a specialist and offer it as the slot's challenger.

    Parameters
    ----------
    slot : str
        For example ``BTCUSDT-gp-1``.
    seed : int
    reason : str
        Why this forging was ordered; kept with the run.

    Returns
    -------
    str
        What came of it: the version registered, or the gate that refused.
    """
    house = open_house()
    logger = get_run_logger()
    place = Slot.parse(slot)
    if "challenger" in house.registry.aliases(slot):
        return f"{slot} has a challenger already; nothing forged"
    key = str(runtime.flow_run.id or f"{slot}-{seed}")
    folder = house.home.path / "forge" / key
    job = Job.read(folder)
    if job is None:
        job = open_job(house, place, int(seed), reason, key)
        job.write(folder)
    house.registry.open_run(key, f"forge {slot}", {})
    try:
        forging = prepare(house, job)
        result = forging.finish(evolve(house, forging, job, folder))
        outcome = publish(house, job, result, folder)
    except Exception:
        house.registry.close_run(job.mlflow_run, "FAILED")
        raise
    shutil.rmtree(folder)
    logger.info(outcome)
    return outcome


def open_job(house: House, slot: Slot, seed: int, reason: str, key: str) -> Job:
    """Bring the lake up to date and open the MLflow run."""
    for symbol in house.symbols:
        refresh.with_options(task_run_name=f"candles {symbol}")(symbol)
    newest = house.lake.read_all([slot.symbol])[slot.symbol]
    tags = {
        "slot": slot.name,
        "symbol": slot.symbol,
        "kind": slot.kind,
        "seed": str(seed),
        "reason": reason,
        "prefect_flow_run": key,
        "crucible_run": house.run.run_id,
    }
    run = house.registry.open_run(key, f"forge {slot.name}", tags)
    trials = house.registry.trials(slot.name)
    create_link_artifact(
        key="mlflow-run",
        link=f"{house.registry.tracking_uri}/#/experiments/{house.registry.experiment()}/runs/{run}",
        link_text=f"MLflow run of this forging of {slot.name}",
    )
    return Job(slot.name, seed, int(newest.close_ts[-1]), run, trials)


@task(cache_policy=NO_CACHE, task_run_name="features of {job.slot}")
def prepare(house: House, job: Job) -> Forging:
    """Compute the features of the candles that this forging looks at."""
    pipeline = house.pipeline()
    settings = house.settings.forge
    span = (settings.max_candles + pipeline.warmup) * MINUTE_MS
    candles = {
        symbol: held.between(job.until_ms - span, job.until_ms)
        for symbol, held in house.lake.read_all(house.symbols).items()
    }
    slot = Slot.parse(job.slot)
    frame = pipeline.batch(candles)[slot.symbol]
    forging = Forging(slot, candles[slot.symbol], frame, settings, job.seed, job.prior_trials)
    digest = folder_hash(candles)
    house.registry.log(
        job.mlflow_run,
        parameters={
            "slot": slot.name,
            "seed": job.seed,
            "population": settings.population,
            "generations": settings.generations,
            "candles": len(candles[slot.symbol]),
            "until_ms": job.until_ms,
            "fee": settings.costs.fee,
            "slippage": settings.costs.slippage,
            "policy": settings.policy,
            "feature_schema": pipeline.schema.hash,
            "data_hash": digest,
        },
    )
    house.registry.log_dataset(
        job.mlflow_run, f"{slot.symbol} candles", digest, str(house.lake.path(slot.symbol))
    )
    return forging


def evolve(house: House, forging: Forging, job: Job, folder: Path) -> ForgeState:
    """Run what is left of the generations, one task each."""
    total = house.settings.forge.generations
    path = folder / CHECKPOINT
    state = ForgeState.load(path) if path.exists() else forging.start()
    progress = cast(
        "UUID",
        create_progress_artifact(
            progress=100.0 * state.generation / total,
            key=f"forge-{job.slot.lower()}",
            description=f"Generations of {job.slot}",
        ),
    )
    while state.generation < total:
        number = state.generation + 1
        state = generation.with_options(task_run_name=f"generation {number} of {job.slot}")(
            forging, state, path
        )
        update_progress_artifact(progress, 100.0 * number / total)
    house.registry.log(job.mlflow_run, metrics=curves(state))
    return state


@task(cache_policy=NO_CACHE)
def generation(forging: Forging, state: ForgeState, path: Path) -> ForgeState:
    """Breed, evaluate and select once, and leave a checkpoint."""
    state = forging.advance(state)
    state.save(path)
    return state


def curves(state: ForgeState) -> list[tuple[str, float, int]]:
    """Give the generations' table as metrics, generation by generation."""
    return [
        (name, float(value), int(row["generation"]))
        for row in state.table
        for name, value in row.items()
        if name != "generation" and isinstance(value, int | float)
    ]


@task(cache_policy=NO_CACHE, task_run_name="publish {job.slot}")
def publish(house: House, job: Job, result: ForgeResult, folder: Path) -> str:
    """Log everything to MLflow, and register the champion if the policy lets it."""
    output = folder / "result"
    shutil.rmtree(output, ignore_errors=True)
    write_folder(result, output, picture=True)
    document = None if result.champion is None else result.champion.to_json()
    if document is not None:
        (output / "strategy.json").write_text(json.dumps(document, sort_keys=True, indent=1))
    registry, run = house.registry, job.mlflow_run
    registry.log_folder(run, output)
    registry.log(run, metrics=final_metrics(result, job), tags=run_tags(result))
    gates = ", ".join(result.failed_gates) or "none"
    if document is None or result.refusal is not None:
        registry.close_run(run, "FINISHED")
        text = f"{job.slot}: refused by {result.refusal}"
        create_markdown_artifact(key="outcome", markdown=text)
        return text
    version = registry.register(run, result.slot, document, version_tags(result, job))
    registry.set_alias(job.slot, "challenger", version.version)
    registry.close_run(run, "FINISHED")
    role = seat(house, version)
    text = f"{job.slot}: version {version.version} is {role} (failed gates: {gates})"
    create_markdown_artifact(key="outcome", markdown=text)
    return text


def seat(house: House, version: Version) -> str:
    """Give an empty production seat to a new version at once, where that is allowed."""
    empty = "production" not in house.registry.aliases(version.slot)
    if empty and (version.proven or house.seats_unproven):
        house.registry.promote(version.slot, version.version, "the production seat was empty")
        return "in production, since the seat was empty"
    return "the challenger"


def final_metrics(result: ForgeResult, job: Job) -> list[tuple[str, float, int]]:
    """Give the few figures that tell forgings apart."""
    metrics = [(TRIALS, float(result.trials - job.prior_trials), 0)]
    for window in result.windows:
        for name in ("net_return", "sharpe_annual", "max_drawdown", "trades"):
            value = window.summary.get(name)
            if value is not None:
                metrics.append((f"{window.name}_{name}", float(value), 0))
    metrics += [(f"gate_{gate.name}", gate.value, 0) for gate in result.gates]
    return metrics


def run_tags(result: ForgeResult) -> dict[str, str]:
    """Give the tags of the run."""
    refused = "" if result.refusal is None else result.refusal.gate
    return {
        "proven": str(result.proven).lower(),
        "failed_gates": ",".join(result.failed_gates),
        "refused_by": refused,
        "code_revision": result.code_revision,
        "feature_schema": result.feature_schema,
        "data_hash": result.data_hash,
    }


def version_tags(result: ForgeResult, job: Job) -> dict[str, str]:
    """Give the tags of the version: its lineage, its marks and its measured edge."""
    tags: dict[str, Any] = {
        **run_tags(result),
        "seed": job.seed,
        "trials": result.trials,
        "policy": result.policy,
        "prefect_flow_run": runtime.flow_run.id or "",
    }
    edge = Edge.of_summary(result.window("validation").summary)
    if edge is not None:
        tags["edge_trades"] = edge.trades
        tags["edge_win_rate"] = edge.win_rate
        tags["edge_payoff"] = edge.payoff
    return {name: str(value) for name, value in tags.items()}
