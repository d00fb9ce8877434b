"""`crucible up --detach`, `down` and `logs`: the real supervisor over small programs, without a terminal."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from crucible.operations.background.logs import NewLines, follow, tail
from crucible.operations.background.start import command, start_detached
from crucible.operations.background.stop import stop_stack
from crucible.operations.errors import ServiceError
from crucible.operations.supervision.process import Identity, marked
from crucible.operations.workspace import Workspace, read_json
from tests.support.commands import call
from tests.support.polling import until

STAND_IN = Path(__file__).parents[1] / "stand_in.py"
WORDS = [sys.executable, str(STAND_IN), "--json"]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A workspace of its own, in which nothing is left in the end."""
    for name in ("PREFECT", "MLFLOW", "DASHBOARD"):
        monkeypatch.setenv(f"CRUCIBLE_PORTS__{name}", "0")
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN.parents[2]))
    monkeypatch.setenv("CRUCIBLE_HOME", str(tmp_path / "workspace"))
    yield Workspace.at(tmp_path / "workspace")
    for left in marked(tmp_path / "workspace"):
        os.kill(left.pid, signal.SIGKILL)


@pytest.mark.process
def test_it_returns_once_everything_is_up_and_down_leaves_nothing(workspace):
    lines: list[str] = []
    ready = start_detached(workspace, WORDS, lines.append)

    assert any("everything is up" in line for line in lines)
    assert ready["run"] == "0001"
    services = read_json(workspace.services_file)["services"]
    assert {service["state"] for service in services.values()} == {"up"}
    supervisor = Identity.of(ready["pid"])
    assert supervisor is not None
    # It belongs to no terminal of the one who started it.
    assert os.getsid(ready["pid"]) != os.getsid(0)

    with pytest.raises(ServiceError) as again:
        start_detached(workspace, WORDS, lines.append)
    assert "crucible is already up on" in str(again.value)
    assert supervisor.alive

    log = call(workspace.path, "logs", "up", "--lines", "3")
    assert log.code == 0
    assert len(log.stdout.splitlines()) == 3

    ended = call(workspace.path, "down", "--json")
    assert ended.code == 0
    assert json.loads(ended.stdout) == {"was_up": True, "run": "0001"}
    assert "cerebellum: stopped" in ended.stderr
    assert not supervisor.alive
    assert marked(workspace.path) == []
    assert "nothing runs in" in call(workspace.path, "down").stdout


@pytest.mark.process
def test_down_ends_what_a_killed_supervisor_left_behind(workspace):
    ready = start_detached(workspace, WORDS, lambda _line: None)
    os.kill(ready["pid"], signal.SIGKILL)
    until(lambda: Identity.of(ready["pid"]) is None or not Identity.of(ready["pid"]).alive)
    assert len(marked(workspace.path)) > 5
    ended = call(workspace.path, "down")
    assert ended.code == 0
    assert "left" in ended.stderr
    assert marked(workspace.path) == []


@pytest.mark.process
def test_a_stack_that_cannot_start_says_why_and_where_its_log_is(workspace, monkeypatch):
    monkeypatch.setenv("CRUCIBLE_MARKET__SPEED", "fast")
    with pytest.raises(ServiceError) as error:
        start_detached(workspace, WORDS, print)
    assert "market.speed" in str(error.value)
    assert str(workspace.logs / "up.log") in str(error.value)


@pytest.mark.process
def test_the_real_command_is_understood(workspace):
    ended = call(workspace.path, "up", "--detach", "--json", "--candles", workspace.path / "no")
    assert ended.code == 1
    assert "has no candles" in json.loads(ended.stdout)["error"]
    assert command(["--seed", "3"])[-2:] == ["--seed", "3"]


def test_down_where_nothing_ever_ran_does_nothing(tmp_path):
    assert not stop_stack(Workspace.at(tmp_path / "never"), print, 1.0).was_up
    assert not (tmp_path / "never").exists()


def test_the_newest_lines_are_found_in_a_long_log(tmp_path):
    log = tmp_path / "long.log"
    log.write_text("".join(f"line {number} {'x' * 90}\n" for number in range(5_000)))
    assert [line.split()[1] for line in tail(log, 2)] == ["4998", "4999"]
    assert len(tail(log, 3_000)) == 3_000
    assert tail(log, 0) == []
    log.write_text("only\nhalf")
    assert tail(log, 10) == ["only", "half"]


def test_a_log_is_followed_over_its_replacement(tmp_path):
    log = tmp_path / "service.log"
    log.write_text("old\n")
    lines = NewLines(log)
    with log.open("a") as file:
        file.write("new\nhal")
    assert lines.read() == ["new"]
    with log.open("a") as file:
        file.write("f\n")
    assert lines.read() == ["half"]
    log.rename(tmp_path / "service.log.1")
    log.write_text("of the next\n")
    assert lines.read() == ["of the next"]


def test_follow_gives_lines_as_they_come(tmp_path):
    log = tmp_path / "service.log"
    log.write_text("")
    found = follow(log)
    timer = threading.Timer(0.3, lambda: log.write_text("came later\n"))
    timer.start()
    assert next(found) == "came later"


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("logs", "prefct"), 2, "'prefct' writes no log"),
        (("logs", "prefect", "--follow", "--json"), 2, "--follow does not end"),
        (("logs", "prefect"), 1, "no log of prefect yet"),
    ],
)
def test_a_log_that_cannot_be_read_is_named(tmp_path, words, code, named):
    ended = call(tmp_path, *words)
    assert ended.code == code
    assert named in " ".join(ended.stderr.replace("│", " ").split())
