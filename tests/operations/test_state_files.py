"""A state file that is emptied, cut, or of another shape is named with the next step; nobody guesses."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from crucible.dashboard.app import make_app
from crucible.errors import CrucibleError
from crucible.features.influence.mapper import InfluenceArrays
from crucible.forge.evolution.checkpoint import read_checked
from crucible.ledger.ledger import Ledger
from crucible.operations.errors import WorkspaceError
from crucible.operations.market_configuration import open_configuration, open_outside
from crucible.operations.workspace import Workspace, read_json, write_json
from tests.support.disks import fill, mounted
from tests.support.documented import answers, lacking

WHOLE = {
    "services.json": {
        "supervisor": None,
        "run": "0001",
        "services": {"mlflow": {"state": "up", "address": "", "event": "", "pid": None}},
    },
    "world.json": {
        "market": "venue",
        "symbols": ["BTCUSDT"],
        "seed": 7,
        "origin_ms": 1,
        "start_ms": 2,
        "last_market_ms": 3,
        "candles": None,
        "end_ms": None,
    },
    "arena.json": {"market_ts": 60_000, "agents": [{"agent": "a@1", "pnl": "1.5", "trades": 2}]},
    "keys.json": [{"key": "k", "secret": "s", "usdt": "100000"}],
    "run.json": {"run": "0001", "prefect": "http://127.0.0.1:4200", "symbols": ["BTCUSDT"]},
    "statement.json": {"initial": "1", "wallet": "1", "positions": [], "executions": []},
}
OTHER_SHAPES = {
    "services.json": [
        [],
        1,
        "x",
        {"services": []},
        {"services": {"mlflow": 1}},
        {"services": {"mlflow": {"address": 5}}},
        {"services": {"mlflow": {"pid": "1"}}},
        {"run": 1},
    ],
    "world.json": [[], {"symbols": "BTCUSDT"}, {"origin_ms": "1"}, {"last_market_ms": None}],
    "arena.json": [
        [],
        {"agents": {}},
        {"agents": [1]},
        {"agents": [{"pnl": "one"}]},
        {"market_ts": "x"},
    ],
    "keys.json": [{}, [], [1], [{"key": "k"}], [{"key": "k", "secret": "s", "usdt": "many"}]],
    "run.json": [[], {"prefect": 1}, {"symbols": "BTCUSDT"}],
    "statement.json": [[], {}, {**WHOLE["statement.json"], "wallet": "x"}],
}
NOT_JSON = [b"", b"\0" * 64, b"\n", b"{", b'{"a": ', b"\xff\xfe", b"[" * 100_000, b"9" * 5_000]


@pytest.mark.parametrize("name", WHOLE)
def test_each_state_file_is_read_whole_or_refused_with_its_name_and_the_next_step(
    tmp_path: Path, name: str
):
    path = tmp_path / name
    assert read_json(path) is None
    write_json(path, WHOLE[name])
    assert read_json(path) == WHOLE[name]
    contents = NOT_JSON + [json.dumps(value).encode() for value in OTHER_SHAPES[name]]
    contents += [path.read_bytes()[:size] for size in range(1, path.stat().st_size - 2, 7)]
    for content in contents:
        path.write_bytes(content)
        if (name, content) == ("keys.json", b"[]"):
            continue  # no account: told by whoever needs one
        with pytest.raises(WorkspaceError) as caught:
            read_json(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert "; " in message
        assert "Traceback" not in message
    path.unlink()
    path.mkdir()
    with pytest.raises(WorkspaceError, match="cannot be read"):
        read_json(path)


@pytest.mark.parametrize(
    "content", ["", "\0\0\0\0", "\n", "..", "0009", "run 1", "../0001", "\u0660\u0660\u0660\u0661"]
)
def test_a_damaged_current_is_refused_and_never_taken_for_a_run(tmp_path: Path, content: str):
    workspace = Workspace.at(tmp_path / "home")
    workspace.create()
    workspace.new_run()
    newest = workspace.new_run()
    (workspace.path / "current").write_text(content)
    with pytest.raises(
        WorkspaceError, match=r"current: names no run .* the newest is 0002.*echo 0002 >"
    ):
        workspace.current()
    (workspace.path / "current").unlink()
    with pytest.raises(WorkspaceError, match="names no run"):
        workspace.current()
    (workspace.path / "current").write_text(newest.run_id)
    assert workspace.current() == newest
    # A paper start makes a new run, whatever the file says.
    (workspace.path / "current").write_text(content)
    assert workspace.new_run().run_id == "0003"
    assert workspace.current() == workspace.run("0003")


def test_a_world_that_cannot_be_read_starts_nothing(tmp_path: Path):
    workspace = Workspace.at(tmp_path / "home")
    workspace.create()
    workspace.configuration_file.write_text("")
    with pytest.raises(WorkspaceError, match=r"world\.json: is empty, as after a loss of power"):
        open_outside(workspace, symbols=("BTCUSDT",), seed=1, history_days=3, now_ms=10**12)
    with pytest.raises(WorkspaceError, match=r"world\.json"):
        open_configuration(
            workspace, symbols=None, default_symbols=("BTCUSDT",), seed=1, history_days=3
        )


def command(workspace: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("crucible")
    environment = {**os.environ, "CRUCIBLE_HOME": str(workspace), "COLUMNS": "200"}
    return subprocess.run(
        [program, *words], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.process
def test_every_command_tells_a_damaged_file_in_one_line_and_the_page_goes_on(tmp_path: Path):
    workspace = Workspace.at(tmp_path / "home")
    workspace.create()
    run = workspace.new_run()
    for path in (workspace.services_file, run.arena, workspace.path / "current", run.facts):
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(b"")
        # Each time a page of its own: an answer is kept for a second.
        client = TestClient(make_app(workspace))
        answer = client.get("/api/overview")
        assert answer.status_code == 503
        assert str(path) in answer.json()["error"]
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
        assert client.get("/api/overview").status_code == 200
    (workspace.path / "current").write_bytes(b"")
    for words in (("status",), ("report",)):
        done = command(workspace.path, *words)
        assert done.returncode == 1
        assert done.stderr.startswith(f"crucible: {workspace.path}/current: names no run")
        assert done.stderr.count("\n") == 1


@pytest.mark.process
def test_status_shows_foreign_markup_and_escapes_to_the_letter(tmp_path: Path):
    workspace = Workspace.at(tmp_path / "home")
    workspace.create()
    run = workspace.new_run()
    foreign = "no [/x] [bold]\x1b]0;title\x07\x1b[2J\ud800 :smile:"
    entry = {"state": "up", "address": "http://127.0.0.1:1/[/y]", "event": foreign, "pid": None}
    write_json(workspace.services_file, {"services": {"mlflow": entry, "cerebellum": entry}})
    agent = {"agent": "a[/z]@1", "role": foreign, "last_signal": foreign, "last_event": foreign}
    write_json(run.arena, {"market_ts": 60_000, "agents": [agent]})
    done = command(workspace.path, "status")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout
    assert "a[/z]@1" in done.stdout
    flat = " ".join(done.stdout.split())
    assert "[/x]" in flat
    assert "\\x1b]0;title" in flat
    assert ":smile:" in flat
    assert json.loads(command(workspace.path, "status", "--json").stdout)["agents"] == [agent]


PROMISED = answers("State files")


def reported(path: Path, content: bytes, read: Callable[[Path], object]) -> str:
    path.write_bytes(content)
    with pytest.raises(CrucibleError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def checkpoint(path: Path) -> object:
    return read_checked(path, "crucible.forge-checkpoint/1")


DAMAGED = {
    "emptied-state": ("arena.json", [b"", b"\0" * 512], read_json),
    "cut-state": ("services.json", [b"{", b'{"services": {"a', b"\xff"], read_json),
    "other-state": ("world.json", [b"[]", b'{"symbols": 1}'], read_json),
    "emptied-checkpoint": ("checkpoint.json", [b"", b"\0" * 9, b"[" * 99_999], checkpoint),
    "emptied-influence": ("influence.npz", [b"", b"\0" * 512, b"PK\x03\x04"], InfluenceArrays.load),
    "no-ledger": ("ledger.sqlite", [b"not a database, and long enough to tell"], Ledger),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_comes_back_damaged_gets_the_answer_of_the_reference(tmp_path: Path, case: str):
    name, contents, read = DAMAGED[case]
    for content in contents:
        assert lacking(PROMISED[case], reported(tmp_path / name, content, read)) == []


@pytest.mark.process
def test_a_damaged_current_and_a_full_disk_get_the_answer_of_the_reference(tmp_path: Path):
    workspace = Workspace.at(tmp_path / "home")
    workspace.create()
    workspace.new_run()
    workspace.new_run()
    (workspace.path / "current").write_text("")
    with pytest.raises(WorkspaceError) as caught:
        workspace.current()
    assert lacking(PROMISED["damaged-current"], str(caught.value)) == []
    with mounted(tmp_path / "disk", "64k") as disk:
        fill(disk)
        with pytest.raises(CrucibleError) as full:
            write_json(disk / "world.json", {"market": "x"})
    assert lacking(PROMISED["full-disk"], str(full.value)) == []
    assert PROMISED.keys() == DAMAGED.keys() | {"damaged-current", "full-disk"}
