"""Status tells what lives, quickly, and believes no file about the dead."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crucible.operations.status import read_status
from crucible.operations.supervision.process import Identity
from crucible.operations.supervision.services import NAMES
from crucible.operations.workspace import Workspace, write_json

AGENT = {"agent": "BTCUSDT-gp-1@1", "proven": False, "pnl": "1.5", "position": "0"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.at(tmp_path / "home")
    made.create()
    return made


def record(workspace: Workspace, **services: dict) -> None:
    me = Identity.of(os.getpid())
    assert me is not None
    write_json(
        workspace.services_file,
        {"supervisor": me.to_json(), "services": services},
    )


def alive(**entry: object) -> dict:
    me = Identity.of(os.getpid())
    assert me is not None
    return {**me.to_json(), "state": "up", "address": "", **entry}


def test_a_home_where_nothing_ran_has_everything_down(workspace: Workspace):
    status = read_status(workspace)
    assert status.down == list(NAMES)
    assert not status.running
    assert status.to_json()["memory_mb"] == 0.0


def test_a_living_process_is_up_with_its_memory_and_a_dead_one_is_down(workspace: Workspace):
    dead = alive()
    dead["start_ticks"] -= 1000
    record(
        workspace,
        cerebellum=alive(event="ready"),
        arena=dead,
        worker=alive(state="starting"),
    )

    found = {service.name: service for service in read_status(workspace).services}

    assert found["cerebellum"].state == "up"
    assert found["cerebellum"].memory_mb > 1
    assert found["arena"].state == "down"
    assert found["arena"].memory_mb == 0
    assert found["worker"].state == "starting"


def test_a_living_process_that_does_not_answer_is_not_called_up(workspace: Workspace):
    record(workspace, mlflow=alive(address="http://127.0.0.1:9"))
    (service,) = read_status(workspace).services
    assert service.state == "starting"


def test_agents_are_those_of_the_newest_run(workspace: Workspace):
    workspace.new_run()
    run = workspace.new_run()
    write_json(run.arena, {"market_ts": 1_735_689_600_000, "agents": [AGENT]})
    status = read_status(workspace).to_json()
    assert status["agents"] == [AGENT]
    assert status["run"] == "0002"


@pytest.mark.process
def test_the_command_answers_as_json_at_once_and_imports_nothing_heavy(workspace: Workspace):
    record(workspace, cerebellum=alive())
    code = (
        "import sys; sys.argv = ['crucible', 'status', '--json']\n"
        "from crucible.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'numpy', 'httpx', 'pandas', 'mlflow', 'prefect', 'torch', 'ccxt', 'zmq', 'numba'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CRUCIBLE_HOME": str(workspace.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.monotonic() - began < 5
    assert done.stderr.splitlines()[-1] == "[]"
    answer = json.loads(done.stdout)
    assert set(answer) >= {"services", "memory_mb", "agents"}
    assert set(answer["services"][0]) >= {"name", "state", "address", "memory_mb"}
