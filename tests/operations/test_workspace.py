"""A workspace is one independent system, and no reader ever sees half a file."""

import os
import stat
import time
from pathlib import Path

import pytest

from crucible.ledger.reader import LedgerReader
from crucible.operations.errors import AlreadyRunningError, WorkspaceError
from crucible.operations.workspace import Run, Workspace, read_json, write_json
from tests.support.processes import python


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.at(tmp_path / "home")
    made.create()
    return made


def test_keys_are_random_private_and_made_once(workspace: Workspace, tmp_path: Path):
    first = workspace.ensure_keys().read_text()
    other = Workspace.at(tmp_path / "other")
    other.create()

    assert stat.S_IMODE(workspace.keys_file.stat().st_mode) == 0o600
    assert workspace.ensure_keys().read_text() == first
    assert other.ensure_keys().read_text() != first
    assert read_json(workspace.keys_file)[0]["usdt"] == "100000"


def test_runs_are_listed_in_the_order_in_which_they_were_made(workspace: Workspace):
    for name in ("10000", "0002", "9999", "notes"):
        (workspace.runs / name).mkdir(parents=True)
    assert [run.run_id for run in workspace.every_run()] == ["0002", "9999", "10000"]


def test_a_new_run_never_reuses_a_number(workspace: Workspace):
    first = workspace.new_run()
    second = workspace.new_run()
    first.path.rmdir()

    assert workspace.new_run().run_id > second.run_id > first.run_id
    current = workspace.current()
    assert current is not None
    assert current.run_id == "0003"


@pytest.mark.process
def test_a_home_has_one_owner_and_is_free_again_when_the_owner_dies(workspace: Workspace):
    code = (
        "import sys, time; from pathlib import Path; from crucible.operations.workspace import Workspace\n"
        f"with Workspace(Path({str(workspace.path)!r})).lock(): print('held', flush=True); time.sleep(60)"
    )
    with python(code) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunningError, match=f"pid {holder.pid}"), workspace.lock():
            pass

    with workspace.lock():
        assert (workspace.path / "up.lock").read_text() == str(os.getpid())


def test_a_home_is_held_even_where_its_lock_file_was_removed(workspace: Workspace):
    with workspace.lock():
        (workspace.path / "up.lock").unlink()
        with pytest.raises(AlreadyRunningError, match="already up"), workspace.lock():
            pass


def test_a_run_that_cannot_be_locked_is_named(workspace: Workspace):
    workspace.run("0001").path.mkdir(parents=True)
    workspace.run("0001").ledger.symlink_to("/nonexistent/folder/ledger")
    with pytest.raises(WorkspaceError, match=r"runs/0001: cannot be locked"):
        enter(workspace.run("0001"))


ARENA = """
import sys, time
from pathlib import Path
from crucible.ledger.ledger import Ledger
from crucible.operations.workspace import Run
run = Run("0001", Path({path!r}))
with run.only_arena(), Ledger(run.ledger) as ledger:
    ledger.set_market_ts(1)
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.process
def test_a_second_arena_is_refused_by_every_path_and_whatever_the_clock_says(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = workspace.new_run()
    code = ARENA.format(path=str(run.path))
    with python(code) as holder:
        assert holder.stdout.readline() == "held\n"
        linked = tmp_path / "linked"
        linked.symlink_to(workspace.path)
        copied = workspace.new_run()
        copied.ledger.hardlink_to(run.ledger)
        for left in run.path.glob("*.lock"):
            left.unlink()
        monkeypatch.setattr(time, "time", lambda: 4_102_444_800.0)
        monkeypatch.chdir(run.path)
        for path in (run.path, linked / "runs" / "0001", Path(), Path("../0001"), copied.path):
            with pytest.raises(AlreadyRunningError, match="another arena trades this run"):
                enter(Run("0001", path))

    enter(run)
    with LedgerReader(run.ledger) as ledger:
        assert ledger.market_ts() == 1


def enter(run: Run) -> None:
    with run.only_arena():
        pass


def test_a_deep_home_still_has_a_short_private_socket_folder(tmp_path: Path):
    workspace = Workspace.at(tmp_path / ("deep/" * 30))
    workspace.create()

    assert len(str(workspace.socket_folder / "commands.sock")) < 100
    assert stat.S_IMODE(workspace.socket_folder.stat().st_mode) == 0o700
    assert workspace.socket_folder != Workspace.at(tmp_path / "elsewhere").socket_folder


def test_a_socket_folder_open_to_others_is_refused(workspace: Workspace):
    workspace.socket_folder.chmod(0o755)
    with pytest.raises(WorkspaceError, match="only you can open"):
        workspace.create()


def test_a_file_is_replaced_whole_and_leaves_no_part_behind(tmp_path: Path):
    path = tmp_path / "services.json"
    write_json(path, {"a": 1})
    inode = path.stat().st_ino
    write_json(path, {"a": 2})

    assert read_json(path) == {"a": 2}
    assert path.stat().st_ino != inode
    assert [entry.name for entry in tmp_path.iterdir()] == ["services.json"]


def test_a_damaged_file_is_named(tmp_path: Path):
    path = tmp_path / "world.json"
    path.write_text("{")
    with pytest.raises(WorkspaceError, match=r"world\.json"):
        read_json(path)
    assert read_json(tmp_path / "absent.json") is None


def test_a_run_that_is_not_there_is_named_beside_those_that_are(tmp_path: Path):
    workspace = Workspace.at(tmp_path / "home")
    with pytest.raises(
        WorkspaceError, match=r"nothing has run here yet; start the stack: crucible up"
    ):
        workspace.chosen_run(None)
    workspace.create()
    first = workspace.new_run()
    assert workspace.chosen_run(None) == first == workspace.chosen_run("0001")
    with pytest.raises(WorkspaceError, match=r"has no run '9'; it has 0001$"):
        workspace.chosen_run("9")


def test_a_password_before_the_first_start_names_the_start(tmp_path: Path):
    with pytest.raises(WorkspaceError, match=r"no such folder yet; .*: crucible up"):
        Workspace.at(tmp_path / "home").password()
