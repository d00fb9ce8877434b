"""A home is one independent system, and no reader ever sees half a file."""

import os
import stat
import time
from pathlib import Path

import pytest

from crucible.ledger.reader import LedgerReader
from crucible.operations.errors import AlreadyRunningError, HomeError
from crucible.operations.workspace import Home, Run, read_json, write_json
from tests.support.processes import python


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path / "home")
    made.create()
    return made


def test_keys_are_random_private_and_made_once(home: Home, tmp_path: Path):
    first = home.ensure_keys().read_text()
    other = Home.at(tmp_path / "other")
    other.create()

    assert stat.S_IMODE(home.keys_file.stat().st_mode) == 0o600
    assert home.ensure_keys().read_text() == first
    assert other.ensure_keys().read_text() != first
    assert read_json(home.keys_file)[0]["usdt"] == "100000"


def test_a_new_run_never_reuses_a_number(home: Home):
    first = home.new_run()
    second = home.new_run()
    first.path.rmdir()

    assert home.new_run().run_id > second.run_id > first.run_id
    current = home.current()
    assert current is not None
    assert current.run_id == "0003"


@pytest.mark.process
def test_a_home_has_one_owner_and_is_free_again_when_the_owner_dies(home: Home):
    code = (
        "import sys, time; from pathlib import Path; from crucible.operations.workspace import Home\n"
        f"with Home(Path({str(home.path)!r})).lock(): print('held', flush=True); time.sleep(60)"
    )
    with python(code) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunningError, match=f"pid {holder.pid}"), home.lock():
            pass

    with home.lock():
        assert (home.path / "up.lock").read_text() == str(os.getpid())


def test_a_home_is_held_even_where_its_lock_file_was_removed(home: Home):
    with home.lock():
        (home.path / "up.lock").unlink()
        with pytest.raises(AlreadyRunningError, match="already up"), home.lock():
            pass


def test_a_run_that_cannot_be_locked_is_named(home: Home):
    home.run("0001").path.mkdir(parents=True)
    home.run("0001").ledger.symlink_to("/nonexistent/folder/ledger")
    with pytest.raises(HomeError, match=r"runs/0001: cannot be locked"):
        enter(home.run("0001"))


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
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = home.new_run()
    code = ARENA.format(path=str(run.path))
    with python(code) as holder:
        assert holder.stdout.readline() == "held\n"
        linked = tmp_path / "linked"
        linked.symlink_to(home.path)
        copied = home.new_run()
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
    home = Home.at(tmp_path / ("deep/" * 30))
    home.create()

    assert len(str(home.socket_folder / "commands.sock")) < 100
    assert stat.S_IMODE(home.socket_folder.stat().st_mode) == 0o700
    assert home.socket_folder != Home.at(tmp_path / "elsewhere").socket_folder


def test_a_socket_folder_open_to_others_is_refused(home: Home):
    home.socket_folder.chmod(0o755)
    with pytest.raises(HomeError, match="only you can open"):
        home.create()


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
    with pytest.raises(HomeError, match=r"world\.json"):
        read_json(path)
    assert read_json(tmp_path / "absent.json") is None
