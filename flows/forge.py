"""Forge: evolve one specialist for one slot; one MLflow run, at most one registered version.

A generation is a task and leaves a checkpoint. A retry of the same flow run, or a new run that resumes
it by its key, looks at the same candles, goes on at the last checkpoint and continues the same MLflow
run, in which every generation stands once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect import flow, get_client, get_run_logger, runtime, task
from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Running

from crucible.files import make_folder, move_folder, write_json
from crucible.forge.evolution.distributed import Recipe, spread
from crucible.forge.evolution.islands import Islands, IslandsState
from crucible.forge.reporting.importance import with_importance
from crucible.interruption import interruptible
from crucible.lifecycle.incumbents import living_names, living_of
from crucible.market.candles import Candles, folder_hash, write_candles
from crucible.market.funding import write_funding
from crucible.market.lake import Lake
from crucible.registry.models import TRIALS
from crucible.settings import MINUTE_MS, Slot
from flows.context import House, HouseError, only_one, open_house, page_of_flow_run
from flows.ingest import refresh
from flows.publication import publish

CHECKPOINT = "checkpoint.json"
# An earlier attempt that is being ended needs no longer than this to let go of the forging.
LOCK_WAIT_S = 60.0


@dataclass(frozen=True)
class Job:
    """What one forging works on; kept beside its candles and checkpoint so that a retry sees the same.

    `living` names the versions that traded the symbol when it began; a version never changes.
    """

    slot: str
    seed: int
    until_ms: int
    mlflow_run: str
    prior_trials: int
    living: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Job | None:
        """Read the job of an earlier attempt; None at the first."""
        path = folder / "job.json"
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            message = f"{path}: is not the job of a forging: {error}; remove {folder} to begin anew"
            raise HouseError(message) from error

    def write(self, folder: Path) -> None:
        """Keep the job."""
        make_folder(folder)
        write_json(folder / "job.json", vars(self))


@flow(name="forge", flow_run_name="forge {slot}", retries=0)
def forge(
    slot: str,
    seed: int | str = 0,
    reason: str = "asked for by a person",
    resume: str = "",
    only_without_challenger: bool = False,  # noqa: FBT001, FBT002 - a parameter of Prefect's page
) -> str | State[str]:
    """Evolve a specialist and offer it as the slot's challenger.

    Parameters
    ----------
    slot : str
        For example ``BTCUSDT-gp-1``.
    seed : int
    reason : str
        Why this forging was ordered; kept with the run.
    resume : str
        Key of an unfinished forging of the slot to go on with, instead of beginning one: the id of
        the flow run that began it. It keeps its own seed.
    only_without_challenger : bool
        How Singularity and the Watchtower ask: where the slot has a challenger by then, the run ends
        as refused. What a person asks for is made all the same; the challenger keeps its place.

    Returns
    -------
    str or State
        What came of it: the version registered, or the gate that refused. A forging that was not
        begun ends in the state Refused, with the reason.

    Raises
    ------
    HouseError
        If there is nothing to resume under that key, or a living process works on it.
    CheckpointError
        Naming the file that cannot be resumed.
    """
    house = open_house()
    place = Slot.parse(slot)
    key = resume or str(runtime.flow_run.id or f"{slot}-{seed}")
    folder = house.forge_folder(key)
    refusal = f"{folder}: another process works on this forging; cancel its run first"
    with only_one(folder.with_name(f"{key}.lock"), refusal, LOCK_WAIT_S):
        job = Job.read(folder)
        if resume:
            require_resumable(house, job, place, resume)
        outcome = published_before(house, slot, key) if job is None else ""
        refusal = ""
        if job is None and not outcome and only_without_challenger:
            refusal = has_challenger(house, slot)
        if not outcome and not refusal:
            if job is None:
                job = open_job(house, place, int(seed), reason, key)
                job.write(folder)
            outcome = work(house, job, folder, key)
            shutil.rmtree(folder)
        folder.with_name(f"{key}.lock").unlink(missing_ok=True)
    get_run_logger().info(outcome or refusal)
    return Cancelled(name="Refused", message=refusal) if refusal else outcome


def published_before(house: House, slot: str, key: str) -> str:
    """Say that a forging was made already; empty where it was not."""
    if house.registry.finished(key):
        return f"{slot}: this forging has ended and its outcome is published; nothing to do"
    return ""


def has_challenger(house: House, slot: str) -> str:
    """Say why a slot needs no forging; empty where it needs one."""
    held = house.registry.aliases(slot).get("challenger")
    if held is None:
        return ""
    return (
        f"{slot}: not forged, since version {held} became its challenger meanwhile; to have one made "
        "all the same, run forge without only_without_challenger"
    )


def require_resumable(house: House, job: Job | None, slot: Slot, key: str) -> None:
    """Refuse a key under which no forging of the slot waits.

    Raises
    ------
    HouseError
    """
    if job is None:
        waiting = sorted(path.parent.name for path in house.forge_folder("").glob("*/job.json"))
        message = (
            f"resume: no unfinished forging has the key {key!r}; "
            f"there are: {', '.join(waiting) or 'none'}"
        )
        raise HouseError(message)
    if job.slot != slot.name:
        message = f"resume: {key} is a forging of {job.slot}, not of {slot.name}"
        raise HouseError(message)


def work(house: House, job: Job, folder: Path, key: str) -> str:
    """Do what is left of a forging, and leave its MLflow run in the state that is true."""
    # Continues the run that the job opened: the key finds it.
    house.registry.open_run(key, f"forge {job.slot}", {})
    with closing(house, job):
        recipe = prepare(house, job, folder)
        forging = recipe.forging()
        require_same(house, job, forging.identity)
        house.registry.log(job.mlflow_run, tags={"novelty": forging.novelty.says()})
        get_run_logger().info(forging.novelty.says())
        with spread(recipe, forging) as islands:
            state = evolve(house, islands, job, folder)
        # Resumed late, it is judged by everything that was tried for the slot meanwhile.
        forging.count_earlier(house.registry.trials(job.slot, without=job.mlflow_run))
        result = with_importance(islands.finish(state), forging)
        return publish(house, forging, result, job.mlflow_run, folder)


@contextmanager
def closing(house: House, job: Job) -> Iterator[None]:
    """Mark the MLflow run FAILED at an error, and KILLED when the flow is cancelled or ended."""
    try:
        with interruptible():
            yield
    except Exception:
        house.registry.close_run(job.mlflow_run, "FAILED")
        raise
    except BaseException:
        house.registry.close_run(job.mlflow_run, "KILLED")
        raise


def open_job(house: House, slot: Slot, seed: int, reason: str, key: str) -> Job:
    """Bring the lake up to date and open the MLflow run.

    Raises
    ------
    HouseError
        If the slot's symbol is not tracked.
    """
    if slot.symbol not in house.symbols:
        message = (
            f"{slot.name}: {slot.symbol} is not tracked; there are {', '.join(house.symbols)}; "
            "start with another market: crucible up --symbols"
        )
        raise HouseError(message)
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
        "prefect_link": page_of_flow_run(),
        "crucible_run": house.run.run_id,
        # From here on a slot whose forging gave nothing rests, whatever becomes of this one.
        "until_ms": str(int(newest.close_ts[-1])),
    }
    trials = house.registry.trials(slot.name)
    run = house.registry.open_run(key, f"forge {slot.name}", tags)
    create_link_artifact(
        key="mlflow-run",
        link=house.registry.page_of_run(run),
        link_text=f"MLflow run of this forging of {slot.name}",
    )
    living = living_names(house.registry, house.settings.slots, slot.symbol)
    return Job(slot.name, seed, int(newest.close_ts[-1]), run, trials, living)


def kept_lake(house: House, folder: Path, start_ms: int, until_ms: int) -> Lake:
    """Give candles and funding of ``[start_ms, until_ms)`` as the lake held them at the first attempt.

    The lake goes on: another symbol's last candle comes late, a gap is filled. A retry sees neither.
    """
    kept = folder / "lake"
    if not kept.exists():
        part = Lake(folder / "part")
        shutil.rmtree(folder / "part", ignore_errors=True)
        part.candles_folder.mkdir(parents=True)
        for symbol, held in house.lake.read_all(house.symbols).items():
            seen = held.between(start_ms, until_ms)
            if len(seen):
                write_candles(seen, part.path(symbol))
            settled = house.lake.read_funding(symbol).between(start_ms, until_ms)
            if len(settled):
                write_funding(settled, part.funding_folder)
        move_folder(folder / "part", kept)
    return Lake(kept)


def candles_of(lake: Lake, symbols: Sequence[str]) -> dict[str, Candles]:
    """Read the candles of several symbols; none of one that the lake does not hold."""
    return {symbol: lake.read(symbol) or Candles.none_of(symbol) for symbol in symbols}


@task(cache_policy=NO_CACHE, task_run_name="features of {job.slot}")
def prepare(house: House, job: Job, folder: Path) -> Recipe:
    """Compute the features of the candles that this forging looks at."""
    pipeline = house.pipeline()
    settings = house.settings.forge
    span = (settings.max_candles + pipeline.warmup) * MINUTE_MS
    lake = kept_lake(house, folder, job.until_ms - span, job.until_ms)
    candles = candles_of(lake, house.symbols)
    slot = Slot.parse(job.slot)
    own, funding = candles[slot.symbol], lake.read_funding(slot.symbol)
    with interruptible():
        frame = pipeline.batch(candles)[slot.symbol]
    living, left_out = living_of(house.registry, job.living, own, frame, settings, funding)
    for name, reason in left_out.items():
        get_run_logger().warning("%s is not compared with: %s", name, reason)
    digest = folder_hash(candles)
    parameters: dict[str, object] = {
        "slot": slot.name,
        "seed": job.seed,
        "population": settings.population,
        "generations": settings.generations,
        "islands": settings.islands,
        "selection": settings.selection,
        "living_agents": ", ".join(living.names) or "none",
        "candles": len(own),
        "until_ms": job.until_ms,
        "fee": settings.costs.fee,
        "slippage": settings.costs.slippage,
        "funding": funding.says(own.ts),
        "policy": settings.policy,
        "feature_schema": pipeline.schema.hash,
        "market_hash": digest,
    }
    changed = house.registry.changed(job.mlflow_run, parameters)
    require_unchanged(job.slot, changed)
    house.registry.log(
        job.mlflow_run,
        parameters={name: value for name, value in parameters.items() if name not in changed},
        tags={"generations": str(settings.generations)},
    )
    house.registry.log_dataset(
        job.mlflow_run, "candles of all symbols", digest, str(house.lake.candles_folder)
    )
    return Recipe(slot, own, frame, settings, job.seed, job.prior_trials, living, funding)


def require_unchanged(slot: str, changed: Mapping[str, tuple[str, str]]) -> None:
    """Refuse to go on under other settings than a forging began with; it may get more generations.

    Raises
    ------
    HouseError
        Naming each setting, what it was and what it is.
    """
    told = [
        f"{name} was {old} and is {new}"
        for name, (old, new) in changed.items()
        if name != "generations"
    ]
    if told:
        message = (
            f"{slot}: not what this forging began with: {', '.join(told)}; "
            "set it back and retry, or begin a new forging"
        )
        raise HouseError(message)


def require_same(house: House, job: Job, identity: str) -> None:
    """Refuse to go on where generations of this forging would not be those that it began with.

    Raises
    ------
    HouseError
    """
    parameters = {"identity": identity}
    if house.registry.changed(job.mlflow_run, parameters):
        message = (
            f"{job.slot}: the code has changed since this forging began, so its generations would not "
            "go on from those it has; begin a new forging, or retry with the code it began with"
        )
        raise HouseError(message)
    house.registry.log(job.mlflow_run, parameters=parameters)


def evolve(house: House, islands: Islands, job: Job, folder: Path) -> IslandsState:
    """Run what is left of the generations, one task each."""
    total = house.settings.forge.generations
    path = folder / CHECKPOINT
    if path.exists():
        state = IslandsState.resume(path, islands.forging.identity)
        get_run_logger().info("resuming after generation %d of %d", state.generation, total)
    else:
        state = generation.with_options(task_run_name=f"generation 0 of {job.slot}")(
            islands, None, path
        )
    logged = house.registry.steps(job.mlflow_run, TRIALS)
    record(house, job, state, logged)
    progress = cast(
        "UUID",
        create_progress_artifact(
            progress=100.0 * state.generation / total,
            key=f"forge-{job.slot.lower()}",
            description=f"Generations of {job.slot}",
        ),
    )
    while state.generation < total:
        stay_running()
        number = state.generation + 1
        state = generation.with_options(task_run_name=f"generation {number} of {job.slot}")(
            islands, state, path
        )
        record(house, job, state, logged)
        update_progress_artifact(progress, 100.0 * number / total)
    return state


@task(cache_policy=NO_CACHE)
def generation(islands: Islands, state: IslandsState | None, path: Path) -> IslandsState:
    """Breed, evaluate and select once on every island, and leave a checkpoint."""
    with interruptible():
        state = islands.start() if state is None else islands.advance(state)
    state.save(path)
    return state


def record(house: House, job: Job, state: IslandsState, logged: set[int]) -> None:
    """Log the generations that MLflow does not have yet: in one batch, each exactly once."""
    rows = [row for row in state.table if int(row["generation"]) not in logged]
    metrics = [
        (
            TRIALS if name == "trials" else f"generation/{name}",
            float(value),
            int(row["generation"]),
        )
        for row in rows
        for name, value in row.items()
        if name != "generation" and isinstance(value, int | float)
    ]
    if metrics:
        house.registry.log(job.mlflow_run, metrics=metrics)
    for row in rows:
        get_run_logger().info(score_line(row, house.settings.forge.generations))
    logged.update(int(row["generation"]) for row in rows)


def score_line(row: Mapping[str, object], total: int) -> str:
    """Tell one generation in one line."""
    best, trades = row.get("best_score"), row.get("best_trades")
    told = "nobody traded enough to be judged"
    if isinstance(best, int | float):
        told = f"best score {best:.4g} with {trades} trades"
    return (
        f"generation {row['generation']} of {total}: {told}; "
        f"{row.get('judged')} of {row.get('population')} judged, {row.get('trials')} tried so far"
    )


def stay_running() -> None:
    """Say that this process lives, where Prefect believes that the run has crashed.

    A worker reports the end of a killed process twice, seconds apart; the second report, when it
    comes after a retry has begun, marks the retry.
    """
    run_id = runtime.flow_run.id
    if not run_id:
        return
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(str(run_id))).state
        except ObjectNotFound:
            return
        if state is not None and state.type == StateType.CRASHED:
            message = "the forging goes on; what was reported as crashed is an earlier attempt"
            client.set_flow_run_state(UUID(str(run_id)), Running(message=message), force=True)
            get_run_logger().warning(
                "Prefect marked this run crashed (%s): %s", state.message, message
            )
