"""A file is the old one or the new one, also after a cut of power; a failure is told, and leaves nothing."""

import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crucible.files import (
    WriteError,
    append_line,
    make_folder,
    move_folder,
    remove_parts,
    replacing,
    show_text,
    write_atomic,
    write_json,
    write_text,
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the disk, in order; everything is really done."""
    seen: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        seen.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        size = os.fstat(descriptor).st_size
        seen[-1] += f" of {size}" if stat.S_ISREG(os.fstat(descriptor).st_mode) else ""
        fsync(descriptor)

    def replaced(source: str | Path, target: str | Path) -> None:
        seen.append(f"rename {Path(source).name} to {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    return seen


def table(path: Path) -> None:
    with replacing(path) as part:
        pq.write_table(pa.table({"ts": [1, 2, 3]}), part)


def arrays(path: Path) -> None:
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, ts=np.arange(3))


WRITERS: list[Callable[[Path], None]] = [
    lambda path: write_atomic(path, b"new"),
    lambda path: write_text(path, "new"),
    lambda path: write_json(path, {"new": True}),
    table,
    arrays,
]


@pytest.mark.parametrize("write", WRITERS)
def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_return(
    write: Callable[[Path], None], tmp_path: Path, calls: list[str]
):
    folder = tmp_path / "state"
    folder.mkdir()
    write(folder / "file")

    size = (folder / "file").stat().st_size
    part = calls[0].split()[1]
    assert size > 0
    assert calls == [f"fsync {part} of {size}", f"rename {part} to file", "fsync state"]
    assert [each.name for each in folder.iterdir()] == ["file"]


def test_what_only_tells_is_replaced_whole_and_waits_for_no_disk(tmp_path: Path, calls: list[str]):
    show_text(tmp_path / "status", "old")
    show_text(tmp_path / "status", "new")
    assert (tmp_path / "status").read_text() == "new"
    assert [call.split()[0] for call in calls] == ["rename", "rename"]
    assert [each.name for each in tmp_path.iterdir()] == ["status"]


def test_a_folder_is_on_the_disk_before_what_is_written_into_it(tmp_path: Path, calls: list[str]):
    make_folder(tmp_path / "a" / "b" / "c")
    assert calls == [f"fsync {tmp_path.name}", "fsync a", "fsync b"]


def test_a_finished_folder_gets_its_name_when_all_of_it_is_on_the_disk(
    tmp_path: Path, calls: list[str]
):
    part = tmp_path / "part"
    (part / "inner").mkdir(parents=True)
    (part / "inner" / "file").write_bytes(b"xyz")
    move_folder(part, tmp_path / "kept")
    assert calls == ["fsync file of 3", "fsync inner", "fsync part", f"fsync {tmp_path.name}"]
    assert (tmp_path / "kept" / "inner" / "file").read_bytes() == b"xyz"


def fail_halfway(path: Path) -> None:
    with replacing(path) as part:
        part.write_text("half of the n")
        raise ZeroDivisionError


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError):
        fail_halfway(path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


FULL = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
sys.path.insert(0, {root!r})
from tests.test_files import append_line, arrays, np, replacing, write_atomic
path = Path({path!r})
def big(file):
    np.save(file, np.arange(10_000))
try:
    if {how!r} == "bytes": write_atomic(path, b"x" * 10_000)
    elif {how!r} == "line": append_line(path, "x" * 10_000)
    else:
        with replacing(path) as part, part.open("wb") as file: big(file)
except OSError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.process
@pytest.mark.parametrize("how", ["bytes", "arrays", "line"])
def test_a_file_that_does_not_fit_is_named_and_the_old_one_stays(tmp_path: Path, how: str):
    path = tmp_path / "file"
    path.write_text("old\n")
    root = str(Path(__file__).resolve().parents[1])
    code = FULL.format(root=root, path=str(path), how=how)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"WriteError {path}: cannot be written: "), done
    assert path.read_text() == "old\n"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_where_no_file_can_be_the_message_says_what_is_there(tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path, words in (
        (tmp_path / "folder", "a folder of that name is there"),
        (tmp_path / "file" / "under", "a part of the path is a file"),
        (tmp_path / "absent" / "file", "its folder is not there"),
    ):
        with pytest.raises(WriteError, match=words) as caught:
            write_text(path, "new")
        assert str(caught.value).startswith(f"{path}: cannot be written: ")
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301
    with pytest.raises(WriteError, match="a part of the path is a file"):
        make_folder(tmp_path / "file" / "under")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def test_a_private_file_was_never_open_to_others(tmp_path: Path):
    path = tmp_path / "keys.json"
    with replacing(path, mode=0o600) as part:
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_cut_short_by_a_crash_spoils_no_other(tmp_path: Path):
    path = tmp_path / "log"
    append_line(path, "first")
    with path.open("a") as file:
        file.write("sec")
    append_line(path, "third")
    assert path.read_text() == "first\nsec\nthird\n"


def test_what_a_crash_left_is_removed_and_nothing_else(tmp_path: Path):
    (tmp_path / ".world.json.17.1.part").write_text("{")
    (tmp_path / "kept.part").write_text("")
    (tmp_path / ".hidden").write_text("")
    assert remove_parts(tmp_path) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == [".hidden", "kept.part"]
