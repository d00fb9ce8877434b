"""A folder of recorded candles: which symbols it holds, over which time, and whether funding is known."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from crucible.files import make_folder, move_folder
from crucible.market.candles import ENDING, files_of, read_candles, write_candles
from crucible.market.formats import candles_name, funding_name
from crucible.market.funding import funding_file, funding_path, read_funding, write_funding
from crucible.operations.errors import WorkspaceError
from crucible.settings import FEWEST_CANDLES, MINUTE_MS

INSTRUMENTS = "instruments.json"
# What the paper venue can serve: USDT perpetuals.
SYMBOL = re.compile(r"[A-Z0-9]{1,20}USDT")


@dataclass(frozen=True, slots=True)
class Recording:
    """What a replay is made of.

    Attributes
    ----------
    folder : Path
        Of ``SYMBOL-1m.parquet``, absolute.
    symbols : tuple of str
        Those that are replayed.
    left_out : tuple of str
        What else the folder holds candles of.
    first_ms, end_ms : int
        The span that every replayed symbol has; the end is exclusive.
    """

    folder: Path
    symbols: tuple[str, ...]
    left_out: tuple[str, ...]
    first_ms: int
    end_ms: int


def open_recording(folder: Path, symbols: tuple[str, ...] | None) -> Recording:
    """Read a folder of recorded candles.

    Parameters
    ----------
    folder : Path
    symbols : tuple of str or None
        None takes every USDT perpetual in the folder.

    Raises
    ------
    WorkspaceError
        If the folder lacks a symbol, or the symbols have too little time in common.
    CandleError
        If a file does not hold sound candles, or is not named by a symbol.
    """
    folder = folder.expanduser().absolute()
    held = files_of(folder)
    wanted = symbols or tuple(name for name in held if SYMBOL.fullmatch(name))
    absent = [name for name in wanted if name not in held]
    if absent or not wanted:
        what = absent[0] if absent else "any symbol that ends in USDT"
        holds = ", ".join(held) or f"no SYMBOL{ENDING} at all"
        message = f"{folder} has no candles of {what}; it holds {holds}"
        raise WorkspaceError(message)
    spans = []
    for name in wanted:
        candles = read_candles(held[name], name)
        spans.append((int(candles.ts[0]), int(candles.ts[-1]) + MINUTE_MS))
    first_ms, end_ms = max(span[0] for span in spans), min(span[1] for span in spans)
    if first_ms >= end_ms:
        message = (
            f"{folder}: no minute is in every file of {', '.join(wanted)}: one begins at {first_ms}, "
            f"another ends at {end_ms}; name symbols that were recorded at the same time with --symbols"
        )
        raise WorkspaceError(message)
    minutes = (end_ms - first_ms) // MINUTE_MS
    if minutes < FEWEST_CANDLES:
        message = (
            f"{folder}: {minutes} minutes are in every file of {', '.join(wanted)}; nothing can be "
            f"forged on fewer than {FEWEST_CANDLES}: give a longer recording"
        )
        raise WorkspaceError(message)
    left_out = tuple(name for name in held if name not in wanted)
    return Recording(folder, tuple(wanted), left_out, first_ms, end_ms)


def for_venue(
    folder: Path, symbols: tuple[str, ...], funding: Path | None, cache: Path
) -> tuple[Path, Path | None]:
    """Give folders that the paper venue can read: those given where all is our Parquet, else converted ones.

    Parameters
    ----------
    folder : Path
        Of candles of any format.
    symbols : tuple of str
    funding : Path or None
        Of rates of any format; None is `folder`.
    cache : Path
        Where converted files are kept, under a name that changes with the files; those of before are removed.

    Returns
    -------
    candles, funding : Path, Path or None
    """
    held = files_of(folder)
    # A file that is gone is the venue's to name.
    symbols = tuple(name for name in symbols if name in held)
    files = [held[name] for name in symbols]
    rates = {name: funding_file(funding or folder, name) for name in symbols}
    files += [path for path in rates.values() if path is not None]
    names = (candles_name(path) or funding_name(path) for path in files)
    if all(named is not None and named.is_own for named in names):
        return folder, funding
    instruments = folder / INSTRUMENTS
    files += [instruments] if instruments.is_file() else []
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(files)]
    converted = cache / hashlib.sha256(repr(states).encode()).hexdigest()[:16]
    if not converted.is_dir():
        part = converted.with_name(f".{converted.name}.{os.getpid()}")
        make_folder(part)
        for name in symbols:
            write_candles(read_candles(held[name], name), part / f"{name}{ENDING}")
            if rates[name] is not None:
                write_funding(read_funding(funding or folder, name), part)
        if instruments in files:
            shutil.copy(instruments, part / INSTRUMENTS)
        move_folder(part, converted, lasting=False)
        # A workspace replays one recording at a time: whatever else is there serves nobody any more.
        for other in cache.iterdir():
            if other != converted:
                shutil.rmtree(other, ignore_errors=True)
    return converted, None


def check_funding(folder: Path, symbols: tuple[str, ...]) -> Path:
    """Give a folder of recorded rates, absolute, if it holds those of at least one symbol.

    Raises
    ------
    WorkspaceError
        If it holds none.
    """
    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        message = f"--funding {folder}: no such folder; leave --funding out to charge what lies beside the candles"
        raise WorkspaceError(message)
    if not any(funding_file(folder, name) for name in symbols):
        files = ", ".join(funding_path(folder, name).name for name in symbols)
        message = f"--funding {folder} has none of {files}; without rates no funding is charged"
        raise WorkspaceError(message)
    return folder


def without_rates(funding: Path, symbols: tuple[str, ...]) -> tuple[str, ...]:
    """Give the symbols whose funding nobody knows, so that none is charged.

    Raises
    ------
    FundingError
        If a file does not hold sound rates.
    """
    return tuple(name for name in symbols if not len(read_funding(funding, name)))
