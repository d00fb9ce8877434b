"""Computed features, kept in a folder by the content that they were computed of.

An entry is a folder named by its key: one ``SYMBOL.npy`` of float64 values a symbol and ``entry.json`` with
their checksums. It appears whole or not at all, is looked at in full before it is served, and goes, the one
that was used longest ago first, where the folder would become too large. Everything here can be computed
again, so nothing waits for a disk.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Self

import numpy as np

import crucible
from crucible.errors import CrucibleError
from crucible.features.frame import FeatureSchema, Matrix
from crucible.files import PART, make_folder, move_folder, write_text
from crucible.locks import HeldError, held
from crucible.market.candles import Candles
from crucible.setting_names import is_symbol
from crucible.settings import Settings

logger = logging.getLogger(__name__)

FORMAT = 1
WAIT_S = 900.0
"""How long to wait for another process that computes the same."""

ROOM_S = 60.0
LOCK = ".lock"
ENTRY = "entry.json"
GB = 10**9

_numbers = count(1)


class StoreError(CrucibleError, RuntimeError):
    """An entry that cannot be kept; the message says why and how to change that."""


@dataclass(frozen=True, slots=True)
class FeatureStore:
    """A folder of computed features.

    Attributes
    ----------
    folder : Path
        Made when it is first written to.
    limit : int
        Bytes that its entries take at most.
    """

    folder: Path
    limit: int

    @classmethod
    def of(cls, settings: Settings) -> FeatureStore | None:
        """Find the store of a workspace; None where there is no workspace, or nothing is to be kept."""
        limit = int(settings.cache.features_gb * GB)
        if limit == 0 or not settings.home.is_dir():
            return None
        return cls(settings.home / "cache" / "features", limit)

    def beside(self, name: str) -> Path:
        """Name another folder of the same cache."""
        return self.folder.parent / name

    @contextmanager
    def entry(self, key: str) -> Iterator[Entry]:
        """Own an entry: whoever else wants the same waits until it is there.

        Raises
        ------
        HeldError
            If another process computes it for longer than `WAIT_S`.
        OSError
            If the folder cannot be written to.
        """
        make_folder(self.folder)
        lock = self.folder / f"{key}{LOCK}"
        with ExitStack() as stack:
            try:
                stack.enter_context(held(lock))
            except HeldError:
                if not (self.folder / key).exists():
                    logger.warning("%s: another process computes these features; waiting", lock)
                stack.enter_context(held(lock, WAIT_S))
            yield Entry(self, key)

    def make_room(self, size: int) -> None:
        """Remove what crashes left, and entries, the one that was used longest ago first.

        Raises
        ------
        StoreError
            If the size is more than the store may hold beside what others work on.
        """
        if size > self.limit:
            message = (
                f"{size / GB:.2f} GB of features are more than cache.features_gb = "
                f"{self.limit / GB:g}; raise it, or set it to 0 to keep none"
            )
            raise StoreError(message)
        for part in self.folder.glob(f".*{PART}"):
            self._remove(part, part.name.split(".")[1])
        entries = [path for path in self.folder.iterdir() if _is_entry(path)]
        entries.sort(key=_last_used)
        used = sum(map(_size, self.folder.iterdir()))
        for path in entries:
            if used + size <= self.limit:
                return
            freed = _size(path)
            if self._remove(path, path.name):
                used -= freed
        if used + size > self.limit:
            message = (
                f"{size / GB:.2f} GB of features beside {used / GB:.2f} GB that others work on are more "
                f"than cache.features_gb = {self.limit / GB:g}; raise it"
            )
            raise StoreError(message)

    def _remove(self, path: Path, key: str) -> bool:
        """Remove an entry or the beginning of one, unless somebody works on it."""
        lock = self.folder / f"{key}{LOCK}"
        try:
            with held(lock):
                shutil.rmtree(path)
                lock.unlink(missing_ok=True)
        except (HeldError, OSError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a store, owned by this process."""

    store: FeatureStore
    key: str

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.store.folder / self.key

    def read(self, rows: Mapping[str, int], width: int) -> dict[str, Matrix] | None:
        """Map the values of some symbols, read-only, if every byte of theirs is as it was written.

        Parameters
        ----------
        rows : mapping of str to int
            The symbols that are wanted and how many rows each has.
        width : int
            Features.

        Returns
        -------
        dict of str to ndarray of float64, shape (n, features), or None
            None where there is no entry. One that is damaged is reported and removed.
        """
        if not self.path.exists():
            return None
        try:
            written = self._checksums()
            for name, checksum in _checksums_of(self.path, rows).items():
                _require(checksum == written.get(name), f"{name}.npy is not what was written")
            values = {name: _mapped(self.path / f"{name}.npy") for name in rows}
            for name, own in values.items():
                shape = rows[name], width
                _require(own.shape == shape, f"{name}.npy has the shape {own.shape}, not {shape}")
            os.utime(self.path / ENTRY)
        except (OSError, ValueError, TypeError, KeyError, EOFError, RecursionError) as error:
            logger.warning("%s: damaged: %s; its features are computed anew", self.path, error)
            shutil.rmtree(self.path, ignore_errors=True)
            return None
        return values

    def begin(self, rows: Mapping[str, int], width: int) -> Unfinished:
        """Make room for the values of all symbols.

        Parameters
        ----------
        rows : mapping of str to int
            Every symbol and how many rows it has.
        width : int
            Features.

        Raises
        ------
        StoreError
            If they are more than the store may hold, or a symbol would be no name of a file.
        HeldError, OSError
            If there is no room for them.
        """
        foreign = [name for name in rows if not is_symbol(name)]
        if foreign:
            message = f"{foreign[0]!r} is no symbol and names no file; keep no features of it"
            raise StoreError(message)
        part = self.store.folder / f".{self.key}.{os.getpid()}.{next(_numbers)}{PART}"
        try:
            with held(self.store.folder / f"room{LOCK}", ROOM_S):
                shutil.rmtree(self.path, ignore_errors=True)
                self._clear()
                self.store.make_room(sum(8 * width * own for own in rows.values()))
                part.mkdir()
                arrays = {n: _reserved(part / f"{n}.npy", own, width) for n, own in rows.items()}
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        return Unfinished(self, part, arrays)

    def _clear(self) -> None:
        """Remove what an earlier attempt at this entry left; its lock is ours."""
        for part in self.store.folder.glob(f".{self.key}.*{PART}"):
            shutil.rmtree(part, ignore_errors=True)

    def _checksums(self) -> dict[str, str]:
        stored = json.loads((self.path / ENTRY).read_text())
        _require(isinstance(stored, dict), f"{ENTRY} holds no entry")
        _require(stored.get("format") == FORMAT, f"{ENTRY} is of format {stored.get('format')!r}")
        _require(stored.get("key") == self.key, f"{ENTRY} is of the entry {stored.get('key')!r}")
        return dict(stored["checksums"])


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The files of an entry while its values are computed; as a context it removes what was not finished.

    Attributes
    ----------
    entry : Entry
    part : Path
    arrays : dict of str to ndarray of float64, shape (n, features)
        To write the values into: mapped into files whose room on the disk is reserved.
    """

    entry: Entry
    part: Path
    arrays: dict[str, Matrix]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.part, ignore_errors=True)

    def finish(self) -> dict[str, Matrix]:
        """Keep the values, and give them as they will be served.

        Returns
        -------
        dict of str to ndarray of float64, shape (n, features)
            Read-only; those that were computed where they cannot be kept, which is reported.
        """
        try:
            checksums = _checksums_of(self.part, self.arrays)
            text = json.dumps(
                {"format": FORMAT, "key": self.entry.key, "checksums": checksums}, indent=1
            )
            write_text(self.part / ENTRY, text + "\n")
            move_folder(self.part, self.entry.path, lasting=False)
            return {name: _mapped(self.entry.path / f"{name}.npy") for name in self.arrays}
        except OSError as error:
            logger.warning("%s: these features are not kept: %s", self.entry.path, error)
            return self.arrays


def key_of(schema: FeatureSchema, candles: Mapping[str, Candles]) -> str:
    """Name what features are computed of: schema, every symbol's candles in order, and code.

    Parameters
    ----------
    schema : FeatureSchema
    candles : mapping of str to Candles
        Those of all symbols, in the pipeline's order.
    """
    content = [schema.hash, [(name, own.data_hash()) for name, own in candles.items()]]
    text = json.dumps([FORMAT, code_digest(), content], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@cache
def code_digest() -> str:
    """SHA-256 over all that computes: sources of features and candles, versions of numpy and its like."""
    package = Path(crucible.__file__).resolve().parent
    digest = hashlib.sha256(platform.machine().encode())
    for name in ("numpy", "numba", "giotto-ph"):
        digest.update(f"{name} {version(name)}".encode())
    for folder in ("features", "market"):
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _require(sound: bool, fault: str) -> None:  # noqa: FBT001
    if not sound:
        raise ValueError(fault)


def _checksums_of(folder: Path, symbols: Collection[str]) -> dict[str, str]:
    """SHA-256 of each symbol's file; several are read at once."""

    def checksum(symbol: str) -> str:
        with (folder / f"{symbol}.npy").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(max(1, min(len(symbols), os.cpu_count() or 1))) as pool:
        return dict(zip(symbols, pool.map(checksum, symbols), strict=True))


def _mapped(path: Path) -> Matrix:
    stored = np.load(path, mmap_mode="r", allow_pickle=False)
    _require(stored.dtype == np.float64, f"{path.name} holds {stored.dtype}")
    values: Matrix = np.asarray(stored)
    return values


def _reserved(path: Path, rows: int, width: int) -> Matrix:
    """Map a new file; its room is reserved, since a full disk would end whoever writes to the map."""
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=(rows, width))
    with path.open("rb+") as file:
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    values: Matrix = np.asarray(made)
    return values


def _is_entry(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _last_used(path: Path) -> float:
    try:
        return (path / ENTRY).stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    total = 0
    for each in path.glob("*.npy"):
        try:
            total += each.stat().st_size
        except OSError:
            continue
    return total
