"""What the machine itself does while something is measured: how steadily it runs, what a core adds.

A virtual machine whose host is busy stands still or runs at a fraction of its speed for tens of
milliseconds, and a percentile of latencies then tells of the host. A process beside repeats the
same short work and notes how long it took. And two virtual cores need not be twice one: work that
shares nothing shows what the second adds.
"""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event

import numpy as np
from numba import njit

EVERY_S = 0.02
STEPS = 2_000
"""Additions in one piece of work, about a tenth of a millisecond."""

PIECE = 300
"""Additions in the smallest piece of computing, a few microseconds."""

NUMBERS, TURNS = 896, 2_000_000
"""Sizes of the work that shares nothing, some tenths of a second."""


@contextmanager
def watched_machine() -> Iterator[list[float]]:
    """Collect milliseconds that a piece of fixed work took; filled when the block ends."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    stop = context.Event()
    process = context.Process(target=_watch, args=(theirs, stop), daemon=True)
    process.start()
    taken: list[float] = []
    reader = threading.Thread(target=lambda: taken.extend(mine.recv()), daemon=True)
    reader.start()
    try:
        yield taken
    finally:
        stop.set()
        reader.join(timeout=30)
        process.join(timeout=30)


def _watch(results: Connection, stop: Event) -> None:
    taken: list[float] = []
    while not stop.wait(EVERY_S):
        started = time.perf_counter()
        total = 0
        for step in range(STEPS):
            total += step
        taken.append(1_000 * (time.perf_counter() - started))
    results.send(taken)


def describe(taken: list[float]) -> str:
    """Say in words how steadily the machine ran."""
    if len(taken) < 100:
        return "how steadily the machine ran was not seen"
    cuts = statistics.quantiles(taken, n=1_000, method="inclusive")
    return (
        f"meanwhile the same {cuts[499]:.2f} ms of work (median), begun every {1_000 * EVERY_S:.0f} "
        f"ms in a process beside, took {cuts[989]:.2f} ms at the 99th percentile, {cuts[998]:.1f} at "
        f"the 99.9th and {max(taken):.1f} at worst: what the machine adds by itself"
    )


def slowest_hundredth(work_ms: float, seconds: float = 30.0) -> float:
    """Milliseconds that pure computing takes at its 99th percentile, whenever it begins.

    Parameters
    ----------
    work_ms : float
        How long it takes where nothing comes between.
    seconds : float
        How long the machine is looked at; nothing else should run.
    """
    begun = time.perf_counter()
    ends = [begun]
    while ends[-1] - begun < seconds:
        sum(range(PIECE))
        ends.append(time.perf_counter())
    at = 1_000 * (np.array(ends) - begun)
    pieces = round(work_ms / float(np.median(np.diff(at))))
    # As many beginnings in every stretch of time, also where a piece took long.
    begins = np.linspace(0.0, at[-pieces - 2], 100_000)
    first = np.searchsorted(at, begins)
    return float(np.quantile(at[first + pieces] - begins, 0.99))


def gain_of_two_threads() -> float:
    """How much more two threads do than one, of compiled work that shares nothing, not even memory."""
    with ThreadPoolExecutor(2) as pool:

        def seconds(threads: int) -> float:
            started = time.perf_counter()
            list(pool.map(_turn, [TURNS] * threads))
            return time.perf_counter() - started

        return 2 * seconds(1) / seconds(2)


@njit(nogil=True)
def _turn(turns: int) -> np.float32:
    """Add and multiply in the nearest cache, as many numbers at a time as the core can.

    Work that waits for itself would not see a core whose other half is busy.
    """
    one, other = np.ones(NUMBERS, np.float32), np.ones(NUMBERS, np.float32)
    for _ in range(turns):
        for i in range(NUMBERS):
            one[i] = one[i] * np.float32(0.5) + other[i]
        for i in range(NUMBERS):
            other[i] = other[i] * np.float32(0.25) + one[i]
    return one[0]
