"""What the page shows, as one JSON value: status, equity, verdicts, fills.

Everything is read from the files of the newest run and from the processes that live.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from crucible.dashboard.curves import thin
from crucible.operations.errors import BooksError, WorkspaceError
from crucible.operations.reconciliation.accounts import plain
from crucible.operations.reconciliation.own_accounts import open_ledger
from crucible.operations.status import market_time, read_status
from crucible.operations.workspace import Workspace, read_json

SPARK_POINTS = 120
NEWEST = 30


def read_state(workspace: Workspace) -> dict[str, Any]:
    """Give everything that the page needs.

    Returns
    -------
    dict
        ``status`` as ``crucible status --json``; ``market_time``; ``pages`` (name to address: forge runs and models
        in MLflow, flow runs in Prefect); ``equity`` per agent as ``[[market ms, USDT], ...]``, thinned to
        `SPARK_POINTS`, simulated or at the venue as its role is now; ``verdicts`` and ``fills``, newest first; ``note`` when the ledger cannot
        be read.
    """
    status = read_status(workspace, ask=False)
    run = workspace.current()
    facts = (read_json(run.facts) if run else None) or {}
    state: dict[str, Any] = {
        "status": status.to_json(),
        "market_time": market_time(status.market_ts),
        "pages": {
            "Forgings": "/forgings" if facts.get("mlflow") else None,
            "Models": "/models" if facts.get("mlflow") else None,
            "Flow runs": f"{facts['prefect']}/runs" if facts.get("prefect") else None,
        },
        "facts": facts,
        "equity": {},
        "verdicts": [],
        "fills": [],
        "note": "",
    }
    if run is None:
        return state
    try:
        with open_ledger(run.ledger) as ledger:
            if ledger is not None:
                state["equity"] = _equity(ledger.equity_in_role())
                state["verdicts"] = ledger.newest_verdicts(NEWEST)
                state["fills"] = [
                    {**row, "value": plain(Decimal(row["qty"]) * Decimal(row["price"]))}
                    for row in ledger.newest_fills(NEWEST)
                ]
    except BooksError as error:
        state["note"] = str(error)
    return state


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


def _equity(marks: Mapping[str, list[tuple[int, Decimal]]]) -> dict[str, list[list[float]]]:
    return {
        agent: thin([[float(ts), float(value)] for ts, value in points], SPARK_POINTS)
        for agent, points in marks.items()
    }
