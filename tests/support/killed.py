"""Processes of the product that end themselves with SIGKILL at a step that a test names.

``python -m tests.support.killed arena FOLDER`` trades what the registry has as production and challenger;
``... selection FOLDER`` books one verdict and carries it out; ``... change FOLDER`` makes a person's change. What they need stands in ``FOLDER/job.json``. A
process ends right before or after the call that ``FOLDER/kill-PROGRAM`` names, as in ``after Ledger.seat``, whenever
that file is there.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from crucible.arena.engine import Arena
from crucible.arena.registry_watcher import RegistryWatcher, Requirements
from crucible.arena.status_file import ArenaFiles
from crucible.execution.cerebellum_link import Addresses, CerebellumLink
from crucible.features.pipeline import FeaturePipeline
from crucible.ledger.buffered import BufferedLedger
from crucible.ledger.ledger import Ledger
from crucible.lifecycle import production
from crucible.lifecycle.context import Context
from crucible.lifecycle.judgement import Judged, book, carry_out
from crucible.lifecycle.production import Decision, change_production
from crucible.lifecycle.records import Records
from crucible.market.exchange import Exchange
from crucible.market.lake import Lake
from crucible.operations.workspace import Workspace
from crucible.registry.models import Registry
from crucible.settings import FeatureSettings, Settings
from crucible.watchtower.scorecard import score
from crucible.watchtower.verdicts import Verdict
from tests.support.tracking import KEY

STEPS: dict[str, tuple[Any, str]] = {
    "Change.alert": (production, "alert_others"),
    "Ledger.book_verdict": (Ledger, "book_verdict"),
    "Ledger.set_carried_out": (Ledger, "set_carried_out"),
    "Records.begin": (Records, "begin"),
    "Records.finish": (Records, "finish"),
    "Registry.promote": (Registry, "promote"),
    "Registry.retire": (Registry, "retire"),
    "Arena.seat": (BufferedLedger, "seat"),
    "Arena.set_role": (BufferedLedger, "set_role"),
    "Arena.unseat": (BufferedLedger, "unseat"),
    "Arena.book_event": (BufferedLedger, "book_event"),
    "Arena.send": (CerebellumLink, "send"),
}


def arm(kill: Path) -> None:
    """Have every step look whether it is the last one."""

    def wrapped(name: str, call: Any) -> Any:
        @functools.wraps(call)
        def step(self: object, *words: Any, **named: Any) -> Any:
            # What is sent and booked all the time counts only where it is an order, or its fill.
            kind = type(words[0]).__name__ if name in {"Arena.send", "Arena.book_event"} else ""
            met = f"{name} {kind}".strip()
            end_if(f"before {met}")
            answer = call(self, *words, **named)
            end_if(f"after {met}")
            return answer

        return step

    def end_if(step: str) -> None:
        if kill.exists() and kill.read_text() == step:
            kill.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    for name, (owner, method) in STEPS.items():
        setattr(owner, method, wrapped(name, getattr(owner, method)))


def trade(folder: Path, job: dict[str, Any]) -> None:
    """Trade until the process is ended."""
    settings = Settings(home=folder, deployment=job["deployment"])
    pipeline = FeaturePipeline(tuple(job["symbols"]), FeatureSettings())
    exchange, registry = Exchange(job["venue"]), Registry(job["mlflow"], KEY)
    requirements = Requirements(
        pipeline.schema, pipeline.symbols, Context(settings, Workspace.at(folder)).rules
    )
    watcher = RegistryWatcher(registry, settings.slots, requirements, 0.2)
    run = Workspace.at(folder).run("1")
    files = ArenaFiles(run.ledger, run.performance_log, run.arena, folder / "lake")
    instruments = {symbol: exchange.instrument(symbol) for symbol in pipeline.symbols}
    topics = tuple(f"{symbol}.{kind}" for symbol in pipeline.symbols for kind in ("candle", "book"))
    lake = Lake(folder / "lake")
    with CerebellumLink(Addresses(**job["addresses"]), topics) as link:
        arena = Arena(settings, link, pipeline, instruments, watcher, files, seed=1)
        for symbol in pipeline.symbols:
            end = exchange.closed_until(symbol)
            lake.refresh(exchange, symbol, job["origin_ms"], end)
        arena.warm(
            lake.read_all(pipeline.symbols),
            lambda symbol, start, end: list(exchange.pages(symbol, start, end)),
        )
        watcher.start()
        arena.run(should_stop=lambda: False)


def select(folder: Path, job: dict[str, Any]) -> None:
    """Book a verdict on the agent that the job names and carry out every verdict that waits."""
    workspace = Workspace.at(folder)
    context = Context(Settings(home=folder, deployment=job["deployment"]), workspace)
    context.__dict__.update(
        registry=Registry(job["mlflow"], KEY),
        run=workspace.run("1"),
        exchange=Exchange(job["venue"]),
    )

    def door(slot: str, version: str, action: Any, **how: Any) -> None:
        decision = Decision(how["decided_by"], how["reason"], how["key"], how["evidence"])
        change_production(context, slot, version, action, decision)

    def order_replacement(agent: str, _order: dict[str, Any]) -> None:
        # As the real one: known by a key, so that asking again orders nothing more.
        (folder / f"ordered-for-{agent}").touch()

    with Ledger(context.run.ledger) as ledger:
        # A verdict that waits from before a kill is carried out; it is not given once more.
        row = next(row for row in ledger.agents() if row.agent == job["agent"])
        card = score(
            row.agent, job["verdict_ts"], [], [], since_ts=row.since_ts, last_fill_ts=None,
            largest_loss=0.02, largest_gain=0.02,
        )  # fmt: skip
        book(context, ledger, Judged(row, card, Verdict(job["verdict"], "its evidence")))
        carry_out(context, ledger, door, order_replacement)
    # Singularity's turn, in the same process: it closes what a kill left open in the record.
    Records(context.registry).notice(job["slot"])


def change(folder: Path, job: dict[str, Any]) -> None:
    """Make the change that the job names, as the promotion flow does for a person."""
    workspace = Workspace.at(folder)
    context = Context(Settings(home=folder), workspace)
    context.__dict__.update(registry=Registry(job["mlflow"], KEY), run=workspace.run("1"))
    decision = Decision("Ben", "a person's reason", "the id of its flow run")
    change_production(context, job["slot"], job["version"], job["change"], decision)


def main() -> None:
    """Run the program that the command line names."""
    program, folder = sys.argv[1], Path(sys.argv[2])
    arm(folder / f"kill-{program}")
    job = json.loads((folder / "job.json").read_text())
    {"arena": trade, "selection": select, "change": change}[program](folder, job)


if __name__ == "__main__":
    main()
