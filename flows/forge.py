"""Forge: evolve one specialist for one slot; one MLflow run, at most one registered version.

A generation is a task and leaves a checkpoint. A retry of the same flow run, or a new run that resumes
it by its key, goes on at the last checkpoint and continues the same MLflow run.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect import flow, get_client, get_run_logger, runtime, task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Running

from crucible.forge.evolution.islands import IslandsState
from crucible.forge.progress import note_outcome
from crucible.forge.session import CHECKPOINT, ForgeSession, open_session
from crucible.lifecycle import forge_runs, publishing
from crucible.lifecycle.context import Context, load_context, only_one
from crucible.lifecycle.forge_runs import Job
from crucible.lifecycle.publishing import MadeBy
from crucible.registry.tracking import TRIALS
from crucible.settings import Slot
from flows.ingest import refresh
from flows.runs import page_of_flow_run

# An earlier attempt that is being ended needs no longer than this to let go of its forge run.
LOCK_WAIT_S = 60.0

prepare = task(cache_policy=NO_CACHE, task_run_name="features of {job.slot}")(forge_runs.prepare)


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
        Why this forge run was ordered; kept with the run.
    resume : str
        Key of an unfinished forge run of the slot to go on with, instead of beginning one: the id of
        the flow run that began it. It keeps its own seed.
    only_without_challenger : bool
        How Singularity and the Watchtower ask: where the slot has a challenger by then, the run ends
        as refused. What a person asks for is made all the same; the challenger keeps its place.

    Returns
    -------
    str or State
        What came of it: the version registered, or the gate that refused. A forge run that was not
        begun ends in the state Refused, with the reason.

    Raises
    ------
    ContextError
        If there is nothing to resume under that key, or a living process works on it.
    CheckpointError
        Naming the file that cannot be resumed.
    """
    context = load_context(get_run_logger())
    place = Slot.parse(slot)
    key = resume or str(runtime.flow_run.id or f"{slot}-{seed}")
    folder = context.forge_folder(key)
    refusal = f"{folder}: another process works on this forge run; cancel its run first"
    with only_one(folder.with_name(f"{key}.lock"), refusal, LOCK_WAIT_S):
        job = Job.read(folder)
        if resume:
            forge_runs.require_resumable(context, job, place, resume)
        outcome = forge_runs.published_before(context, slot, key) if job is None else ""
        refusal = ""
        if job is None and not outcome and only_without_challenger:
            refusal = forge_runs.has_challenger(context, slot)
        if not outcome and not refusal:
            if job is None:
                job = begin(context, place, int(seed), reason, key)
                job.write(folder)
            outcome = work(context, job, folder, key)
            note_outcome(context.forge_folder(""), job.slot, job.seed, outcome)
            shutil.rmtree(folder)
        folder.with_name(f"{key}.lock").unlink(missing_ok=True)
    get_run_logger().info(outcome or refusal)
    return Cancelled(name="Refused", message=refusal) if refusal else outcome


def begin(context: Context, slot: Slot, seed: int, reason: str, key: str) -> Job:
    """Bring the lake up to date and open the MLflow run."""
    forge_runs.require_tracked(context, slot)
    for symbol in context.symbols:
        refresh.with_options(task_run_name=f"candles {symbol}")(symbol)
    job = forge_runs.open_job(context, slot, seed, reason, key, made_by())
    create_link_artifact(
        key="mlflow-run",
        link=context.registry.page_of_run(job.mlflow_run),
        link_text=f"MLflow run of this forge run of {slot.name}",
    )
    return job


def made_by() -> MadeBy:
    """Name this flow run and its page."""
    return MadeBy(runtime.flow_run.id or "", page_of_flow_run())


def work(context: Context, job: Job, folder: Path, key: str) -> str:
    """Do what is left of a forge run, and leave its MLflow run in the state that is true."""
    registry = context.registry
    # Continues the run that the job opened: the key finds it.
    registry.open_run(key, f"forge {job.slot}", {})
    with forge_runs.closing(context, job):
        forge_runs.show_progress(context, job, folder, "features")
        recipe = prepare(context, job, folder)
        with open_session(recipe, folder / CHECKPOINT) as session:
            forge_runs.require_same(context, job, session.forge_run.identity)
            registry.log(job.mlflow_run, tags={"novelty": session.forge_run.novelty.describe()})
            context.log.info(session.forge_run.novelty.describe())
            evolve(context, session, job, folder)
            if session.ending:
                context.log.info("%s: the search %s", job.slot, session.ending)
            # Resumed late, it is judged by everything that was tried for the slot meanwhile.
            session.forge_run.count_earlier(
                registry.trials(job.slot, without=job.mlflow_run),
                registry.effective_trials(job.slot, without=job.mlflow_run),
            )
            forge_runs.show_progress(context, job, folder, "gates", session.state)
            result = session.finish()
        publish = task(cache_policy=NO_CACHE, task_run_name=f"publish {job.slot}")(
            publishing.publish
        )
        published = publish(context, session.forge_run, result, job.mlflow_run, folder, made_by())
        create_markdown_artifact(key="outcome", markdown=f"{published.outcome}\n\n{published.note}")
        return published.outcome


def evolve(context: Context, session: ForgeSession, job: Job, folder: Path) -> None:
    """Run what is left of the generations, one task each."""
    total = context.settings.forge.generations
    if session.checkpoint.exists():
        state = session.resume()
        context.log.info("resuming after generation %d of %d", state.generation, total)
    else:
        state = generation.with_options(task_run_name=f"generation 0 of {job.slot}")(session)
    logged = context.registry.steps(job.mlflow_run, TRIALS)
    forge_runs.log_generations(context, job, state, logged)
    forge_runs.show_progress(context, job, folder, "evolving", state)
    progress = cast(
        "UUID",
        create_progress_artifact(
            progress=100.0 * state.generation / total,
            key=f"forge-{job.slot.lower()}",
            description=f"Generations of {job.slot}",
        ),
    )
    while state.generation < total and not session.ending:
        stay_running()
        number = state.generation + 1
        state = generation.with_options(task_run_name=f"generation {number} of {job.slot}")(session)
        forge_runs.log_generations(context, job, state, logged)
        forge_runs.show_progress(context, job, folder, "evolving", state)
        update_progress_artifact(progress, 100.0 * number / total)


@task(cache_policy=NO_CACHE)
def generation(session: ForgeSession) -> IslandsState:
    """Breed the next generation, the first one where there is none."""
    return session.advance() if session.started else session.start()


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
            message = "the forge run goes on; what was reported as crashed is an earlier attempt"
            client.set_flow_run_state(UUID(str(run_id)), Running(message=message), force=True)
            get_run_logger().warning(
                "Prefect marked this run crashed (%s): %s", state.message, message
            )
