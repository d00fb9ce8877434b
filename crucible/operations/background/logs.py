"""What services wrote: their newest lines, and lines as they come."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from crucible.operations.errors import WorkspaceError
from crucible.operations.supervision.services import NAMES
from crucible.operations.workspace import Workspace

LOGGED = ("up", *(name for name in NAMES if name != "arena"), "deploy")
"""Names of logs; the arena is a flow run of the worker and writes there."""
_WRITTEN_BY = {"arena": "worker"}
BLOCK = 65_536
LOOK_EVERY_S = 0.2


def log_of(workspace: Workspace, service: str) -> Path:
    """Name the log of a service.

    Raises
    ------
    WorkspaceError
        If it has written none yet.
    """
    path = workspace.logs / f"{_WRITTEN_BY.get(service, service)}.log"
    if not path.is_file():
        message = (
            f"{path}: no log of {service} yet; start the stack (crucible up), or name the workspace that "
            "you mean: CRUCIBLE_HOME=FOLDER"
        )
        raise WorkspaceError(message)
    return path


def tail(path: Path, count: int) -> list[str]:
    """Give the newest lines of a file, oldest first, reading no more of it than they take."""
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        held = b""
        while at and held.rstrip(b"\n").count(b"\n") < count:
            step = min(at, BLOCK)
            at -= step
            file.seek(at)
            held = file.read(step) + held
    return held.decode(errors="replace").splitlines()[-count:] if count else []


class NewLines:
    """Whole lines that are added to a file from now on, also once it is replaced by a new one.

    Parameters
    ----------
    path : Path
        It need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._file, self._at = self._state()

    def read(self) -> list[str]:
        """Give what was added since; a line without its end waits."""
        file, size = self._state()
        if file != self._file or size < self._at:
            self._file, self._at, self._rest = file, 0, b""
        try:
            with self._path.open("rb") as opened:
                opened.seek(self._at)
                added = opened.read()
        except OSError:
            return []
        self._at += len(added)
        *whole, self._rest = (self._rest + added).split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def _state(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return 0, 0
        return found.st_ino, found.st_size


def follow(path: Path) -> Iterator[str]:
    """Give lines as they are written, without end."""
    lines = NewLines(path)
    while True:
        yield from lines.read()
        time.sleep(LOOK_EVERY_S)
