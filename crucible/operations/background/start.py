"""`crucible up --detach`: the supervisor in the background, waited for until everything is up."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from crucible.operations.background.logs import NewLines
from crucible.operations.errors import ServiceError
from crucible.operations.supervision.ownership import SUPERVISOR
from crucible.operations.supervision.process import HOME_MARK, ServiceProcess
from crucible.operations.workspace import Workspace
from crucible.whereabouts import SOURCE

LOOK_EVERY_S = 0.1
# In which a stack that is given up while it starts ends in order; the stop of a whole one takes about half.
STOP_LIMIT_S = 90.0
_FAULT = "crucible: "


def command(words: Sequence[str]) -> list[str]:
    """Give the command of a supervisor that prints one JSON line on stdout once everything is up."""
    return [sys.executable, "-m", "crucible.cli", SUPERVISOR, "--json", "--no-browser", *words]


def start_detached(
    workspace: Workspace, words: Sequence[str], report_line: Callable[[str], None]
) -> dict[str, Any]:
    """Start a supervisor that outlives this process; return once everything is up.

    Parameters
    ----------
    workspace : Workspace
    words : sequence of str
        The whole command of the supervisor, see `command`.
    report_line : callable
        Told every line that the supervisor writes meanwhile.

    Returns
    -------
    dict
        The supervisor's ready line: run, process, addresses.

    Raises
    ------
    ServiceError
        If it ended before everything was up, with its own last words.
    KeyboardInterrupt
        If a person gives up: the supervisor is stopped in order before.
    """
    workspace.create()
    log = workspace.logs / f"{SUPERVISOR}.log"
    lines = NewLines(log)
    process = ServiceProcess(
        SUPERVISOR,
        words,
        {**os.environ, HOME_MARK: str(workspace.path), "PYTHONUNBUFFERED": "1"},
        workspace.logs,
        SOURCE,
    )
    try:
        while True:
            # Asked first: what it wrote before it ended is still read.
            code = process.poll()
            for line in lines.read():
                report_line(line)
            ready = process.ready_line()
            if ready is not None:
                return ready
            if code is not None:
                raise ServiceError(_last_words(process, code, log))
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        report_line("interrupted; stopping what has been started")
        process.stop(STOP_LIMIT_S)
        raise


def _last_words(process: ServiceProcess, code: int, log: Path) -> str:
    said = process.last_words().removeprefix(_FAULT)
    return f"the stack did not start (code {code}): {said}; the whole log: {log}"
