"""Can an outcome be written where it is asked for? Asked before hours of work, not after them.

What cannot be known before (a disk that fills up meanwhile) is told by whoever writes, see
`crucible.files`; nothing is made here, so that a command that ends early leaves nothing.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Literal, NoReturn

from crucible.errors import CrucibleError

LEAST_FREE = 1 << 20
"""Bytes; no outcome is smaller with everything that belongs to it."""


class OutputError(CrucibleError, ValueError):
    """An outcome cannot be written where it is asked for; the message names the option and the path."""


def ask_for_file(option: str, path: Path) -> None:
    """Refuse a path where no file can be written.

    Parameters
    ----------
    option : str
        As the person wrote it, for the message.
    path : Path

    Raises
    ------
    OutputError
        If a folder or a device is there, a part of the path is a file, or nothing can be written there.
    """
    kind = _kind(option, path)
    if kind == "folder":
        _refuse(option, path, "is a folder; name a file in it")
    if kind == "other":
        _refuse(option, path, "is no ordinary file; name another one")
    _ask(option, path, path.absolute().parent)


def ask_for_folder(option: str, path: Path) -> None:
    """Refuse a path where no folder can be made or written to.

    Parameters
    ----------
    option : str
    path : Path

    Raises
    ------
    OutputError
        If it or a part of the path is a file, or nothing can be written there.
    """
    if _kind(option, path) in {"file", "other"}:
        _refuse(option, path, "is a file; name a folder")
    _ask(option, path, path.absolute())


def _kind(option: str, path: Path) -> Literal["file", "folder", "other"] | None:
    """Tell what is there; nothing behind a link that leads nowhere either."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        _refuse(option, path, f"cannot be written: {_said(error)}; name another place")
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def _ask(option: str, path: Path, folder: Path) -> None:
    try:
        there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
        is_folder, is_open = there.is_dir(), os.access(there, os.W_OK | os.X_OK)
        free = shutil.disk_usage(there).free
    except (OSError, ValueError) as error:
        _refuse(option, path, f"cannot be written: {_said(error)}; name another place")
    if not is_folder:
        _refuse(option, path, f"cannot be written: {there} is no folder; name another place")
    if not is_open:
        _refuse(option, path, f"cannot be written: {there} is read only; name another place")
    if free < LEAST_FREE:
        _refuse(option, path, f"{free} bytes are free on its disk; free some space there")


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _refuse(option: str, path: Path, what: str) -> NoReturn:
    message = f"{option} {path}: {what}"
    raise OutputError(message)
