"""A lock is held by one, by any path, and free when its holder ends."""

import threading
import time
from pathlib import Path

import pytest

from crucible.locks import HeldError, held


def test_a_file_and_a_folder_are_held_by_one_by_any_path(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (tmp_path, tmp_path / "lock"):
        with held(path), pytest.raises(HeldError, match="held by another process"):
            enter(tmp_path / "link" / path.relative_to(tmp_path))
        enter(path)


def enter(path: Path, wait_s: float = 0.0) -> None:
    with held(path, wait_s):
        pass


def test_a_waiting_process_gets_what_the_path_leads_to_and_not_what_was_removed(tmp_path: Path):
    path = tmp_path / "lock"
    waited: list[bool] = []
    inside = threading.Event()

    def wait() -> None:
        with held(path, wait_s=20.0):
            waited.append(path.exists())
            inside.set()
            time.sleep(0.3)

    thread = threading.Thread(target=wait)
    with held(path):
        thread.start()
        time.sleep(0.3)  # it has opened the file and waits
        path.unlink()
    assert inside.wait(20.0)
    with pytest.raises(HeldError):
        enter(path)
    thread.join()
    assert waited == [True]
    enter(path)
