"""`crucible down`: end the supervisor of a workspace in order, or what a killed one left behind."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crucible.errors import CrucibleError
from crucible.operations.errors import AlreadyRunningError, ServiceError
from crucible.operations.supervision.ownership import SUPERVISOR, supervisor_of
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

    What it or a killed one left behind is ended then, under the workspace's lock: nothing runs when this returns.

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
        If the supervisor has not ended in time, or another process holds the workspace.
    """
    run = workspace.current() if workspace.path.is_dir() else None
    number = run.run_id if run else None
    if not workspace.path.is_dir():
        return Stopped(was_up=False, run=number)
    deadline = time.monotonic() + limit_s
    asked: Identity | None = None
    holder = ""
    reported: dict[str, str] = {}
    while True:
        # One that ends lets go of the lock a little before it has ended.
        if asked is None or not asked.alive:
            try:
                with workspace.lock():
                    clear_leftovers(workspace, report_line)
                    return Stopped(was_up=asked is not None, run=number)
            except AlreadyRunningError as error:
                holder, supervisor = str(error), supervisor_of(workspace)
            if asked is None and supervisor is not None:
                asked = supervisor
                interrupt(asked, signal.SIGTERM)
            elif supervisor is not None and supervisor != asked:
                message = f"{holder}; it was started after the one that was stopped"
                raise ServiceError(message)
        if time.monotonic() > deadline:
            raise _too_late(workspace, asked, holder, limit_s)
        for name, event in _events(workspace).items():
            if reported.get(name) != event and event.startswith("stop"):
                report_line(f"{name}: {event}")
            reported[name] = event
        time.sleep(LOOK_EVERY_S)


def _too_late(
    workspace: Workspace, asked: Identity | None, holder: str, limit_s: float
) -> ServiceError:
    if asked is None or not asked.alive:
        message = f"{holder}; that process is no supervisor and was left alone; let it end first"
        return ServiceError(message)
    message = (
        f"the supervisor (pid {asked.pid}) has not ended in {limit_s:g} s; see "
        f"{workspace.logs / SUPERVISOR}.log, and give the command again to go on waiting"
    )
    return ServiceError(message)


def _events(workspace: Workspace) -> dict[str, str]:
    try:
        services = (read_json(workspace.services_file) or {}).get("services", {})
    except CrucibleError:
        # The stop goes on without it; only the lines about it are missing.
        return {}
    return {name: str(entry.get("event") or "") for name, entry in services.items()}
