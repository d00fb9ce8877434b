"""Forge runs as MLflow sees them: what each works on, how it is resumed, and what is logged as it goes.

Entry points: `open_job`, `prepare`, `closing`, `log_generations`. A retry looks at the same candles, goes on at the
last checkpoint and continues the same MLflow run, in which every generation stands once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crucible.features.history import features_of
from crucible.files import make_folder, move_folder, write_json
from crucible.forge.evolution.distributed import Recipe
from crucible.forge.evolution.islands import IslandsState
from crucible.forge.progress import Progress, Stage
from crucible.forge.span import Span
from crucible.interruption import interruptible
from crucible.lifecycle.admission import serving
from crucible.lifecycle.context import Context, ContextError
from crucible.lifecycle.incumbents import incumbent_names, incumbents_of
from crucible.lifecycle.publishing import MadeBy
from crucible.market.candles import Candles, folder_hash, write_candles
from crucible.market.funding import write_funding
from crucible.market.lake import Lake
from crucible.registry.tracking import TRIALS
from crucible.settings import Slot


@dataclass(frozen=True)
class Job:
    """What one forge run works on; kept beside its candles and checkpoint so that a retry sees the same.

    `prior_effective` is how many independent trials the prior ones are worth; `span` is which candles are used; `incumbents` names
    the versions that traded the symbol when it began; a version never changes.
    """

    slot: str
    seed: int
    until_ms: int
    mlflow_run: str
    prior_trials: int
    incumbents: list[str] = field(default_factory=list)
    prior_effective: float | None = None
    span: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Job | None:
        """Read the job of an earlier attempt; None at the first."""
        path = folder / "job.json"
        try:
            values = json.loads(path.read_text())
            if not isinstance(values, dict):
                message = f"a {type(values).__name__}"
                raise TypeError(message)  # noqa: TRY301 - reported below with its path
            if "living" in values:
                values["incumbents"] = values.pop("living")
            return cls(**values)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            message = (
                f"{path}: is not the job of a forge run: {error}; remove {folder} to begin anew"
            )
            raise ContextError(message) from error

    def write(self, folder: Path) -> None:
        """Keep the job."""
        make_folder(folder)
        values = dict(vars(self))
        # The file's own word for them.
        values["living"] = values.pop("incumbents")
        write_json(folder / "job.json", values)


def published_before(context: Context, slot: str, key: str) -> str:
    """Say that a forge run was made already; empty where it was not."""
    if context.registry.finished(key):
        return f"{slot}: this forge run has ended and its outcome is published; nothing to do"
    return ""


def has_challenger(context: Context, slot: str) -> str:
    """Say why a slot needs no forge run; empty where it needs one."""
    held = serving(context, slot).get("challenger")
    if held is None:
        return ""
    return (
        f"{slot}: not forged, since version {held} became its challenger meanwhile; to have one made "
        "all the same, run forge without only_without_challenger"
    )


def require_tracked(context: Context, slot: Slot) -> None:
    """Refuse a slot whose symbol has no candles here.

    Raises
    ------
    ContextError
    """
    if slot.symbol not in context.symbols:
        message = (
            f"{slot.name}: {slot.symbol} is not tracked; there are {', '.join(context.symbols)}; "
            "start with another market: crucible up --symbols"
        )
        raise ContextError(message)


def require_resumable(context: Context, job: Job | None, slot: Slot, key: str) -> None:
    """Refuse a key under which no forge run of the slot waits.

    Raises
    ------
    ContextError
    """
    if job is None:
        waiting = sorted(path.parent.name for path in context.forge_folder("").glob("*/job.json"))
        message = (
            f"resume: no unfinished forge run has the key {key!r}; "
            f"there are: {', '.join(waiting) or 'none'}"
        )
        raise ContextError(message)
    if job.slot != slot.name:
        message = f"resume: {key} is a forge run of {job.slot}, not of {slot.name}"
        raise ContextError(message)


@contextmanager
def closing(context: Context, job: Job) -> Iterator[None]:
    """Mark the MLflow run FAILED at an error, and KILLED when the flow is cancelled or ended."""
    try:
        with interruptible():
            yield
    except Exception:
        context.registry.close_run(job.mlflow_run, "FAILED")
        raise
    except BaseException:
        context.registry.close_run(job.mlflow_run, "KILLED")
        raise


def open_job(
    context: Context, slot: Slot, seed: int, reason: str, key: str, made_by: MadeBy
) -> Job:
    """Open the MLflow run of a forge run on the candles that the lake holds now.

    Parameters
    ----------
    context : Context
    slot : Slot
    seed : int
    reason : str
        Why it was ordered.
    key : str
        By which it is found again.
    made_by : MadeBy
    """
    newest = context.lake.read_all([slot.symbol])[slot.symbol]
    tags = {
        "slot": slot.name,
        "symbol": slot.symbol,
        "kind": slot.kind,
        "seed": str(seed),
        "reason": reason,
        "prefect_flow_run": key,
        "prefect_link": made_by.page,
        "crucible_run": context.run.run_id,
        # From here on a slot whose forge run gave nothing rests, whatever becomes of this one.
        "until_ms": str(int(newest.close_ts[-1])),
    }
    trials = context.registry.trials(slot.name)
    run = context.registry.open_run(key, f"forge {slot.name}", tags)
    incumbents = incumbent_names(context.registry, context.settings.slots, slot.symbol)
    effective = context.registry.effective_trials(slot.name)
    features = len(context.pipeline().schema.names)
    span = Span.of(newest, features, context.settings.forge, slot.kind).to_json()
    until_ms = int(newest.close_ts[-1])
    return Job(slot.name, seed, until_ms, run, trials, incumbents, effective, span)


def kept_lake(context: Context, folder: Path, start_ms: int, until_ms: int) -> Lake:
    """Give candles and funding of ``[start_ms, until_ms)`` as the lake held them at the first attempt.

    The lake goes on: another symbol's last candle comes late, a gap is filled. A retry sees neither.
    """
    kept = folder / "lake"
    if not kept.exists():
        part = Lake(folder / "part")
        shutil.rmtree(folder / "part", ignore_errors=True)
        part.candles_folder.mkdir(parents=True)
        for symbol, held in context.lake.read_all(context.symbols).items():
            seen = held.between(start_ms, until_ms)
            if len(seen):
                write_candles(seen, part.path(symbol))
            settled = context.lake.read_funding(symbol).between(start_ms, until_ms)
            if len(settled):
                write_funding(settled, part.funding_folder)
        move_folder(folder / "part", kept)
    return Lake(kept)


def candles_of(lake: Lake, symbols: Sequence[str]) -> dict[str, Candles]:
    """Read the candles of several symbols; none of one that the lake does not hold."""
    return {symbol: lake.read(symbol) or Candles.none_of(symbol) for symbol in symbols}


def prepare(context: Context, job: Job, folder: Path) -> Recipe:
    """Compute the features of the candles that this forge run looks at."""
    pipeline = context.pipeline()
    settings = context.settings.forge
    slot = Slot.parse(job.slot)
    span = Span.of_json(job.span)
    lake = kept_lake(context, folder, span.first_ts, job.until_ms)
    candles = candles_of(lake, context.symbols)
    own, funding = candles[slot.symbol], lake.read_funding(slot.symbol)
    context.log.info("%s: using %s", slot.name, span.describe())
    for line in pipeline.unwarmed({slot.symbol: own}):
        context.log.warning(line)
    with interruptible():
        frame = features_of(pipeline, candles, symbols=[slot.symbol], store=context.feature_store)[
            slot.symbol
        ]
    incumbents, left_out = incumbents_of(
        context.registry, job.incumbents, own, frame, settings, funding
    )
    for name, reason in left_out.items():
        context.log.warning("%s is not compared with: %s", name, reason)
    digest = folder_hash(candles)
    parameters: dict[str, object] = {
        "slot": slot.name,
        "seed": job.seed,
        "population": settings.population,
        "generations": settings.generations,
        "islands": settings.islands,
        "selection": settings.selection,
        "living_agents": ", ".join(incumbents.names) or "none",
        "candles": len(own),
        "candles_given": span.given,
        "candles_used": span.describe(),
        "until_ms": job.until_ms,
        "fee": settings.costs.fee,
        "slippage": settings.costs.slippage,
        "funding": funding.describe(own.ts),
        "policy": settings.policy,
        "feature_schema": pipeline.schema.hash,
        "market_hash": digest,
    }
    changed = context.registry.changed(job.mlflow_run, parameters)
    require_unchanged(job.slot, changed)
    context.registry.log(
        job.mlflow_run,
        parameters={name: value for name, value in parameters.items() if name not in changed},
        tags={"generations": str(settings.generations)},
    )
    context.registry.log_dataset(
        job.mlflow_run, "candles of all symbols", digest, str(context.lake.candles_folder)
    )
    return Recipe(
        slot,
        own,
        frame,
        settings,
        job.seed,
        job.prior_trials,
        incumbents,
        funding,
        job.prior_effective,
        span,
    )


def require_unchanged(slot: str, changed: Mapping[str, tuple[str, str]]) -> None:
    """Refuse to go on under other settings than a forge run began with; it may get more generations.

    Raises
    ------
    ContextError
        Naming each setting, what it was and what it is.
    """
    reported = [
        f"{name} was {old} and is {new}"
        for name, (old, new) in changed.items()
        if name != "generations"
    ]
    if reported:
        message = (
            f"{slot}: not what this forge run began with: {', '.join(reported)}; "
            "set it back and retry, or begin a new forge run"
        )
        raise ContextError(message)


def require_same(context: Context, job: Job, identity: str) -> None:
    """Refuse to go on where generations of this forge run would not be those that it began with.

    Raises
    ------
    ContextError
    """
    parameters = {"identity": identity}
    if context.registry.changed(job.mlflow_run, parameters):
        message = (
            f"{job.slot}: the code has changed since this forge run began, so its generations would not "
            "go on from those it has; begin a new forge run, or retry with the code it began with"
        )
        raise ContextError(message)
    context.registry.log(job.mlflow_run, parameters=parameters)


def log_generations(context: Context, job: Job, state: IslandsState, logged: set[int]) -> None:
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
        context.registry.log(job.mlflow_run, metrics=metrics)
    for row in rows:
        context.log.info(score_line(row, context.settings.forge.generations))
    logged.update(int(row["generation"]) for row in rows)


def show_progress(
    context: Context, job: Job, folder: Path, stage: Stage, state: IslandsState | None = None
) -> None:
    """Keep how far a forge run is, for the pages that show it; nothing is decided of it."""
    newest = state.table[-1] if state is not None and state.table else {}
    score, trials = newest.get("best_score"), newest.get("trials")
    Progress(
        job.slot,
        job.seed,
        stage,
        generation=0 if state is None else state.generation,
        generations=context.settings.forge.generations,
        best_score=float(score) if isinstance(score, int | float) else None,
        trials=int(trials) if isinstance(trials, int | float) else 0,
        mlflow_run=job.mlflow_run,
    ).write(folder)


def score_line(row: Mapping[str, object], total: int) -> str:
    """Tell one generation in one line."""
    best, trades = row.get("best_score"), row.get("best_trades")
    reported = "nobody traded enough to be judged"
    if isinstance(best, int | float):
        reported = f"best score {best:.4g} with {trades} trades"
    return (
        f"generation {row['generation']} of {total}: {reported}; "
        f"{row.get('judged')} of {row.get('population')} judged, {row.get('trials')} tried so far"
    )
