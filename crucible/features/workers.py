"""Who computes history: this thread alone, or threads for compiled steps and processes for the radar.

The split changes no value: symbols are stepped apart from each other, and windows are stateless.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from crucible.features.grid import Grid, Matrix
from crucible.features.topology.processes import RadarProcesses
from crucible.features.topology.radar import TopologicalRadar
from crucible.market.candles import Integers

logger = logging.getLogger(__name__)

WORTH = 5_000
"""Windows that are worth a process: each takes a second or two to begin, and 100 MB."""

DAYS = 4
"""UTC days of windows that are evaluated together."""

WINDOW_ROWS = 30
"""Technical rows that take about as long as the evaluation of one window; for the progress."""

Item = TypeVar("Item")
Made = TypeVar("Made")
Report = Callable[[int], None]


class Workers:
    """Threads and processes among which the parts of a history are shared.

    Parameters
    ----------
    count : int
        How many parts are worked on at once; 1 starts neither threads nor processes.
    report : callable, optional
        Takes how much more was done, in technical rows; called from any thread, one call at a time.
    """

    def __init__(self, count: int = 1, report: Report | None = None) -> None:
        self.count = count
        self._report = report
        self._ending = False
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(count) if count > 1 else None
        self._processes: RadarProcesses | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending = error is not None
        if self._processes is not None and error is not None:
            self._processes.kill()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        if self._processes is not None:
            self._processes.close()

    def done(self, rows: int) -> None:
        """Take note of work that is done, in technical rows.

        Raises
        ------
        InterruptedError
            In a thread that goes on working while its result is no longer wanted.
        """
        if self._ending:
            message = "the features are no longer wanted"
            raise InterruptedError(message)
        if self._report is not None:
            with self._lock:
                self._report(rows)

    def each(self, work: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
        """Give what some work makes of each item, in their order."""
        if self._threads is None:
            return [work(item) for item in items]
        return list(self._threads.map(work, items))

    def evaluate(
        self, radar: TopologicalRadar, grid: Grid, minutes: Integers
    ) -> Iterable[tuple[Integers, Matrix]]:
        """Give the minutes in parts, with the radar's evaluations; others work before it is asked.

        Parameters
        ----------
        radar : TopologicalRadar
        grid : Grid
        minutes : ndarray of int64, shape (e,)
        """
        if self._threads is None and self._report is None:
            return [(minutes, radar.evaluate(grid, minutes))]
        parts = _parts(minutes, DAYS)
        if self._threads is None or len(minutes) < 2 * WORTH:
            return self._alone(radar, grid, parts)
        kept = [radar.kept(grid, part) for part in parts]
        missing = sum(len(part) for part, held in zip(parts, kept, strict=True) if held is None)
        count = min(self.count, missing // WORTH)
        if count < 2:
            return self._alone(radar, grid, parts)
        try:
            self._processes = processes = RadarProcesses(radar, count)
        except OSError as error:
            logger.warning(
                "no process can be started, the radar is evaluated in this one: %s", error
            )
            return self._alone(radar, grid, parts)
        waited = [
            self._threads.submit(processes.evaluate, grid, part) if held is None else held
            for part, held in zip(parts, kept, strict=True)
        ]
        return self._awaited(parts, waited)

    def _alone(
        self, radar: TopologicalRadar, grid: Grid, parts: Sequence[Integers]
    ) -> Iterator[tuple[Integers, Matrix]]:
        for part in parts:
            yield part, radar.evaluate(grid, part)
            self.done(len(part) * WINDOW_ROWS)

    def _awaited(
        self, parts: Sequence[Integers], waited: Sequence[Future[Matrix] | Matrix]
    ) -> Iterator[tuple[Integers, Matrix]]:
        for part, values in zip(parts, waited, strict=True):
            yield part, values.result() if isinstance(values, Future) else values
            self.done(len(part) * WINDOW_ROWS)


ALONE = Workers()
"""This thread, and nobody told."""


def _parts(minutes: Integers, days: int) -> list[Integers]:
    """Cut minutes into spans of whole UTC days; one empty part where there are none."""
    cuts = np.flatnonzero(np.diff((minutes - 1) // (days * 1_440))) + 1
    edges = [0, *cuts.tolist(), len(minutes)]
    return [minutes[first:last] for first, last in pairwise(edges)]
