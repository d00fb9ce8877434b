"""Publishing: what a finished forge run leaves in MLflow, its evidence and at most one version.

Entry points: `publish`, `offer`. Doing either twice leaves what doing it once leaves.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from crucible.forge.evolution.run import ForgeRun
from crucible.forge.reporting.evidence import headline, note, write_evidence
from crucible.forge.result import ForgeResult, finite, verdict
from crucible.ledger.edge import Edge
from crucible.lifecycle.admission import serving
from crucible.lifecycle.context import Context
from crucible.lifecycle.production import Decision, promote, retire
from crucible.lifecycle.seats import seat_of_newcomer
from crucible.registry.models import Version
from crucible.registry.proof import Gate, MeasuredEdge, Proof, digest
from crucible.registry.version import TRADING_GAP

EXAMPLE_ROWS = 5
OPENINGS = "sealed_openings"


@dataclass(frozen=True, slots=True)
class Published:
    """What came of a forge run: one sentence, and a page of Markdown."""

    outcome: str
    note: str


@dataclass(frozen=True, slots=True)
class MadeBy:
    """The flow run that made something: its id and its page; empty outside an orchestrator."""

    flow_run: str = ""
    page: str = ""


def publish(
    context: Context,
    forge_run: ForgeRun,
    result: ForgeResult,
    run: str,
    folder: Path,
    made_by: MadeBy,
) -> Published:
    """Log everything to MLflow, and register the champion, or the candidate that the policy lets in.

    Done twice, after a crash in between, it leaves what doing it once leaves.

    Parameters
    ----------
    context : Context
    forge_run : ForgeRun
    result : ForgeResult
    run : str
        Its run in MLflow.
    folder : Path
        Where files may be written on their way to MLflow.
    made_by : MadeBy
    """
    output = folder / "result"
    shutil.rmtree(output, ignore_errors=True)
    write_evidence(result, output)
    registry = context.registry
    registry.log_folder(run, output)
    held = registry.metrics(run)
    # The windows of a slot's forge runs overlap: how often were such candles looked at?
    openings = registry.openings(result.slot.name, without=run) + (result.candidate is not None)
    metrics = [(OPENINGS, float(openings), 0), *final_metrics(result)]
    metrics = [row for row in metrics if row[0] not in held]
    file = registry.file_of_run(run, "{}")
    # Without host and port: the page may be served elsewhere tomorrow.
    text = note(result, file.removeprefix(registry.tracking_uri), made_by.page)
    registry.log(run, metrics=metrics, tags={**run_tags(result), "mlflow.note.content": text})
    outcome = f"{result.slot.name}: {verdict(result)}"
    if result.offered is not None:
        version = registry.version_of_run(run)
        if version is None:
            version = registry.register(
                run,
                result.slot,
                result.offered.to_json(),
                {**version_tags(result, made_by), OPENINGS: str(openings)},
                example=example_of(forge_run),
                note=text,
            )
        # A crash may have come between the two: a version without its proof gets it now.
        version = registry.prove(version, proof_of(result, version))
        role = offer(context, version, made_by)
        outcome = f"{outcome}; version {version.version} is {role}"
    registry.close_run(run, "FINISHED")
    return Published(outcome, note(result, file, made_by.page))


def example_of(forge_run: ForgeRun) -> pd.DataFrame:
    """Take the newest rows of features, as an example of what a version reads."""
    frame = forge_run.frame
    return pd.DataFrame(frame.values[-EXAMPLE_ROWS:], columns=list(frame.schema.names))


def offer(context: Context, version: Version, made_by: MadeBy) -> str:
    """Give a new version the seat that it may take: an empty one, or, where it is proven, that of an unproven one.

    A forge run that was resumed late finds its slot served: it registers, and takes nobody's seat.
    """
    slot = version.slot
    registry = context.registry
    held, others = registry.aliases(slot), serving(context, slot)
    if held.get("production") == version.version:
        return "in production"
    unproven = [number for number in others.values() if not registry.version(slot, number).proven]
    seat = seat_of_newcomer(
        held,
        others,
        version.version,
        refused=context.refusal(version) != "",
        proven=version.proven,
        unproven=unproven,
        trial=context.settings.singularity.trial,
    )
    if seat is None:
        return f"registered; version {others['challenger']} stays the challenger"
    links = {"prefect_link": made_by.page} if made_by.page else {}
    before = others.get(seat)
    takes = before is not None and before != version.version
    reason = (
        f"it is proven and version {before} is not" if takes else "the production seat was empty"
    )
    if seat == "challenger":
        if before is not None and takes:
            why = f"replaced by version {version.version}: {reason}"
            retire(
                context,
                registry.version(slot, before),
                Decision("forge", why, version.run_id, links=links),
            )
        registry.set_alias(slot, "challenger", version.version)
        return "the challenger"
    if "challenger" not in others:
        # What interrupts the promotion leaves it where Singularity finds it.
        registry.set_alias(slot, "challenger", version.version)
    promote(context, version, Decision("forge", reason, version.run_id, links=links))
    return f"in production, since {reason}"


def proof_of(result: ForgeResult, version: Version) -> Proof:
    """Give the evidence about a version, to be sealed; it is what the arena believes of it."""
    assert result.offered is not None
    edge = measured_edge(result)
    return Proof(
        slot=version.slot,
        version=version.version,
        run_id=version.run_id,
        strategy=digest(result.offered.to_json()),
        policy=result.policy,
        feature_schema=result.feature_schema,
        data_hash=result.data_hash,
        code_revision=result.code_revision,
        trials=result.trials,
        gates=tuple(
            Gate(gate.name, finite(gate.value), gate.threshold, gate.better)
            for gate in result.gates
        ),
        edge=None if edge is None else MeasuredEdge(edge.trades, edge.win_rate, edge.payoff),
    )


def final_metrics(result: ForgeResult) -> list[tuple[str, float, int]]:
    """Give the headline, and under their groups the windows and the gates."""
    metrics = list(headline(result).items())
    for window in result.windows:
        for name in ("net_return", "sharpe_annual", "max_drawdown", "trades", "win_rate"):
            value = window.summary.get(name)
            if value is not None:
                metrics.append((f"{window.name}/{name}", float(value)))
    metrics += [(f"gate/{gate.name}", gate.value) for gate in result.gates]
    if result.novelty is not None:
        metrics.append(("novelty", result.novelty))
    return [(name, value, 0) for name, value in metrics]


def measured_edge(result: ForgeResult) -> Edge | None:
    """Give the edge of the offered strategy in validation; None for none, or without a winner there."""
    if result.offered is None:
        return None
    return Edge.of_summary(result.window("validation").summary, result.offered.exits.stop)


def minutes_between_trades(result: ForgeResult) -> float | None:
    """Mean minutes between two trades in training and validation; None without a trade."""
    known = [result.window(name) for name in ("train", "validation")]
    trades = sum(int(window.summary.get("trades") or 0) for window in known)
    if not trades:
        return None
    return round(sum(window.candles for window in known) / trades, 1)


def run_tags(result: ForgeResult) -> dict[str, str]:
    """Give the tags of the run."""
    refused = "" if result.refusal is None else result.refusal.gate
    return {
        "verdict": verdict(result),
        "proven": str(result.proven).lower(),
        "failed_gates": ",".join(result.failed_gates),
        "refused_by": refused,
        "code_revision": result.code_revision,
        "feature_schema": result.feature_schema,
        "data_hash": result.data_hash,
    }


def version_tags(result: ForgeResult, made_by: MadeBy) -> dict[str, str]:
    """Give the tags of the version: its lineage, its marks and its measured edge."""
    tags: dict[str, Any] = {
        **run_tags(result),
        "seed": result.seed,
        "trials": result.trials,
        "effective_trials": round(result.effective_trials, 3),
        "candles": result.span.describe(),
        "policy": result.policy,
        "prefect_flow_run": made_by.flow_run,
        "prefect_link": made_by.page,
    }
    if result.champion is None and result.refusal is not None:
        # Lives to be judged in shadow: whoever reads the page must see what validation said.
        tags["validation_loss"] = f"{result.refusal.value:.6f}"
    if (gap := minutes_between_trades(result)) is not None:
        # How long the Watchtower waits before it calls an agent idle.
        tags[TRADING_GAP] = gap
    edge = measured_edge(result)
    if edge is not None:
        tags["edge_trades"] = edge.trades
        tags["edge_win_rate"] = edge.win_rate
        tags["edge_payoff"] = edge.payoff
    return {name: str(value) for name, value in tags.items()}
