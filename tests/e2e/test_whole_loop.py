"""The whole loop on real candles: forge, register, trade, judge, cull, replace, and three equal books.

It drives the product as a person does: `crucible up`, `crucible status`, the registry, Ctrl-C,
`crucible report`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from crucible.operations.supervision.servers import authorization
from crucible.operations.workspace import Workspace
from crucible.settings import Slot
from tests.support.polling import until
from tests.support.product import started
from tests.support.strategies import strategy_file

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2_700)]

SYMBOLS = "BTCUSDT,ETHUSDT,SOLUSDT"
BAD_SLOT = "BTCUSDT-gp-1"
START_MS = 1_748_736_000_000  # 2025-06-01, after four weeks of history


def crucible(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crucible.cli", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


class Stack:
    """A running `crucible up` and the eyes of a person on it."""

    def __init__(
        self, workspace: Path, environment: dict[str, str], process: subprocess.Popen
    ) -> None:
        self.workspace, self.environment, self.process = workspace, environment, process

    def status(self) -> dict[str, Any]:
        done = crucible("status", "--json", environment=self.environment)
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def report(self) -> dict[str, Any]:
        done = crucible("report", "--json", environment=self.environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def agents(self) -> list[dict[str, Any]]:
        """What the page shows, which asks for it all the time and starts no process for it."""
        page = f"http://127.0.0.1:{self.environment['CRUCIBLE_PORTS__DASHBOARD']}/api/state"
        try:
            return httpx.get(page, timeout=10).json()["status"]["agents"]
        except httpx.HTTPError:
            return []

    def wait(self, what: str, done: Callable[[], Any], seconds: float) -> Any:
        def found() -> Any:
            assert self.process.poll() is None, f"crucible up ended: {self.log()}"
            return done()

        return until(found, lambda: f"{what}\n{self.log()}", seconds=seconds, pause=1.0)

    def log(self) -> str:
        parts = [(self.workspace / "up.log").read_text()[-2_000:]]
        parts += [
            f"--- {log.name}\n{log.read_text(errors='replace')[-3_000:]}"
            for log in sorted((self.workspace / "logs").glob("*.log"))
        ]
        return "\n".join(parts)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=90)


@contextmanager
def up(workspace: Path, *arguments: str, **settings: object) -> Iterator[Stack]:
    with started(workspace, *arguments, **settings) as (process, environment):
        yield Stack(workspace, environment, process)


def processes_of(workspace: Path) -> list[str]:
    """Every living process that carries the workspace in its environment, but for this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("CRUCIBLE_HOME") == str(
                workspace
            ):
                found.append(" ".join(process.cmdline())[:120])
        except psutil.Error:
            continue
    return found


def bad_strategy(schema_hash: str) -> dict[str, Any]:
    """A strategy that turns its position over and over and pays for it."""
    return strategy_file(
        Slot.parse(BAD_SLOT),
        schema_hash=schema_hash,
        features=["return_1"],
        exits={"stop": 0.002, "target": 0.002, "timeout": 3},
        program=["trade", ["gt", "return_1", 0.0], ["lt", "return_1", -0.00001]],
    )


def register(stack: Stack, strategy: dict[str, Any]) -> str:
    """Put a strategy into production by hand, as a person may in the MLflow page."""
    from crucible.registry.models import Registry
    from crucible.strategies.load import load_strategy

    load_strategy(strategy)
    registry = Registry(stack.environment["CRUCIBLE_E2E_MLFLOW"])
    run = registry.open_run("by-hand", f"by hand {BAD_SLOT}", {"slot": BAD_SLOT})
    folder = stack.workspace / "by-hand"
    folder.mkdir()
    (folder / "strategy.json").write_text(json.dumps(strategy))
    registry.log_folder(run, folder)
    version = registry.register(run, Slot.parse(BAD_SLOT), strategy, {"proven": "false"})
    registry.close_run(run, "FINISHED")
    registry.promote(BAD_SLOT, version.version, "set by a person")
    return version.version


def address(stack: Stack, name: str) -> str:
    services = {item["name"]: item for item in stack.status()["services"]}
    return services[name]["address"]


def forge_runs(stack: Stack) -> list[dict[str, Any]]:
    api = f"{address(stack, 'prefect')}/api/flow_runs/filter"
    body = {"flows": {"name": {"any_": ["forge"]}}, "limit": 100}
    password = authorization(Workspace.at(stack.workspace).password())
    return httpx.post(api, json=body, headers=password, timeout=10).json()


