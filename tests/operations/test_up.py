"""`up` outlives its books: whatever fails, services are watched on, and none is left behind at the end."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crucible.operations.supervision.process import Identity, marked
from crucible.operations.workspace import Workspace, read_json
from tests.support.disks import fill, mounted
from tests.support.polling import until
from tests.support.receiver import receiving

STAND_IN = Path(__file__).with_name("stand_in.py")


class Up:
    def __init__(self, workspace: Path, leave_at: str = "", **environment: str) -> None:
        self.leave_at = leave_at
        self.workspace = Workspace.at(workspace)
        ports = {f"CRUCIBLE_PORTS__{name}": "0" for name in ("PREFECT", "MLFLOW", "DASHBOARD")}
        self.process = subprocess.Popen(
            [sys.executable, str(STAND_IN)],
            env={
                **os.environ,
                **ports,
                "CRUCIBLE_HOME": str(workspace),
                "PYTHONPATH": str(STAND_IN.parents[2]),
                "PYTHONUNBUFFERED": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
            if self.leave_at and self.leave_at in line:
                break
        self.process.stdout.close()

    def wait_for(self, words: str, times: int = 1, seconds: float = 60.0) -> None:
        def seen() -> bool:
            reported = sum(words in line for line in self.lines) >= times
            return reported or self.process.poll() is not None

        with self._changed:
            self._changed.wait_for(seen, seconds)
        assert sum(words in line for line in self.lines) >= times, (words, self.lines)

    def end(self) -> tuple[int, str]:
        self.process.wait(60)
        self._reader.join(10)
        assert self.process.stderr is not None
        return self.process.returncode, self.process.stderr.read()

    def pid_of_living(self, service: str) -> int | None:
        identity = Identity.from_json(read_json(self.workspace.services_file)["services"][service])
        return identity.pid if identity is not None and identity.alive else None

    def pid(self, service: str) -> int:
        return int(read_json(self.workspace.services_file)["services"][service]["pid"])


@contextmanager
def up(workspace: Path, leave_at: str = "", **environment: str) -> Iterator[Up]:
    running = Up(workspace, leave_at, **environment)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        for left in marked(workspace):
            os.kill(left.pid, signal.SIGKILL)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "1m") as disk:
        yield disk


def test_a_full_disk_stops_no_service_and_everything_recovers_and_stops_in_order(
    small_disk: Path,
):
    workspace = small_disk / "home"
    with up(workspace) as running:
        running.wait_for("everything is up")
        first = running.pid("mlflow")
        filler = fill(small_disk)
        running.wait_for("0 MB are left on its disk")
        os.kill(first, signal.SIGKILL)
        running.wait_for("mlflow: ready", times=2)
        running.wait_for("mlflow: nothing that it writes is kept: ")
        running.wait_for("services.json: cannot be written: No space left on device; free some")
        assert running.pid("mlflow") == first
        assert running.process.poll() is None

        filler.unlink()
        running.wait_for("services.json: written again")
        running.wait_for("its disk has room again")
        assert running.pid("mlflow") != first
        assert read_json(running.workspace.services_file)["services"]["mlflow"]["state"] == "up"

        fill(small_disk)
        running.process.send_signal(signal.SIGTERM)
        code, errors = running.end()
        assert (code, errors) == (0, ""), running.lines
        assert "stopped; run 0001 is kept" in running.lines[-1]
        stopped = [line for line in running.lines if line.endswith(": stopped")]
        assert len(stopped) == 8, running.lines
        assert marked(workspace) == []


@pytest.mark.process
def test_a_defect_in_the_loop_stops_every_service_in_order_and_is_one_line(tmp_path: Path):
    with up(tmp_path / "home", STAND_IN_DEFECT="1") as running:
        code, errors = running.end()
        assert code == 1
        assert errors == (
            "crucible: crucible up ended by KeyError: 'never'; the whole trace: "
            f"{tmp_path}/home/logs/up.log\n"
        )
        assert "Traceback" in (tmp_path / "home" / "logs" / "up.log").read_text()
        for name in ("cerebellum", "paper_venue", "prefect", "mlflow"):
            if any(f"{name}: starting" in line for line in running.lines):
                assert any(f"{name}: stopped" in line for line in running.lines), running.lines
        assert marked(tmp_path / "home") == []


@pytest.mark.process
def test_a_servers_message_full_of_markup_and_escapes_ends_up_in_order_to_the_letter(
    tmp_path: Path,
):
    with up(tmp_path / "home", STAND_IN_SAYS="no [/x] \x1b]0;title\x07 \x1b[2J here") as running:
        code, errors = running.end()
        assert code == 1
        reported = "no [/x] \\x1b]0;title\\x07 \\x1b[2J here"
        assert errors == f"crucible: {reported}\n"
        assert any(reported in line for line in running.lines)
        assert "\x1b" not in "".join(running.lines)
        assert marked(tmp_path / "home") == []


@pytest.mark.process
def test_a_terminal_that_is_gone_or_full_stops_nothing(tmp_path: Path):
    with up(tmp_path / "home", leave_at="everything is up") as running:
        running.wait_for("everything is up")
        # Nobody reads any more: what is said from now on meets a broken pipe.
        second = running.pid("mlflow")
        os.kill(second, signal.SIGKILL)

        def another() -> bool:
            assert running.process.poll() is None
            return running.pid_of_living("mlflow") not in {None, second}

        until(another, "another mlflow", seconds=30, pause=0.1)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
        assert marked(tmp_path / "home") == []


@pytest.mark.process
def test_a_services_file_that_was_emptied_is_written_anew(tmp_path: Path):
    with up(tmp_path / "home") as running:
        running.wait_for("everything is up")
        path = running.workspace.services_file
        path.write_text("")
        until(path.read_text, "the file", seconds=20, pause=0.05)
        assert read_json(path)["services"]["cerebellum"]["state"] == "up"


@pytest.mark.process
def test_who_set_an_address_is_alerted_to_a_part_that_ended_and_to_the_end_of_everything(
    tmp_path: Path,
):
    with receiving("s3cr3t") as receiver:
        address = {"CRUCIBLE_ALERTS__URLS": json.dumps([receiver.url])}
        with up(tmp_path / "home", **address) as running:
            running.wait_for("everything is up")
            os.kill(running.pid("mlflow"), signal.SIGKILL)
            until(lambda: receiver.titles == ["Ended: mlflow"], lambda: receiver.got, seconds=60)
            running.process.send_signal(signal.SIGTERM)
            code, errors = running.end()
            assert (code, errors) == (0, "")
            logged = running.lines
        assert receiver.titles == ["Ended: mlflow"]
        with up(tmp_path / "home", STAND_IN_DEFECT="1", **address) as running:
            code, errors = running.end()
            assert code == 1
            logged += running.lines
        assert receiver.titles == ["Ended: mlflow", "Crucible stops because of a fault"]
        assert "Run 0002" in receiver.got[1]["message"]
        logs = [path.read_text(errors="replace") for path in (tmp_path / "home").rglob("*.log")]
        assert not any("s3cr3t" in text for text in [errors, *logged, *logs])
