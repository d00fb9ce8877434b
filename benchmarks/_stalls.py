"""How steadily the machine itself runs while something is measured.

A virtual machine whose host is busy stands still or runs at a fraction of its speed for tens of
milliseconds, and a percentile of latencies then tells of the host. A process beside repeats the
same short work and notes how long it took.
"""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event

EVERY_S = 0.02
STEPS = 2_000
"""Additions in one piece of work, about a tenth of a millisecond."""


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


def _watch(results: object, stop: Event) -> None:
    taken: list[float] = []
    while not stop.wait(EVERY_S):
        started = time.perf_counter()
        total = 0
        for step in range(STEPS):
            total += step
        taken.append(1_000 * (time.perf_counter() - started))
    results.send(taken)  # type: ignore[attr-defined]


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
