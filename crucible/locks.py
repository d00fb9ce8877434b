"""One process at a time: a lock that ends with its holder, however that ends, and that no clock can open."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crucible.errors import CrucibleError

ASK_EVERY_S = 0.2


class HeldError(CrucibleError, RuntimeError):
    """Another living process holds the lock."""


@contextmanager
def held(path: Path, wait_s: float = 0.0) -> Iterator[int]:
    """Hold a file or a folder itself, by whatever path it is reached, until the block ends.

    The lock is on what the path leads to, so that a link to it or another way there meets the same lock;
    and a file that somebody removes and makes anew meanwhile is not taken for the one that is held.

    Parameters
    ----------
    path : Path
        A folder that is there, or a file, made if it is missing.
    wait_s : float
        How long to wait for another holder.

    Yields
    ------
    int
        The open file, for reading and writing unless it is a folder.

    Raises
    ------
    HeldError
        If another process holds it.
    OSError
        If it cannot be opened.
    """
    deadline = time.monotonic() + wait_s
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(path, descriptor):
                break
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                message = f"{path} is held by another process"
                raise HeldError(message) from error
        os.close(descriptor)
        time.sleep(min(ASK_EVERY_S, max(0.0, deadline - time.monotonic())))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    if path.is_dir():
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _is(path: Path, descriptor: int) -> bool:
    """Whether a path still leads to what was opened: its last holder may have removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
