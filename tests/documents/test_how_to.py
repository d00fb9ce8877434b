"""What the how-to pages tell a person to write is understood by what reads it."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import tarfile
import tomllib
from pathlib import Path
from shutil import which

import pytest
from typer.main import get_command

from crucible.cli import app
from crucible.forge.reporting.folder import CHAMPION
from crucible.operations.market_configuration import MarketConfiguration
from crucible.operations.supervision import services
from crucible.operations.supervision.services import Ports
from crucible.operations.workspace import Workspace
from crucible.settings import Settings
from tests.support.markdown import blocks_of, not_shown
from tests.support.processes import REPOSITORY

SERVICE = "docs/how-to/run-it-as-a-service.md"
TEAM = "docs/how-to/work-as-a-team.md"
TESTNET = "docs/how-to/trade-on-bybit-testnet.md"


def only(page: str, language: str) -> str:
    """The one block of a language on a page."""
    found = [block.text for block in blocks_of(page) if block.language == language]
    assert len(found) == 1
    return found[0]


def unit() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read_string(only(SERVICE, "ini"))
    return parsed


def test_the_unit_starts_the_stack_and_stops_it_by_its_supervisor_alone():
    service = unit()["Service"]
    program, command, *options = service["ExecStart"].split()
    assert program == "%h/crucible/.venv/bin/crucible"
    known = {
        name
        for one in get_command(app).commands[command].params  # type: ignore[attr-defined]
        for name in (*one.opts, *one.secondary_opts)
    }
    assert command == "up"
    assert set(options) <= known
    assert "--detach" not in options  # what is watched must not leave
    assert service["KillMode"] == "mixed"


def test_the_unit_waits_for_as_long_as_the_services_may_take_to_end(tmp_path):
    workspace = Workspace.at(tmp_path / "workspace")
    workspace.create()
    ports = Ports(prefect=4200, mlflow=5000, dashboard=8400, paper_venue=8300)
    market = MarketConfiguration("simulated", ("BTCUSDT",), 7, 1_000, 60_000, 0)
    settings = Settings(home=workspace.path)
    run = workspace.new_run()
    ready = {"rest": "http://127.0.0.1:8300", "ws": "ws://127.0.0.1:8300"}
    graces = [
        services.prefect(ports).grace_s,
        services.worker(run).grace_s,
        services.selection().grace_s,
        services.mlflow(workspace, ports).grace_s,
        services.paper_venue(settings, workspace, ports, market).grace_s,
        services.cerebellum(settings, workspace, run, market, ready).grace_s,
        services.dashboard(ports).grace_s,
    ]
    assert sum(graces) < float(unit()["Service"]["TimeoutStopSec"]) < 120


@pytest.mark.process
def test_systemd_understands_the_unit(tmp_path):
    program = which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze on this machine")
    file = tmp_path / "crucible.service"
    # It looks for the program and the folder: those of the page are a person's own.
    text = only(SERVICE, "ini").replace("%h/crucible/.venv/bin/crucible", "/bin/true")
    file.write_text(text.replace("%h/crucible", "/"))
    done = subprocess.run(
        [program, "verify", "--user", "--man=no", file],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "Failed to initialize manager" in done.stderr:
        pytest.skip(f"systemd cannot be asked here: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.process
def test_a_backup_holds_what_cannot_be_had_again_and_leaves_out_what_can(tmp_path):
    workspace = tmp_path / "workspace"
    kept = ["mlflow/mlflow.db", "runs/0001/journal.sqlite", "runs/0001/ledger.sqlite", "current"]
    kept += ["proof.key", "world.json", "lake/books/BTCUSDT.parquet", "models/influence.npz"]
    left = ["cache/features/a", "logs/up.log", "downloads/x", "lake/candles/a", "lake/funding/a"]
    for name in (*kept, *left):
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text(name)
    (workspace / "proof.key").chmod(0o600)
    backup, restored = tmp_path / "backup.tar.gz", tmp_path / "restored"
    environment = {
        "CRUCIBLE_HOME": str(workspace),
        "BACKUP": str(backup),
        "RESTORED": str(restored),
    }
    for block in blocks_of(SERVICE):
        if block.heading == "Back it up":
            # Only what copies; the commands of the product are carried out against a stack elsewhere.
            lines = block.text.replace("\\\n", " ").splitlines()
            own = [line for line in lines if not re.match(r"(CRUCIBLE_HOME=\S+ )?crucible ", line)]
            subprocess.run(
                ["bash", "-euc", "\n".join(own)],
                check=True,
                env={**environment, "PATH": "/usr/bin:/bin"},
            )
    with tarfile.open(backup) as archive:
        names = {member.name.removeprefix("./") for member in archive if member.isfile()}
    assert names == set(kept)
    assert (restored / "proof.key").read_text() == "proof.key"
    assert backup.stat().st_mode & 0o077 == 0
    assert (restored / "proof.key").stat().st_mode & 0o777 == 0o600


def test_what_a_backup_leaves_out_may_be_deleted_by_the_word_of_the_data_page():
    page = (REPOSITORY / "data/README.md").read_text(encoding="utf-8")
    script = "".join(block.text for block in blocks_of(SERVICE) if block.heading == "Back it up")
    for name in re.findall(r"--exclude=\./(\S+)", script):
        rows = [line for line in page.splitlines() if line.startswith(f"| `{name}")]
        assert rows, name
        assert all("| yes" in row for row in rows), name


@pytest.mark.parametrize("page", [TEAM, TESTNET])
def test_settings_that_a_page_shows_are_accepted(page, tmp_path, monkeypatch):
    file = tmp_path / "crucible.toml"
    file.write_text("\n".join(block.text for block in blocks_of(page) if block.language == "toml"))
    assert tomllib.loads(file.read_text())
    monkeypatch.setenv("CRUCIBLE_SETTINGS_FILE", str(file))
    monkeypatch.delenv("CRUCIBLE_HOME", raising=False)
    settings = Settings()
    assert settings.forge.dask == "tcp://10.0.0.1:8786" or settings.execution.venue == "testnet"


def test_no_database_and_no_server_but_the_workspaces_own_can_be_named(tmp_path):
    workspace = Workspace.at(tmp_path / "workspace")
    workspace.create()
    ports = Ports(prefect=4200, mlflow=5000, dashboard=8400, paper_venue=8300)
    market = MarketConfiguration("simulated", ("BTCUSDT",), 7, 1_000, 60_000, 0)
    base = {
        "PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://elsewhere/prefect",
        "MLFLOW_BACKEND_STORE_URI": "postgresql://elsewhere/mlflow",
        "MLFLOW_TRACKING_URI": "http://elsewhere:5000",
    }
    settings = Settings(home=workspace.path)
    given = services.environment(settings, workspace, workspace.new_run(), ports, market, base)
    assert "elsewhere" not in "".join(given.values())
    assert given["PREFECT_API_DATABASE_CONNECTION_URL"].startswith("sqlite")
    assert "sqlite" in " ".join(services.mlflow(workspace, ports).command)


def test_the_file_of_a_strategy_has_the_name_that_the_page_says():
    assert f"`{CHAMPION}`" in (REPOSITORY / TEAM).read_text(encoding="utf-8")


def test_an_output_that_lacks_what_a_page_shows_is_seen():
    assert not_shown("run ...: up\n", "run 0001:   up") == []
    assert not_shown("run ...: up\ndown\n", "run 0001: up") == ["down"]
    assert Path(REPOSITORY / SERVICE).is_file()
