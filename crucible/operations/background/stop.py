"""`crucible down`: end the supervisor of a workspace in order, or what a killed one left behind."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from crucible.errors import CrucibleError
from crucible.operations.background.start import SUPERVISOR
from crucible.operations.errors import AlreadyRunningError, ServiceError
from crucible.operations.supervision.process import Identity, interrupt
from crucible.operations.supervision.stack import clear_leftovers
from crucible.operations.workspace import Workspace, read_json

LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Stopped:
    """What came of a stop.

    Attributes
    ----------
    was_up : bool
        Whether a supervisor ran.
    run : str or None
        The newest run.
    """

    was_up: bool
    run: str | None

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {"was_up": self.was_up, "run": self.run}


def stop_stack(workspace: Workspace, report_line: Callable[[str], None], limit_s: float) -> Stopped:
    """Ask the supervisor to stop everything in order and wait until it has ended.

    Where none runs, what a killed one left behind is ended.

    Parameters
    ----------
    workspace : Workspace
    report_line : callable
        Told what happens.
    limit_s : float
        Seconds to wait.

    Raises
    ------
    ServiceError
        If the supervisor cannot be found, or has not ended in time.
    """
    run = workspace.current() if workspace.path.is_dir() else None
    number = run.run_id if run else None
    if not workspace.path.is_dir():
        return Stopped(was_up=False, run=number)
    try:
        with workspace.lock():
            clear_leftovers(workspace, report_line)
            return Stopped(was_up=False, run=number)
    except AlreadyRunningError as error:
        supervisor = _supervisor(workspace)
        if supervisor is None:
            message = f"{error}; that process cannot be found"
            raise ServiceError(message) from error
    interrupt(supervisor, signal.SIGTERM)
    reported: dict[str, str] = {}
    deadline = time.monotonic() + limit_s
    while supervisor.alive:
        if time.monotonic() > deadline:
            message = (
                f"the supervisor (pid {supervisor.pid}) has not ended in {limit_s:g} s; see "
                f"{workspace.logs / SUPERVISOR}.log, and give the command again to go on waiting"
            )
            raise ServiceError(message)
        for name, event in _events(workspace).items():
            if reported.get(name) != event and event.startswith("stop"):
                report_line(f"{name}: {event}")
            reported[name] = event
        time.sleep(LOOK_EVERY_S)
    return Stopped(was_up=True, run=number)


def _supervisor(workspace: Workspace) -> Identity | None:
    """Find who holds the workspace: by its lock, which it wrote its number into, else by its services."""
    with suppress(OSError, ValueError):
        found = Identity.of(int((workspace.path / "up.lock").read_text()))
        if found is not None:
            return found
    with suppress(CrucibleError):
        found = Identity.from_json((read_json(workspace.services_file) or {}).get("supervisor"))
        return found if found is not None and found.alive else None
    return None


def _events(workspace: Workspace) -> dict[str, str]:
    try:
        services = (read_json(workspace.services_file) or {}).get("services", {})
    except CrucibleError:
        # The stop goes on without it; only the lines about it are missing.
        return {}
    return {name: str(entry.get("event") or "") for name, entry in services.items()}
