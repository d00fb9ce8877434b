"""The state of the whole system as one small JSON value, and where the newest run's MLflow is."""

from __future__ import annotations

from typing import Any

from crucible.operations.errors import WorkspaceError
from crucible.operations.status import market_time, read_status
from crucible.operations.workspace import Workspace, read_json


def read_state(workspace: Workspace) -> dict[str, Any]:
    """Give ``status`` as ``crucible status --json`` does, and ``market_time`` in words.

    Raises
    ------
    WorkspaceError
        If a file of the workspace is not JSON.
    """
    status = read_status(workspace, ask=False)
    return {"status": status.to_json(), "market_time": market_time(status.market_ts)}


def mlflow_address(workspace: Workspace) -> str:
    """Give the address of the newest run's MLflow.

    Raises
    ------
    WorkspaceError
        If none is known.
    """
    run = workspace.current()
    address = ((read_json(run.facts) if run else None) or {}).get("mlflow")
    if not address:
        message = f"{workspace.path}: no MLflow server is known; start the stack: crucible up"
        raise WorkspaceError(message)
    return str(address)