def test_strategies_are_forged_traded_judged_and_replaced_on_real_candles(tmp_path, shared_data):
    from crucible.registry.models import Registry

    candles = shared_data / "candles" / "binance-um-2025-05"
    # Both kinds, two symbols, and two agents whose orders of one symbol are one net position.
    deployment = {"BTCUSDT": {"gp": 1, "boosted": 1}, "ETHUSDT": {"gp": 1}}
    workspace = tmp_path / "home"
    with up(
        workspace,
        *("--candles", str(candles), "--symbols", SYMBOLS),
        *("--start", str(START_MS), "--speed", "180"),
        CRUCIBLE_DEPLOYMENT=json.dumps(deployment),
        # Nothing is proven on a month of real candles, and this test is of what trades at the venue.
        CRUCIBLE_SINGULARITY__TRIAL="venue",
        CRUCIBLE_FORGE__POPULATION=40,
        CRUCIBLE_FORGE__GENERATIONS=3,
        CRUCIBLE_FORGE__MAX_CANDLES=15_000,
        # Twenty seconds of this market: every quarter of an hour is more judgements than two cores give.
        CRUCIBLE_WATCHTOWER__EVERY_MINUTES=60,
    ) as stack:
        stack.wait(
            "the slot of the bad agent has a version",
            lambda: BAD_SLOT in {a["slot"] for a in stack.agents() if a["role"] == "production"},
            1_200,
        )
        mlflow = address(stack, "mlflow")
        stack.environment["CRUCIBLE_E2E_MLFLOW"] = mlflow
        registry = Registry(mlflow)

        # While the other slots are forged, the first of them gets an agent that loses.
        schema = registry.versions(BAD_SLOT)[0].tags["feature_schema"]
        bad = register(stack, bad_strategy(schema))
        stack.wait(
            "the arena trades what a person set to production",
            lambda: f"{BAD_SLOT}@{bad}" in {a["agent"] for a in stack.agents()},
            60,
        )
        stack.wait(
            "every other slot has an agent in production",
            lambda: (
                {a["slot"] for a in stack.agents() if a["role"] == "production"}
                >= {"BTCUSDT-boosted-1", "ETHUSDT-gp-1"}
            ),
            600,
        )
        born = {(v.slot, v.version) for v in registry.versions()}
        assert {slot.split("-")[1] for slot, _ in born} == {"gp", "boosted"}
        stack.wait(
            "the bad agent is culled and its reason is tagged",
            lambda: "loses" in registry.version(BAD_SLOT, bad).tags.get("retired", ""),
            400,
        )
        stack.wait(
            "it is production no more",
            lambda: registry.aliases(BAD_SLOT).get("production") != bad,
            30,
        )
        ordered = stack.wait(
            "the forge run that the cull ordered has ended",
            lambda: [
                run
                for run in forge_runs(stack)
                if run["name"] == f"forge {BAD_SLOT}"
                and run["state_type"] in {"COMPLETED", "CANCELLED", "FAILED", "CRASHED"}
                and "was culled" in str(run["parameters"].get("reason"))
            ],
            400,
        )
        assert len(ordered) == 1
        if ordered[0]["state_type"] == "COMPLETED":
            awaited = range(int(bad) + 1, int(bad) + 10)
        else:
            # A rival was forged in the quarter of an hour before: it is the replacement, and
            # Singularity, which looks every five minutes, gives it the seat.
            assert ordered[0]["state"]["name"] == "Refused"
            reported = ordered[0]["state"]["message"]
            rival = re.search(r"version (\d+) became its challenger meanwhile", reported)
            assert rival, reported
            awaited = [int(rival[1])]
        stack.wait(
            "the version that replaces it has its place",
            lambda: int(registry.aliases(BAD_SLOT).get("production", 0)) in awaited,
            400,
        )
        lives = registry.other_experiment("evaluations", "").all(
            f"tags.agent = '{BAD_SLOT}@{bad}' and tags.role = 'production'"
        )
        assert [life.data.tags["outcome"] for life in lives] == ["cull"]
        assert lives[0].data.metrics["loss_evidence"] > 1
        changes = registry.other_experiment("deployments", "").all(f"tags.slot = '{BAD_SLOT}'")
        decided = {(run.data.tags["action"], run.data.tags["decided_by"]) for run in changes}
        assert decided >= {("promoted", "forge"), ("culled", "watchtower")}
        stack.wait(
            "the culled agent has left the arena flat",
            lambda: f"{BAD_SLOT}@{bad}" not in {a["agent"] for a in stack.agents()},
            60,
        )
        status = stack.status()
        assert f"{BAD_SLOT}@{bad}" not in {a["agent"] for a in status["agents"]}
        assert {"BTCUSDT", "ETHUSDT"} == {a["slot"].split("-")[0] for a in status["agents"]}
        assert status["memory_mb"] > 0
        assert stack.stop() == 0
    assert processes_of(workspace) == []

    report = stack.report()
    assert report["fills"] > 10
    assert report["books_agree"] is True, json.dumps(report["books"], indent=1)
    fees = {name: book["fees"] for name, book in report["books"].items()}
    assert len(set(fees.values())) == 1, fees
    assert float(report["fees"]) > 0
