"""What the machine itself does while something is measured: how steadily it runs, what a core adds.

A virtual machine whose host is busy stands still or runs at a fraction of its speed for tens of
milliseconds, and a percentile of latencies then tells of the host. A process beside repeats the
same short work and notes how long it took. And two virtual cores need not be twice one: work that
shares nothing shows what two threads can gain at best.
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

from numba import njit

EVERY_S = 0.02
STEPS = 2_000
"""Additions in one piece of work, about a tenth of a millisecond."""

TURNS = 100_000_000
"""Steps of the work that shares nothing, some tenths of a second."""


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


def gain_of_two_threads() -> float:
    """How much more two threads do than one, of compiled work that shares nothing, not even memory."""
    with ThreadPoolExecutor(2) as pool:

        def seconds(threads: int) -> float:
            started = time.perf_counter()
            list(pool.map(_turn, [TURNS] * threads))
            return time.perf_counter() - started

        seconds(2)
        return statistics.median(2 * seconds(1) / seconds(2) for _ in range(7))


@njit(nogil=True)
def _turn(turns: int) -> float:
    """Follow a recurrence that no compiler can shorten."""
    value = 0.5
    for _ in range(turns):
        value = 3.9 * value * (1.0 - value)
    return value
