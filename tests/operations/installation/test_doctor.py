"""`crucible doctor` finds each planted fault by its name, and says how to mend it."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crucible.operations.installation import program_checks, workspace_checks
from crucible.operations.installation.doctor import examine
from crucible.operations.supervision import services
from crucible.operations.supervision.ownership import supervisor_of
from crucible.operations.workspace import Workspace
from crucible.settings import Settings
from crucible.testing.columns import MINUTE_MS, START_MS, sound_candles
from crucible.whereabouts import SOURCE
from tests.support.commands import call
from tests.support.disks import fill, mounted
from tests.support.processes import free_ports, python

STARTING = """
import os, time
from pathlib import Path
from crucible.operations.workspace import Workspace
with Workspace.at(Path(os.environ["CRUCIBLE_HOME"])).lock():
    print("up", flush=True)
    time.sleep(600)
"""
LASTING = "import sys, time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    """A workspace in order, as a first start leaves it."""
    for name in [name for name in os.environ if name.startswith("CRUCIBLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CRUCIBLE_SETTINGS_FILE", str(tmp_path / "crucible.toml"))
    ports = zip(("PREFECT", "MLFLOW", "DASHBOARD"), free_ports(3), strict=True)
    for name, port in ports:
        monkeypatch.setenv(f"CRUCIBLE_PORTS__{name}", str(port))
    made = Workspace.at(tmp_path / "workspace")
    made.create()
    made.ensure_keys()
    made.password()
    made.proof_key()
    folder = made.path / "lake" / "candles"
    folder.mkdir(parents=True)
    write(folder)
    return made


def write(folder: Path, **changes) -> None:
    columns = {name: values.copy() for name, values in sound_candles().items()}
    for name, (row, value) in changes.items():
        columns[name][row] = value
    pq.write_table(pa.table(columns), folder / "BTCUSDT-1m.parquet")


def states(workspace: Workspace) -> dict[str, str]:
    return {check.name: check.state for check in examine(workspace)}


def found(workspace: Workspace, name: str):
    return next(check for check in examine(workspace) if check.name == name)


@pytest.mark.process
def test_an_installation_in_order_passes_every_check(workspace):
    ended = call(workspace.path, "doctor", "--json")
    checks = json.loads(ended.stdout)["checks"]
    assert {check["name"]: check for check in checks if check["state"] != "ok"} == {}
    assert ended.code == 0
    assert {"name", "state", "found", "mend"} == set(checks[0])
    names = {check["name"] for check in checks}
    assert {"python", "packages", "binary cerebellum", "disk", "clock", "candles-gaps"} <= names


def spoil_mode(name: str):
    return lambda workspace: (workspace.path / name).chmod(0o644)


def spoil_candles(**changes):
    return lambda workspace: write(workspace.path / "lake" / "candles", **changes)


def spoil_schema(workspace: Workspace) -> None:
    columns = {name: values for name, values in sound_candles().items() if name != "volume"}
    pq.write_table(pa.table(columns), workspace.path / "lake" / "candles" / "BTCUSDT-1m.parquet")


def spoil_rates(workspace: Workspace) -> None:
    folder = workspace.path / "lake" / "funding"
    folder.mkdir()
    rates = {"ts": np.array([START_MS, START_MS]), "funding_rate": np.zeros(2)}
    pq.write_table(pa.table(rates), folder / "BTCUSDT-funding.parquet")


def spoil_proof(workspace: Workspace) -> None:
    (workspace.path / "proof.key").unlink()
    (workspace.mlflow / "mlflow.db").touch()


def spoil_clock(workspace: Workspace) -> None:
    later = time.time() + 7_200
    os.utime(workspace.keys_file, (later, later))


def spoil_run(workspace: Workspace) -> None:
    workspace.new_run()
    (workspace.path / "current").write_text("0017\n")


def spoil_ledger(workspace: Workspace) -> None:
    workspace.new_run().ledger.write_bytes(b"no ledger" * 200)


def spoil_journal(workspace: Workspace) -> None:
    workspace.new_run().journal.write_bytes(b"no journal" * 200)


def link_keys(workspace: Workspace) -> None:
    moved = workspace.keys_file.rename(workspace.path.parent / "keys.json")
    workspace.keys_file.symlink_to(moved)


def set_venue_keys(text: str | None, mode: int = 0o600):
    def spoil(workspace: Workspace) -> None:
        file = workspace.path.parent / "venue-keys.json"
        if text is not None:
            file.write_text(text)
            file.chmod(mode)
        settings_file(workspace).write_text(f'[execution]\nkeys_file = "{file}"\n')

    return spoil


def settings_file(workspace: Workspace) -> Path:
    return workspace.path.parent / "crucible.toml"


def replay(workspace: Workspace) -> Path:
    folder = workspace.path.parent / "own candles"
    workspace.configuration_file.write_text(json.dumps({"candles": str(folder)}))
    return folder


def spoil_replayed(workspace: Workspace) -> None:
    folder = replay(workspace)
    folder.mkdir()
    write(folder, high=(8, 1.0))


FAULTS = {
    "keys-file link": link_keys,
    "password empty": lambda workspace: workspace.password_file.write_text(""),
    "venue-keys-file missing": set_venue_keys(None),
    "venue-keys-file open": set_venue_keys("[]", 0o644),
    "venue-keys-file empty": set_venue_keys(""),
    "candles-folder": replay,
    "candles-values replayed": spoil_replayed,
    "keys-file": spoil_mode("keys.json"),
    "password": spoil_mode("password"),
    "proof-key": spoil_mode("proof.key"),
    "proof-key missing": spoil_proof,
    "permissions": lambda workspace: workspace.logs.chmod(0o755),
    "permissions writable": lambda workspace: workspace.path.chmod(0o777),
    "state-files": lambda workspace: workspace.services_file.write_text("{"),
    "state-files current": spoil_run,
    "candles-values": spoil_candles(high=(8, 1.0)),
    "candles-duplicates": spoil_candles(ts=(7, START_MS + 6 * MINUTE_MS)),
    "candles-times": spoil_candles(ts=(7, START_MS + 7 * MINUTE_MS + 1)),
    "candles-schema": spoil_schema,
    "funding": spoil_rates,
    "clock": spoil_clock,
    "ledger": spoil_ledger,
    "journal": spoil_journal,
}


@pytest.mark.process
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_by_its_name_and_no_other_check_fails(workspace, fault):
    FAULTS[fault](workspace)
    name = fault.split()[0]
    failed = [check for check in examine(workspace) if check.state == "fail"]
    assert {check.name for check in failed} == {name}
    assert failed[0].found
    assert failed[0].mend
    ended = call(workspace.path, "doctor", "--json")
    assert ended.code == 1
    assert f"failed: {name}" in ended.stderr


@pytest.mark.process
def test_gaps_warn_and_are_named(workspace):
    columns = {name: values[[0, 1, *range(9, 150)]] for name, values in sound_candles().items()}
    pq.write_table(pa.table(columns), workspace.path / "lake" / "candles" / "BTCUSDT-1m.parquet")
    check = found(workspace, "candles-gaps")
    assert check.state == "warn"
    assert "7 candles from 2025-01-01 00:02" in check.found


@pytest.mark.process
def test_a_taken_port_is_found_with_its_service(workspace, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("CRUCIBLE_PORTS__MLFLOW", str(taken.getsockname()[1]))
        check = found(workspace, "port mlflow")
    assert check.state == "fail"
    assert "is taken" in check.found
    assert "CRUCIBLE_PORTS__MLFLOW" in check.mend


@pytest.mark.process
def test_unreadable_settings_are_one_failed_check_and_the_others_go_on(workspace, monkeypatch):
    monkeypatch.setenv("CRUCIBLE_FORGE__POPULATION", "many")
    seen = states(workspace)
    assert seen["settings"] == "fail"
    assert seen["candles-gaps"] == seen["permissions"] == "ok"


@pytest.mark.process
def test_processes_that_a_killed_supervisor_left_are_found(workspace):
    environment = {
        **os.environ, "CRUCIBLE_HOME": str(workspace.path), "CRUCIBLE_SERVICE": "mlflow"
    }  # fmt: skip
    with python(LASTING, env=environment) as process:
        process.stdout.readline()
        check = found(workspace, "leftover-processes")
        assert check.state == "fail"
        assert str(process.pid) in check.found
        assert "crucible down" in check.mend


@pytest.mark.process
def test_an_unfinished_forge_run_is_found(workspace):
    (workspace.path / "forge" / "abc").mkdir(parents=True)
    (workspace.path / "forge" / "abc.lock").touch()
    check = found(workspace, "stale-forge-runs")
    assert check.state == "warn"
    assert "abc" in check.found


@pytest.mark.process
def test_a_missing_and_an_old_binary_are_found(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("CARGO_TARGET_DIR", str(tmp_path / "built"))
    assert found(workspace, "binary cerebellum").state == "fail"
    old = tmp_path / "built" / "release" / "cerebellum"
    old.parent.mkdir(parents=True)
    old.write_text("#!/bin/sh\necho cerebellum 0.0.9\n")
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    assert "is 0.0.9" in found(workspace, "binary cerebellum").found
    assert "make setup" in found(workspace, "binary cerebellum").mend


@pytest.mark.process
def test_a_file_of_venue_keys_in_order_is_said_to_be(workspace):
    set_venue_keys('[{"key": "k", "secret": "sesame"}]')(workspace)
    check = found(workspace, "venue-keys-file")
    assert (check.state, check.mend) == ("ok", "")
    assert "sesame" not in check.found


@pytest.mark.process
def test_a_disk_that_is_full_is_found(tmp_path):
    with mounted(tmp_path / "disk", "8m") as disk:
        workspace = Workspace.at(disk / "workspace")
        workspace.create()
        assert workspace_checks.disk(workspace).state == "ok"
        fill(disk)
        check = workspace_checks.disk(workspace)
    assert (check.name, check.state) == ("disk", "fail")
    assert "0 MB are free" in check.found
    assert "free some" in check.mend


def test_a_disk_that_does_not_answer_is_a_failed_check_and_the_others_go_on(workspace, monkeypatch):
    def broken(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(workspace_checks.shutil, "disk_usage", broken)
    monkeypatch.setattr(program_checks, "binaries", list)
    checks = {check.name: check for check in examine(workspace)}
    assert checks["disk"].state == "fail"
    assert "Input/output error" in checks["disk"].found
    assert checks["disk"].mend
    assert checks["permissions"].state == checks["candles-gaps"].state == "ok"


def test_a_clock_of_years_ago_is_found(workspace, monkeypatch):
    monkeypatch.setattr(workspace_checks.time, "time", lambda: 0.0)
    check = workspace_checks.clock(workspace, None)
    assert check.state == "fail"
    assert "1970-01-01" in check.found
    assert "timedatectl" in check.mend


@pytest.fixture
def venue_clock(monkeypatch) -> Iterator[dict]:
    """A venue outside whose clock the test sets; what it answers."""
    answers: dict = {"off_ms": 0, "body": None}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/v5/market/time"
            now = time.time_ns() // 1_000_000 + answers["off_ms"]
            body = answers["body"] or json.dumps({"retCode": 0, "time": now})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answers["server"] = server
    monkeypatch.setattr(services, "TESTNET_URL", f"http://127.0.0.1:{server.server_port}")
    yield answers
    server.shutdown()
    server.server_close()


def clock_against_venue(workspace: Workspace):
    settings = Settings(
        home=workspace.path, execution={"venue": "testnet"}, forge={"policy": "strict"}
    )
    return workspace_checks.clock(workspace, settings)


@pytest.mark.process
@pytest.mark.parametrize(("off_ms", "state"), [(0, "ok"), (600_000, "fail"), (-600_000, "fail")])
def test_a_clock_that_is_not_the_venues_is_found(workspace, venue_clock, off_ms, state):
    venue_clock["off_ms"] = off_ms
    check = clock_against_venue(workspace)
    assert (check.name, check.state) == ("clock", state)
    assert ("timedatectl" in check.mend) == (state == "fail")
    assert "ms from" in check.found


@pytest.mark.process
@pytest.mark.parametrize("body", ["no json", "{}", "[]", '{"time": null}', '{"time": 1e999}'])
def test_a_venue_that_does_not_tell_its_time_is_a_warning(workspace, venue_clock, body):
    venue_clock["body"] = body
    check = clock_against_venue(workspace)
    assert (check.name, check.state) == ("clock", "warn")
    assert "did not tell its time" in check.found


@pytest.mark.process
def test_a_venue_that_is_not_reached_is_a_warning(workspace, venue_clock):
    venue_clock["server"].shutdown()
    venue_clock["server"].server_close()
    assert clock_against_venue(workspace).state == "warn"


@pytest.mark.process
def test_a_stack_that_starts_is_up_before_it_has_written_its_first_file(workspace, tmp_path):
    """What its services run is then no leftover of anybody."""
    starting = tmp_path / "up"
    starting.write_text(STARTING)
    environment = {
        **os.environ, "CRUCIBLE_HOME": str(workspace.path), "CRUCIBLE_SERVICE": "mlflow"
    }  # fmt: skip
    command = [sys.executable, str(starting), "up"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, cwd=SOURCE) as process:
        try:
            process.stdout.readline()
            assert supervisor_of(workspace).pid == process.pid
            assert found(workspace, "leftover-processes").state == "ok"
        finally:
            process.kill()
    assert supervisor_of(workspace) is None


def test_a_package_of_another_version_or_none_is_found(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("rich==1.0.0 \\\n    --hash=sha256:00\nno-such-package==3.1\n")
    check = program_checks.packages(lock)
    assert check.state == "fail"
    assert "rich is" in check.found
    assert "locked is 1.0.0" in check.found
    assert "no-such-package 3.1 is missing" in check.found
    assert program_checks.packages(tmp_path / "no").state == "warn"


def test_another_python_is_found(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    assert program_checks.python().state == "fail"


def test_a_check_that_breaks_does_not_keep_the_others_from_being_done(workspace, monkeypatch):
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(program_checks, "packages", broken)
    monkeypatch.setattr(program_checks, "binaries", list)
    seen = states(workspace)
    assert seen["packages"] == "fail"
    assert seen["candles-gaps"] == "ok"


def test_where_nothing_was_ever_started_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(program_checks, "binaries", list)
    assert states(Workspace.at(tmp_path / "never"))["permissions"] == "warn"
    assert not (tmp_path / "never").exists()
