"""Files that are replaced whole: whoever reads one sees the old bytes or the new ones, also after a cut of power.

Every file that holds state is written here: a temporary file in the same folder, its bytes on the disk,
then the rename, then the folder on the disk. Without the order a file system may keep the new name and
lose the bytes behind it.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crucible.errors import CrucibleError

PART = ".part"
"""How the names of temporary files end; one that is left after a crash belongs to nobody."""

_NEXT_STEP = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space: your quota is used up",
    errno.EROFS: "the disk is mounted read only; mount it for writing or name another folder",
    errno.EACCES: "make it writable for you or name another place",
    errno.EPERM: "make it writable for you or name another place",
    errno.EISDIR: "a folder of that name is there; name a file",
    errno.ENOTDIR: "a part of the path is a file; name another place",
    errno.ENOENT: "its folder is not there; make it first",
    errno.EIO: "the disk reports a fault; look at the system's log",
}
# File systems that cannot sync a folder say so; there is nothing to wait for then.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP)
_numbers = itertools.count(1)


class WriteError(CrucibleError, OSError):
    """A file could not be written; the one of that name is as it was.

    Takes what `OSError` takes: number, what the system says, path.
    """

    def __str__(self) -> str:
        step = _NEXT_STEP.get(self.errno or 0, "name another place or mend that disk")
        return f"{self.filename}: cannot be written: {self.strerror}; {step}"


def write_atomic(path: Path, data: bytes, *, mode: int = 0o666) -> tuple[int, ...]:
    """Replace a file by these bytes, or leave it as it is.

    Parameters
    ----------
    path : Path
        Its folder is there.
    data : bytes
    mode : int
        Permissions of the new file, less the process's mask.

    Returns
    -------
    tuple of int
        What `state_of` gives for as long as nobody else touches the file.

    Raises
    ------
    WriteError
        Naming the file, what the system says and the next step.
    """
    with replacing(path, mode=mode) as part:
        with part.open("wb") as file:
            file.write(data)
        # Before the rename: from then on it may be changed by anybody, while the folder is being synced.
        return state_of(part)


def write_text(path: Path, text: str, *, mode: int = 0o666) -> tuple[int, ...]:
    """Replace a text file, UTF-8; see `write_atomic`."""
    return write_atomic(path, text.encode(), mode=mode)


def show_text(path: Path, text: str) -> None:
    """Replace a text file that only tells how things stand and is written anew all the time.

    A reader sees the old text or the new one; after a cut of power it may be empty. A disk can take seconds
    over a `fsync`, which whoever trades does not spend on telling.

    Raises
    ------
    WriteError
        Naming the file, what the system says and the next step.
    """
    with replacing(path, lasting=False) as part, part.open("wb") as file:
        file.write(text.encode())


def write_json(path: Path, value: object, *, mode: int = 0o666) -> tuple[int, ...]:
    """Replace a JSON file; see `write_atomic`.

    Raises
    ------
    ValueError
        If a number is NaN or infinite: no other reader takes those for JSON.
    """
    return write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n", mode=mode)


def state_of(path: Path) -> tuple[int, ...]:
    """Give what changes when a file is written to or replaced; empty where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def replacing(path: Path, *, mode: int = 0o666, lasting: bool = True) -> Iterator[Path]:
    """Give a temporary path for a library to write to; at the end of the block it takes `path`'s place.

    If the block raises, `path` stays as it was and nothing is left behind.

    Parameters
    ----------
    path : Path
        Its folder is there.
    mode : int
        Permissions of the new file, less the process's mask.
    lasting : bool
        Wait until it is on the disk; see `show_text` for when not to.

    Raises
    ------
    WriteError
        Naming the file, what the system says and the next step.
    """
    part = path.with_name(f".{path.name[:60]}.{os.getpid()}.{next(_numbers)}{PART}")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
        try:
            yield part
            if lasting:
                _sync(part)
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        if lasting:
            _sync_folder(path.parent)
    except OSError as error:
        raise _reported(error, path) from error


def make_folder(path: Path, *, mode: int = 0o777) -> None:
    """Make a folder and those above it, each on the disk before anything is written into it.

    Raises
    ------
    WriteError
        Naming the folder, what the system says and the next step.
    """
    missing = list(itertools.takewhile(lambda each: not each.exists(), (path, *path.parents)))
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        for made in reversed(missing):
            _sync_folder(made.parent)
    except OSError as error:
        raise _reported(error, path) from error


def move_folder(source: Path, target: Path, *, lasting: bool = True) -> None:
    """Give a finished folder its name, with everything in it on the disk first.

    Parameters
    ----------
    source : Path
        Beside `target`; whoever looks for `target` sees no part of it before the end.
    target : Path
        Not there yet.
    lasting : bool
        Whether it must outlast the machine's going down; what can be made again need not.

    Raises
    ------
    WriteError
        Naming the folder, what the system says and the next step.
    """
    try:
        if lasting:
            for folder, _, names in os.walk(source, topdown=False):
                for name in names:
                    _sync(Path(folder) / name)
                _sync_folder(Path(folder))
        source.rename(target)
        if lasting:
            _sync_folder(target.parent)
    except OSError as error:
        raise _reported(error, target) from error


def append_line(path: Path, line: str) -> None:
    """Add a line to a log: whole, or not at all, whoever else writes to it.

    A line that a crash left unfinished is ended first, so that it spoils no other.

    Raises
    ------
    WriteError
        Naming the file, what the system says and the next step.
    """
    try:
        with path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            data = line.encode() + b"\n"
            if end:
                file.seek(end - 1)
                data = data if file.read(1) == b"\n" else b"\n" + data
            try:
                file.write(data)
                file.flush()
            except OSError:
                with suppress(OSError):
                    os.ftruncate(file.fileno(), end)
                raise
    except OSError as error:
        raise _reported(error, path) from error


def require_room(folder: Path, size: int = 65_536) -> None:
    """Find out whether a folder takes some bytes, by writing and removing them.

    Raises
    ------
    WriteError
        Naming the folder, what the system says and the next step.
    """
    part = folder / f".room.{os.getpid()}.{next(_numbers)}{PART}"
    try:
        try:
            part.write_bytes(bytes(size))
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _reported(error, folder) from error


def remove_parts(folder: Path) -> int:
    """Remove temporary files that a crash left in a folder; call it while nothing writes there.

    Returns
    -------
    int
        How many there were.
    """
    left = [each for each in folder.glob(f".*{PART}") if each.is_file()]
    for each in left:
        each.unlink(missing_ok=True)
    return len(left)


def _reported(error: OSError, path: Path) -> WriteError:
    if isinstance(error, WriteError):
        return error
    return WriteError(error.errno, error.strerror or str(error), str(path))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)
