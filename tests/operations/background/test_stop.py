"""`crucible down` ends the supervisor and nobody else, and says that all has stopped only once it has looked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from crucible.operations.background.stop import stop_stack
from crucible.operations.errors import ServiceError
from crucible.operations.supervision.process import marked
from crucible.operations.workspace import Workspace

HOLDER = """
import sys
from pathlib import Path
from crucible.operations.workspace import Workspace
with Workspace.at(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.readline()
"""
# Ends at once when asked to, and leaves a service behind.
CARELESS = """
import os, subprocess, sys
from pathlib import Path
from crucible.files import write_json
from crucible.operations.supervision.process import Identity
from crucible.operations.workspace import Workspace
workspace = Workspace.at(Path(sys.argv[1]))
with workspace.lock():
    marks = {"CRUCIBLE_HOME": str(workspace.path), "CRUCIBLE_SERVICE": "worker"}
    sleeper = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"]
    left = subprocess.Popen(
        sleeper, env={**os.environ, **marks}, start_new_session=True, stdout=subprocess.PIPE
    )
    left.stdout.readline()
    document = {"supervisor": Identity.of(os.getpid()).to_json(), "services": {}}
    write_json(workspace.services_file, document)
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def workspace(tmp_path):
    made = Workspace.at(tmp_path / "workspace")
    made.create()
    yield made
    for left in marked(made.path):
        os.kill(left.pid, signal.SIGKILL)


@pytest.fixture
def start(workspace):
    started = []

    def begin(program: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(workspace.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.process
def test_who_holds_the_workspace_and_is_no_supervisor_is_left_alone(workspace, start):
    holder = start(HOLDER)
    with pytest.raises(ServiceError, match=f"pid {holder.pid}.*is no supervisor"):
        stop_stack(workspace, print, 0.5)
    assert holder.poll() is None


@pytest.mark.process
def test_a_second_stop_waits_for_the_first_one(workspace, start):
    holder = start(HOLDER)
    timer = threading.Timer(1.0, lambda: holder.communicate("\n"))
    timer.start()
    assert not stop_stack(workspace, print, 30.0).was_up
    timer.join()
    assert holder.returncode == 0


@pytest.mark.process
def test_what_the_supervisor_leaves_behind_has_ended_before_everything_has_stopped(
    workspace, start
):
    supervisor = start(CARELESS)
    assert len(marked(workspace.path)) == 1
    lines: list[str] = []
    assert stop_stack(workspace, lines.append, 30.0).was_up
    assert supervisor.wait(10) == -signal.SIGTERM
    assert marked(workspace.path) == []
    assert any("left 1 processes" in line for line in lines)
