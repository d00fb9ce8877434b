"""A process killed at any step of a promotion or a cull leaves books that agree once it is started again.

The real venue, Cerebellum and MLflow; the arena and the selection are processes of their own and are ended with
SIGKILL at the step that a test names. Afterwards the registry, the ledger, the record in MLflow and the positions at
the venue say the same.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from decimal import Decimal

import pytest

from crucible.features.pipeline import FeaturePipeline
from crucible.ledger.reader import LedgerError, LedgerReader
from crucible.lifecycle.records import DEPLOYMENTS
from crucible.operations.reconciliation.accounts import differences
from crucible.operations.reconciliation.own_accounts import journal_book, ledger_book
from crucible.operations.reconciliation.venue_statement import VenueAccount
from crucible.operations.workspace import Workspace
from crucible.settings import FeatureSettings, Slot
from tests.support.polling import until
from tests.support.processes import (
    ORIGIN_MS,
    REPOSITORY,
    cerebellum_command,
    end,
    running,
    started,
    venue_command,
    write_keys,
)
from tests.support.strategies import strategy_file

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SYMBOLS = ("SUIUSDT", "ETHUSDT")
PATIENCE_S = 90.0
numbers = itertools.count(1)


class Floor:
    """A venue, a Cerebellum and a registry that go on, and the two processes that are killed."""

    def __init__(self, folder, venue, keys, registry):
        self.folder, self.venue, self.keys, self.registry = folder, venue, keys, registry
        self.run = Workspace.at(folder).run("1")
        self.run.path.mkdir(parents=True)
        self.slot = Slot.parse("SUIUSDT-gp-1")
        self.arena = self.cerebellum = None
        self.job = {
            "deployment": {"SUIUSDT": {"gp": 1}},
            "slot": self.slot.name,
            "symbols": SYMBOLS,
            "venue": venue["rest"],
            "mlflow": registry.tracking_uri,
            "origin_ms": ORIGIN_MS,
        }

    # --- the processes ---------------------------------------------------------------------------

    def start_cerebellum(self):
        command = cerebellum_command(self.folder, self.keys, ",".join(SYMBOLS), self.venue)
        self.cerebellum, ready = started(command, self.folder / "log")
        self.job["addresses"] = {name: ready[name] for name in ("commands", "events", "market")}

    def start(self, program):
        (self.folder / "job.json").write_text(json.dumps(self.job))
        with (self.folder / f"{program}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.support.killed", program, str(self.folder)],
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                stdout=log,
                stderr=log,
            )

    def require_arena(self):
        if self.arena is None or self.arena.poll() is not None:
            self.arena = self.start("arena")

    def kill_at(self, program, step):
        (self.folder / f"kill-{program}").write_text(step)

    def select(self):
        """Let the selection run to its end, or to its kill; give its code."""
        return self.start("selection").wait(timeout=PATIENCE_S)

    def story(self):
        logs = [
            f"--- {name}\n{path.read_text()[-3_000:]}"
            for name in ("arena", "selection")
            if (path := self.folder / f"{name}.log").exists()
        ]
        return "\n".join(logs)

    def wait(self, what, there):
        return until(there, lambda: f"{what}\n{self.story()}", seconds=PATIENCE_S, pause=0.1)

    # --- what is there ---------------------------------------------------------------------------

    def born(self, alias):
        """Register a version that buys at once and holds on; give its number."""
        schema = FeaturePipeline(SYMBOLS, FeatureSettings()).schema.hash
        strategy = strategy_file(
            self.slot,
            schema_hash=schema,
            features=["return_1"],
            exits={"stop": 0.5, "target": 0.5, "timeout": 20_000},
            program=["trade", ["gt", "return_1", -1.0], ["lt", "return_1", -1.0]],
        )
        run = self.registry.open_run(f"born {next(numbers)}", "by hand", {"slot": self.slot.name})
        files = self.folder / run
        files.mkdir()
        (files / "strategy.json").write_text(json.dumps(strategy))
        self.registry.log_folder(run, files)
        version = self.registry.register(run, self.slot, strategy, {"proven": "false"}).version
        self.registry.close_run(run, "FINISHED")
        self.registry.set_alias(self.slot.name, alias, version)
        return str(version)

    def agent(self, version):
        return f"{self.slot.name}@{version}"

    def rows(self):
        with suppress(LedgerError), LedgerReader(self.run.ledger) as ledger:
            return {row.agent: row for row in ledger.agents()}
        return {}

    def holds(self, version):
        with suppress(LedgerError), LedgerReader(self.run.ledger) as ledger:
            return ledger.live_position(self.agent(version), self.slot.symbol)
        return Decimal(0)

    def books(self):
        account = VenueAccount.from_keys(self.venue["rest"], self.keys)
        return {
            "venue": account.statement(Decimal(100_000)).book(),
            "journal": journal_book(self.folder / "journal.sqlite"),
            "ledger": ledger_book(self.run.ledger),
        }


@pytest.fixture(scope="module")
def floor(tmp_path_factory, registry):
    folder = tmp_path_factory.mktemp("killed")
    keys = write_keys(folder)
    command = venue_command(folder, keys, ",".join(SYMBOLS), speed=240)
    with running(command, folder / "log") as (_, venue):
        made = Floor(folder, venue, keys, registry)
        made.start_cerebellum()
        try:
            yield made
        finally:
            for process in (made.arena, made.cerebellum):
                if process is not None:
                    end(process)


def seat_two(floor):
    """Have one version in production that holds a position, and a challenger beside it."""
    old, new = floor.born("production"), floor.born("challenger")
    floor.require_arena()
    floor.wait("the production agent holds a position", lambda: floor.holds(old) > 0)

    def both():
        seats = {name: row.role for name, row in floor.rows().items() if row.until_ts is None}
        return seats == {floor.agent(old): "production", floor.agent(new): "challenger"}

    floor.wait("both are seated, and nobody else", both)
    return old, new


def unlike(floor, verdict, old, new):
    """Say what does not show yet that the change was made; empty where everything agrees."""
    agent, stays = (old, None) if verdict == "cull" else (old, new)
    slot = floor.slot.name
    aliases = floor.registry.aliases(slot)
    wanted = {"retired": agent, **({"challenger": new} if verdict == "cull" else {"production": stays})}  # fmt: skip
    rows = floor.rows()
    left, other = rows[floor.agent(old)], rows[floor.agent(new)]
    role = "challenger" if verdict == "cull" else "production"
    books = floor.books()
    missing = {
        "aliases": aliases == wanted,
        "reason of the version that left": "retired" in floor.registry.version(slot, agent).tags,
        "agent that left": (left.until_ts is None, left.role) == (False, "production"),
        "agent that stays": (other.until_ts, other.role) == (None, role),
        "position of the agent that left": floor.holds(old) == 0,
        "position of the agent that stays": (verdict == "cull") == (floor.holds(new) == 0),
        "accounts": not differences(books),
        "position": books["venue"].positions.get(floor.slot.symbol, Decimal(0)) == floor.holds(new),
    }
    return [what for what, holds in missing.items() if not holds]


def deployment_runs(floor, key):
    found = floor.registry.other_experiment(DEPLOYMENTS, "").all(f"tags.slot = '{floor.slot.name}'")
    return [run for run in found if key in run.data.tags.values()]


SELECTION = ("after Ledger.book_verdict", "after Registry.{change}", "after Records.finish")
ARENA = {
    "cull": (
        "after Arena.set_role",
        "after Arena.send Submit",
        "before Arena.book_event FillEvent",
        "before Arena.unseat",
    ),
    "promote": (
        "before Arena.seat",
        "after Arena.seat",
        "after Arena.send Submit",
        "after Arena.unseat",
    ),
}
KILLS = [
    *(("cull", "selection", step.format(change="retire")) for step in SELECTION),
    *(("promote", "selection", step.format(change="promote")) for step in SELECTION),
    *((verdict, "arena", step) for verdict, steps in ARENA.items() for step in steps),
    ("cull", "cerebellum", "while it closes"),
    ("promote", "cerebellum", "while it closes"),
]


@pytest.mark.parametrize(("verdict", "program", "step"), KILLS)
def test_ledger_registry_mlflow_and_positions_agree_after_a_kill_at_any_step(
    floor, verdict, program, step
):
    old, new = seat_two(floor)
    with LedgerReader(floor.run.ledger) as ledger:
        floor.job["verdict_ts"] = ledger.market_ts()
    judged = old if verdict == "cull" else new
    floor.job |= {"agent": floor.agent(judged), "verdict": verdict}
    if program == "selection":
        floor.kill_at("selection", step)
        assert floor.select() == -signal.SIGKILL, floor.story()
    elif program == "arena":
        floor.kill_at("arena", step)
    assert floor.select() == 0, floor.story()
    if program == "arena":
        code = floor.arena.wait(timeout=PATIENCE_S)
        assert code == -signal.SIGKILL, floor.story()
        floor.require_arena()
    if program == "cerebellum":
        floor.cerebellum.kill()
        floor.cerebellum.wait()
        floor.start_cerebellum()
    until(
        lambda: not unlike(floor, verdict, old, new),
        lambda: f"not as after one {verdict}: {unlike(floor, verdict, old, new)}\n{floor.story()}",
        seconds=PATIENCE_S,
        pause=0.1,
    )
    runs = deployment_runs(floor, f"{floor.run.run_id}:{floor.job['verdict_ts']}")
    action = "culled" if verdict == "cull" else "promoted"
    assert [(run.info.status, run.data.tags["action"]) for run in runs] == [("FINISHED", action)]
    assert (floor.folder / f"ordered-for-{floor.agent(judged)}").exists() == (verdict == "cull")
    with LedgerReader(floor.run.ledger) as ledger:
        assert ledger.waiting_verdicts() == []
