"""The arena is what its process is; Prefect is asked, never obeyed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crucible.operations.errors import ServerError
from crucible.operations.supervision.arena_run import LOST_AFTER_S, ArenaRun
from crucible.operations.supervision.stack import Stack
from crucible.operations.workspace import Workspace

pytestmark = pytest.mark.process


class Prefect:
    """A server with one deployment, at will silent."""

    def __init__(self) -> None:
        self.runs: dict[str, dict] = {}
        self.silent = False

    def unfinished_of(self, deployment: str) -> str | None:
        open_states = ("SCHEDULED", "RUNNING")
        found = [name for name, run in self.runs.items() if run["state_type"] in open_states]
        return found[0] if found else None

    def start(self, deployment: str, name: str) -> str:
        self._answer()
        run_id = f"r{len(self.runs) + 1}"
        self.runs[run_id] = {"state_type": "SCHEDULED", "state": {}, "infrastructure_pid": None}
        return run_id

    def run(self, run_id: str) -> dict:
        self._answer()
        return self.runs[run_id]

    def force(self, run_id: str, state: str, reason: str) -> None:
        self._answer()
        self.runs[run_id]["state_type"] = state

    def _answer(self) -> None:
        if self.silent:
            message = "silent"
            raise ServerError(message)


class Scene:
    def __init__(self, path: Path) -> None:
        workspace = Workspace.at(path / "home")
        workspace.create()
        self.run = workspace.new_run()
        self.said: list[str] = []
        self.stack = Stack(workspace, self.run, {}, path, self.said.append)
        self.prefect = Prefect()
        self.arena = ArenaRun(self.stack, self.prefect, self.run)  # type: ignore[arg-type]
        self.processes: list[subprocess.Popen[bytes]] = []
        self.now = 0.0

    def step(self, seconds: float = 3.0) -> None:
        self.now += seconds
        self.arena.tick(self.now)

    def take(self, run_id: str) -> subprocess.Popen[bytes]:
        """The worker starts the run's process."""
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        self.processes.append(process)
        self.prefect.runs[run_id].update(state_type="RUNNING", infrastructure_pid=process.pid)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def trading(scene: Scene) -> subprocess.Popen[bytes]:
    scene.arena.start()
    scene.step()
    process = scene.take("r1")
    scene.step()
    scene.run.arena.write_text("{}")
    scene.step()
    assert scene.arena.service.state == "up"
    return process


def test_an_arena_is_up_once_its_process_lives_and_has_spoken(scene: Scene):
    scene.arena.start()
    scene.step()
    assert scene.arena.service.state == "starting"
    scene.take("r1")
    scene.step()
    assert scene.arena.service.state == "starting"
    scene.run.arena.write_text("{}")
    scene.step()
    assert scene.arena.service.state == "up"


def test_an_arena_stays_up_while_prefect_is_silent_or_wrong(scene: Scene):
    trading(scene)
    scene.prefect.silent = True
    scene.step(500)
    assert scene.arena.service.state == "up"
    scene.prefect.silent = False
    scene.prefect.runs["r1"]["state_type"] = "CRASHED"
    scene.step(500)
    assert scene.arena.service.state == "up"


def test_what_keeps_an_arena_from_opening_positions_is_said_and_its_end_too(scene: Scene):
    trading(scene)
    scene.run.arena.write_text('{"trouble": "the ledger cannot be written: disk is full"}')
    scene.step()
    scene.step()
    words = "arena: opens no position: the ledger cannot be written: disk is full"
    assert scene.said.count(words) == 1
    scene.run.arena.write_text("")
    scene.step()
    scene.run.arena.write_text('{"trouble": ""}')
    scene.step()
    assert scene.said[-1] == "arena: ready"
    assert scene.arena.service.state == "up"


def test_a_killed_arena_frees_its_slot_and_is_started_again(scene: Scene):
    scene.kill(trading(scene))
    scene.step()
    assert scene.prefect.runs["r1"]["state_type"] == "CRASHED"
    assert scene.arena.service.state == "down"
    assert scene.said[-1] == "arena: its process ended; starting again in 1 s"
    scene.step()
    assert list(scene.prefect.runs) == ["r1", "r2"]


def test_an_arena_that_somebody_else_started_is_adopted_not_doubled(scene: Scene):
    scene.kill(trading(scene))
    scene.step()
    other = scene.prefect.start("arena/arena", "by singularity")
    scene.step()
    assert list(scene.prefect.runs) == ["r1", other]
    process = scene.take(other)
    scene.step()
    assert scene.arena.service.identity is not None
    assert scene.arena.service.identity.pid == process.pid


def test_a_run_that_no_process_takes_is_given_up_for_another(scene: Scene):
    scene.arena.start()
    scene.step()
    scene.step(LOST_AFTER_S + 1)
    assert scene.prefect.runs["r1"]["state_type"] == "CRASHED"
    scene.step()
    assert "r2" in scene.prefect.runs


def test_an_arena_that_always_fails_is_started_at_a_steady_pace_and_said_to_fail(scene: Scene):
    scene.arena.start()
    for _ in range(60):
        for run in scene.prefect.runs.values():
            run["state_type"] = "FAILED"
        scene.step(5)
    # Five minutes: the first six soon, then one every half minute and a look.
    assert 6 + 4 <= len(scene.prefect.runs) <= 6 + 10
    assert any("again and again" in said for said in scene.said)
    assert "given up" not in " ".join(scene.said)


def test_a_stop_ends_the_process_and_closes_the_run(scene: Scene):
    process = trading(scene)
    scene.arena.stop()
    assert process.wait(timeout=5) is not None
    assert scene.prefect.runs["r1"]["state_type"] == "CANCELLED"
    assert scene.arena.service.state == "down"
