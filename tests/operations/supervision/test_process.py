"""A service is known by more than its pid, and its end is the end of its children too."""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from crucible.operations.errors import ServiceError
from crucible.operations.supervision.process import (
    Identity,
    ServiceProcess,
    marked,
    memory_mb,
    stop_trees,
)
from tests.support.polling import until

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"])
print('{"event": "ready", "child": %d}' % child.pid, flush=True)
time.sleep(60)
"""
MEEK = """
import sys, time
print('noise'); print('{"event": "ready", "rest": "http://127.0.0.1:1"}', flush=True)
print('last words', file=sys.stderr, flush=True)
time.sleep(60)
"""


def start(tmp_path: Path, code: str, name: str = "tiny", nice: int = 0) -> ServiceProcess:
    environment = {"CRUCIBLE_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", code]
    return ServiceProcess(name, command, environment, tmp_path, tmp_path, nice)


def ready(process: ServiceProcess) -> dict:
    def line() -> dict | None:
        found = process.ready_line()
        assert found or process.poll() is None, process.last_words()
        return found

    return until(line, "the ready line", seconds=20)


@pytest.mark.process
def test_a_meek_service_ends_in_order(tmp_path: Path):
    process = start(tmp_path, MEEK)
    assert ready(process)["rest"] == "http://127.0.0.1:1"
    assert process.stop(5.0)
    assert process.poll() is not None
    assert process.last_words() == "last words"


@pytest.mark.process
def test_a_stubborn_service_and_its_child_are_ended_by_force(tmp_path: Path):
    process = start(tmp_path, STUBBORN)
    child = ready(process)["child"]
    assert not process.stop(0.3)
    assert process.poll() is not None
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"


@pytest.mark.process
def test_a_service_behind_others_and_what_it_starts_have_a_lower_priority(tmp_path: Path):
    process = start(tmp_path, STUBBORN, nice=3)
    child = ready(process)["child"]
    expected = min(os.nice(0) + 3, 19)
    assert psutil.Process(process.identity.pid).nice() == psutil.Process(child).nice() == expected
    process.stop(0.3)


@pytest.mark.process
def test_an_orphan_is_found_by_its_marks_and_only_in_its_home(tmp_path: Path):
    process = start(tmp_path, STUBBORN, "mlflow")
    child = ready(process)["child"]
    os.kill(process.identity.pid, signal.SIGKILL)
    process.poll()
    time.sleep(0.1)

    assert marked(tmp_path / "other") == []
    assert marked(tmp_path, "prefect") == []
    left = marked(tmp_path, "mlflow")
    assert [identity.pid for identity in left] == [child]
    assert not stop_trees(left, 0.2)
    assert marked(tmp_path) == []


def test_a_reused_pid_is_not_mistaken_for_the_process(tmp_path: Path):
    me = Identity.of(os.getpid())
    assert me is not None
    assert me.alive
    for other in (replace(me, start_ticks=me.start_ticks - 10), replace(me, boot_id="earlier")):
        assert not other.alive
        assert other.process() is None
        assert stop_trees([other], 0.1)
        assert Identity.from_json(other.to_json()) == other


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "1",
        {},
        {"pid": 1},
        {"pid": None, "start_ticks": 5, "boot_id": "b"},
        {"pid": "1", "start_ticks": 5, "boot_id": "b"},
        {"pid": True, "start_ticks": 5, "boot_id": "b"},
        {"pid": 1, "start_ticks": 5.5, "boot_id": "b"},
        {"pid": 1, "start_ticks": 5, "boot_id": 7},
        {"pid": 1, "create_time": 1_735_689_600.0},
    ],
)
def test_what_is_no_identity_names_no_process(value: object):
    assert Identity.from_json(value) is None


@pytest.mark.process
def test_a_clock_that_is_set_changes_no_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    process = start(tmp_path, MEEK)
    try:
        ready(process)
        kept = Identity.from_json(process.identity.to_json())
        # What a step of the clock by an hour does to the seconds since 1970 at which this machine began.
        began = psutil.boot_time()
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: began + 3600)
        monkeypatch.setattr(psutil, "boot_time", lambda: began + 3600)
        monkeypatch.setattr(time, "time", lambda: 0.0)
        assert kept is not None
        assert kept.alive
        assert kept == Identity.of(kept.pid)
        assert memory_mb(kept) > 0
        assert kept in marked(tmp_path)
        assert stop_trees([kept], 5.0)
        assert not kept.alive
    finally:
        process.stop(0.2)


@pytest.mark.process
def test_a_program_with_a_strange_name_is_known(tmp_path: Path):
    program = tmp_path / "a) Z 1 (b"
    program.symlink_to("/bin/sleep")
    process = ServiceProcess("odd", [str(program), "60"], {}, tmp_path, tmp_path)
    try:
        assert process.identity.alive
    finally:
        process.stop(1.0)


def steady(identity: Identity) -> None:
    """Wait until a program that is still starting takes no more memory."""
    before = 0.0
    while (now := memory_mb(identity)) != before:
        before = now
        time.sleep(0.5)


@pytest.mark.process
def test_memory_counts_children_once_and_leaves_out_those_counted_elsewhere(tmp_path: Path):
    process = start(tmp_path, STUBBORN)
    child = Identity.of(ready(process)["child"])
    assert child is not None
    try:
        steady(child)
        whole = memory_mb(process.identity)
        alone = memory_mb(process.identity, [child])
        assert 0 < alone < whole
        assert whole == pytest.approx(alone + memory_mb(child), abs=2.0)
    finally:
        process.stop(0.2)
    assert memory_mb(process.identity) == 0.0


@pytest.mark.process
def test_a_program_that_does_not_exist_is_named(tmp_path: Path):
    with pytest.raises(ServiceError, match="tiny cannot be started"):
        ServiceProcess("tiny", ["/nonexistent/program"], {}, tmp_path, tmp_path)
