"""How the operator's hand reaches Cerebellum when files of its workspace are damaged."""

from __future__ import annotations

from pathlib import Path

import psutil

from crucible.execution.cerebellum_link import Addresses, LinkError
from crucible.operations.supervision.process import HOME_MARK, SERVICE_MARK
from crucible.operations.workspace import Workspace


def reach(workspace: Workspace) -> tuple[Addresses, str]:
    """Find Cerebellum's sockets; give them, and what was wrong with the file that names them.

    Without a usable ``services.json`` they are taken where every Cerebellum of this workspace makes them.

    Raises
    ------
    LinkError
        If there are none, naming the workspaces in which something runs.
    """
    try:
        return Addresses.read(workspace.services_file), ""
    except LinkError as error:
        for folder in workspace.socket_folders:
            if (folder / "commands").is_socket():
                names = (f"ipc://{folder / name}" for name in ("commands", "events", "market"))
                return Addresses(*names), f"{error}; its sockets in {folder} are used"
        elsewhere = sorted(str(path) for path in running_workspaces() - {workspace.path})
        reported = "; ".join(f"CRUCIBLE_HOME={path}" for path in elsewhere)
        message = f"{error}; running now: {reported}" if reported else str(error)
        raise LinkError(message) from error


def running_workspaces() -> set[Path]:
    """Find the workspaces of every service of this user that lives."""
    found = set()
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if SERVICE_MARK in environment and environment.get(HOME_MARK):
            found.add(Path(environment[HOME_MARK]))
    return found
