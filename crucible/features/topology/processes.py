"""Evaluations of the radar in other processes: most of an evaluation is Python, which threads cannot share.

Windows are stateless, so a process needs the returns of some days and gives back what was measured. It
reads them from its standard input, writes to its standard output and ends with its input, which is closed
when whoever started it ends, however that ends.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO

import numpy as np

from crucible.features.grid import Grid, Matrix
from crucible.features.topology.radar import EVALUATION, TopologicalRadar
from crucible.market.candles import Integers
from crucible.settings import FeatureSettings
from crucible.whereabouts import SOURCE

logger = logging.getLogger(__name__)

END_S = 5.0
"""Seconds that a process gets to end by itself."""


class RadarProcesses:
    """Some processes that evaluate windows, each for one thread at a time.

    Parameters
    ----------
    radar : TopologicalRadar
        Gives settings, assets and cache; it evaluates here what a process fails at.
    count : int

    Raises
    ------
    OSError
        If a process cannot be started.
    """

    def __init__(self, radar: TopologicalRadar, count: int) -> None:
        self._radar = radar
        self._ending = False
        self._all: list[subprocess.Popen[bytes]] = []
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        try:
            for _ in range(count):
                self._all.append(_start(radar))
                self._idle.put(self._all[-1])
        except BaseException:
            self.close()
            raise

    def evaluate(self, grid: Grid, minutes: Integers) -> Matrix:
        """Evaluate the windows that end at given minutes, as `TopologicalRadar.evaluate` does.

        Parameters
        ----------
        grid : Grid
        minutes : ndarray of int64, shape (e,)

        Returns
        -------
        ndarray of float64, shape (e, len(EVALUATION))
        """
        first = max(0, grid.row(int(minutes[0])) - self._radar.carry)
        returns = np.ascontiguousarray(
            grid.returns[first : grid.row(int(minutes[-1])) + 1, : self._radar.assets]
        )
        process = self._idle.get()
        try:
            values = _ask(process, grid.start + first, returns, minutes)
        except (OSError, EOFError) as error:
            if self._ending:
                raise
            logger.warning(
                "a process that evaluates the radar ended with %s (%s); its part is computed here",
                process.poll(),
                error,
            )
            return self._radar.evaluate(grid, minutes)
        finally:
            self._idle.put(process)
        return values

    def kill(self) -> None:
        """End the processes at once, whatever they work on; what was asked of them raises `EOFError`."""
        self._ending = True
        for process in self._all:
            process.kill()

    def close(self) -> None:
        """End the processes once nobody asks any more."""
        for process in self._all:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
        for process in self._all:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(radar: TopologicalRadar) -> subprocess.Popen[bytes]:
    folders = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        # -P: nothing is imported from the folder that the command was given in.
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        # Ctrl-C is for whoever started it.
        start_new_session=True,
    )
    asked = {
        "settings": radar.settings.model_dump(),
        "assets": radar.assets,
        "cache": None if radar.cache is None else str(radar.cache),
    }
    assert process.stdin is not None
    # One that has ended already is found out when it is asked.
    with suppress(OSError):
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
    return process


def _ask(
    process: subprocess.Popen[bytes], start: int, returns: Matrix, minutes: Integers
) -> Matrix:
    assert process.stdin is not None
    assert process.stdout is not None
    head = {"start": start, "rows": len(returns), "minutes": len(minutes)}
    for part in (json.dumps(head).encode() + b"\n", returns.tobytes(), minutes.tobytes()):
        process.stdin.write(part)
    process.stdin.flush()
    shape = (len(minutes), len(EVALUATION))
    return np.frombuffer(_exactly(process.stdout, 8 * shape[0] * shape[1])).reshape(shape)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Evaluate what is asked for until nothing more is.

    Parameters
    ----------
    requests : binary file
        One line of JSON with settings, assets and cache; then, for each part, a line with the first minute
        of the returns and how many rows and minutes follow, and their bytes.
    answers : binary file
        Receives the bytes of the evaluations of each part.
    """
    first = requests.readline()
    if not first:
        return
    asked = json.loads(first)
    cache = None if asked["cache"] is None else Path(asked["cache"])
    assets = int(asked["assets"])
    radar = TopologicalRadar(FeatureSettings.model_validate(asked["settings"]), assets, cache)
    while line := requests.readline():
        head = json.loads(line)
        returns = np.frombuffer(_exactly(requests, 8 * assets * head["rows"])).reshape(-1, assets)
        minutes = np.frombuffer(_exactly(requests, 8 * head["minutes"]), np.int64)
        grid = Grid(minutes, head["start"], returns, returns)
        answers.write(radar.evaluate(grid, minutes).tobytes())
        answers.flush()


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        message = f"{len(data)} bytes came where {size} were to come"
        raise EOFError(message)
    return data


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        serve(sys.stdin.buffer, sys.stdout.buffer)
