"""What the page shows, as one JSON value: status, equity, verdicts, fills.

Everything is read from the files of the newest run and from the processes that live.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from crucible.operations.errors import BooksError, HomeError
from crucible.operations.reconciliation.accounts import plain
from crucible.operations.reconciliation.own_accounts import ledger_rows
from crucible.operations.status import market_time, read_status
from crucible.operations.workspace import Home, read_json

SPARK_POINTS = 120
NEWEST = 30


def read_state(home: Home) -> dict[str, Any]:
    """Give everything that the page needs.

    Returns
    -------
    dict
        ``status`` as ``crucible status --json``; ``market_time``; ``pages`` (name to address: forgings and models
        in MLflow, flow runs in Prefect); ``equity`` per agent as ``[[market ms, USDT], ...]``, thinned to
        `SPARK_POINTS`, simulated or at the venue as its role is now; ``verdicts`` and ``fills``, newest first; ``note`` when the ledger cannot
        be read.
    """
    status = read_status(home, ask=False)
    run = home.current()
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
        state["equity"] = _equity(ledger_rows(run.ledger, _EQUITY))
        state["verdicts"] = ledger_rows(run.ledger, _VERDICTS, (NEWEST,))
        state["fills"] = [
            {**row, "value": plain(Decimal(row["qty"]) * Decimal(row["price"]))}
            for row in ledger_rows(run.ledger, _FILLS, (NEWEST,))
        ]
    except BooksError as error:
        state["note"] = str(error)
    return state


# A promoted agent's line begins with its promotion: what was simulated before is no money.
_EQUITY = (
    "SELECT agent, ts, equity FROM equity JOIN agents USING (agent) WHERE mode = "
    "CASE role WHEN 'challenger' THEN 'shadow' ELSE 'live' END ORDER BY agent, ts"
)
_VERDICTS = (
    "SELECT ts, agent, version, verdict, reason FROM verdicts ORDER BY ts DESC, agent LIMIT ?"
)
_FILLS = (
    "SELECT exec_ts AS ts, mode, agent, version, symbol, side, qty, price, fee, reason "
    "FROM fills ORDER BY exec_ts DESC, rowid DESC LIMIT ?"
)


def mlflow_address(home: Home) -> str:
    """Give the address of the newest run's MLflow.

    Raises
    ------
    HomeError
        If none is known.
    """
    run = home.current()
    address = ((read_json(run.facts) if run else None) or {}).get("mlflow")
    if not address:
        message = f"{home.path}: no MLflow server is known; start the stack: crucible up"
        raise HomeError(message)
    return str(address)


def _equity(rows: list[dict[str, Any]]) -> dict[str, list[list[float]]]:
    series: dict[str, list[list[float]]] = {}
    for row in rows:
        series.setdefault(row["agent"], []).append([row["ts"], float(row["equity"])])
    return {agent: thin(points, SPARK_POINTS) for agent, points in series.items()}


def thin(points: list[list[float]], most: int) -> list[list[float]]:
    """Keep at most `most` points, evenly spread, the first and the newest always.

    Examples
    --------
    >>> thin([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]], 2)
    [[0.0, 1.0], [2.0, 3.0]]
    """
    if len(points) <= most:
        return points
    step = (len(points) - 1) / (most - 1)
    return [points[round(number * step)] for number in range(most)]
