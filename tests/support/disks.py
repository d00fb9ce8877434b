"""A disk that is really small, and really full; a folder whose path is short."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """Mount a disk of its own; the test that asks for it skips where that is not allowed."""
    if os.getuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short path, gone afterwards: the path of a socket has 107 bytes at the most."""
    with tempfile.TemporaryDirectory(prefix="cr-", ignore_cleanup_errors=True) as path:
        yield Path(path)


def fill(disk: Path) -> Path:
    """Use up all the room that a disk has; give the file to remove to have it back."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 65_536
        while size:
            try:
                while file.write(bytes(size)) == size:
                    pass
                size //= 2
            except OSError:
                size //= 2
    assert os.statvfs(disk).f_bavail == 0
    return filler
