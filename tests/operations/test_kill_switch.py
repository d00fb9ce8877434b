"""`crucible kill` needs a living Cerebellum and nothing else: no folder, no settings, no file in order."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crucible.execution.cerebellum_link import Addresses, CerebellumLink
from crucible.operations.workspace import Workspace
from tests.support.documented import answers, lacking
from tests.support.processes import cerebellum_command, python, running, venue_command, write_keys

pytestmark = pytest.mark.process

PROMISED = answers("Homes, secrets and proofs")
PROGRAM = Path(sys.executable).with_name("crucible")
BROKEN = 'home = "{home}"\n[market\nspeed = fast\n'


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace whose Cerebellum lives; its services.json is as the stack writes it."""
    folder = tmp_path_factory.mktemp("kill")
    workspace = Workspace.at(folder / "home")
    workspace.create()
    keys, log = write_keys(folder), folder / "processes.log"
    venue_words = venue_command(folder, keys, "BTCUSDT", speed=10, days=1)
    with running(venue_words, log) as (_, venue):
        words = cerebellum_command(folder, keys, "BTCUSDT", venue)
        words[words.index("--run-folder") + 1] = str(workspace.socket_folder)
        with running(words, log) as (_, ready):
            services = {"cerebellum": {"ready": ready}}
            workspace.services_file.write_text(json.dumps({"services": services}))
            yield workspace


def crucible(workspace: Workspace, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Give a command in another folder, where every setting is broken."""
    (folder / "broken.toml").write_text(BROKEN.format(home=workspace.path))
    environment = {name: value for name, value in os.environ.items() if name != "CRUCIBLE_HOME"}
    environment |= {
        "CRUCIBLE_SETTINGS_FILE": str(folder / "broken.toml"),
        "CRUCIBLE_MARKET__SPEED": "fast",
        "CRUCIBLE_DEPLOYMENT": "{",
    }
    command = [str(PROGRAM), *words]
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


def state(workspace: Workspace) -> str:
    folder = workspace.socket_folder
    names = (f"ipc://{folder / name}" for name in ("commands", "events", "market"))
    with CerebellumLink(Addresses(*names)) as link:
        return link.snapshot().state


def test_it_halts_from_any_folder_with_every_setting_broken(workspace: Workspace, tmp_path: Path):
    done = crucible(workspace, tmp_path, "kill", "--yes")
    assert done.returncode == 0, done.stderr
    assert "halted" in done.stdout
    assert lacking(PROMISED["broken-settings"], done.stderr) == []
    assert f"the workspace is {workspace.path}, by a line of" in done.stderr
    assert state(workspace) == "HALTED"
    assert crucible(workspace, tmp_path, "resume", "--operator", "me").returncode == 0
    assert state(workspace) == "ACTIVE"
    assert "broken.toml cannot be read" in crucible(workspace, tmp_path, "status").stderr


@pytest.mark.parametrize("damage", [None, "", "{", "[]"])
def test_it_halts_with_the_file_that_names_the_sockets_damaged(
    workspace: Workspace, tmp_path: Path, damage
):
    held = workspace.services_file.read_text()
    if damage is None:
        workspace.services_file.unlink()
    else:
        workspace.services_file.write_text(damage)
    try:
        done = crucible(workspace, tmp_path, "kill", "--yes")
        assert done.returncode == 0, done.stderr
        assert lacking(PROMISED["damaged-services"], done.stderr) == []
        assert f"{workspace.socket_folder} are used" in done.stderr
        assert state(workspace) == "HALTED"
        assert crucible(workspace, tmp_path, "resume", "--operator", "me").returncode == 0
    finally:
        workspace.services_file.write_text(held)


def test_a_home_without_cerebellum_names_the_homes_in_which_something_runs(tmp_path: Path):
    empty, other = Workspace.at(tmp_path / "empty"), tmp_path / "other"
    empty.create()
    environment = {**os.environ, "CRUCIBLE_HOME": str(other), "CRUCIBLE_SERVICE": "test"}
    code = "import time; print('here', flush=True); time.sleep(60)"
    with python(code, env=environment) as process:
        assert process.stdout.readline() == "here\n"
        done = crucible(empty, tmp_path, "kill", "--yes")
    assert done.returncode == 1
    assert f"CRUCIBLE_HOME={other}" in done.stderr


def test_one_symbol_or_one_agent_is_halted_and_let_go_on(workspace: Workspace, tmp_path: Path):
    def scopes() -> dict[tuple[str | None, str | None], str]:
        names = (
            f"ipc://{workspace.socket_folder / name}" for name in ("commands", "events", "market")
        )
        with CerebellumLink(Addresses(*names)) as link:
            return {(each.agent, each.symbol): each.state for each in link.snapshot().states}

    agent = "BTCUSDT-gp-1@1"
    done = crucible(workspace, tmp_path, "halt", "--agent", agent, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "agent": agent, "symbol": None, "before": "ACTIVE", "state": "HALTED"
    }  # fmt: skip
    assert scopes()[agent, None] == "HALTED"
    assert state(workspace) == "ACTIVE"
    done = crucible(workspace, tmp_path, "halt", "--symbol", "BTCUSDT")
    assert "crucible resume --operator NAME --symbol BTCUSDT" in done.stdout
    assert scopes()[None, "BTCUSDT"] == "HALTED"
    for option in (("--agent", agent), ("--symbol", "BTCUSDT")):
        done = crucible(workspace, tmp_path, "resume", "--operator", "me", *option, "--json")
        assert json.loads(done.stdout)["before"] == "HALTED"
    assert set(scopes().values()) <= {"ACTIVE"}
    assert crucible(workspace, tmp_path, "halt").returncode == 0
    assert state(workspace) == "HALTED"
    assert crucible(workspace, tmp_path, "resume", "--operator", "me").returncode == 0


def test_a_misspelt_agent_is_refused_where_it_is_known_who_runs(workspace, tmp_path):
    run = workspace.new_run()
    run.arena.write_text(json.dumps({"agents": [{"agent": "BTCUSDT-gp-1@12"}]}))
    done = crucible(workspace, tmp_path, "halt", "--agent", "BTCUSDT-gp-1@21")
    assert done.returncode == 1
    assert "the nearest is BTCUSDT-gp-1@12" in done.stderr
    assert state(workspace) == "ACTIVE"
