"""Commands about versions of strategies and what they did."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crucible.commands.options import AsJson, print_json
from crucible.text import visible

if TYPE_CHECKING:
    from crucible.operations.workspace import Workspace


def explain(
    version: Annotated[str, typer.Argument(help="SLOT/VERSION, SLOT/ALIAS or a champion.json.")],
    as_json: AsJson = False,
) -> None:
    """Tell a strategy in words, how it was judged, and where it comes from."""
    from crucible.forge.reporting.explain import explain_file, explain_version, version_number

    path = Path(version)
    if path.is_file() or path.suffix == ".json":
        reported = explain_file(path)
    else:
        from crucible.operations.supervision.ownership import address_of
        from crucible.operations.workspace import Workspace
        from crucible.registry.models import Registry
        from crucible.settings import load_settings

        # A person waits for this answer: a server that is down is told at once.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        workspace = Workspace.at(load_settings().home)
        registry = Registry(address_of(workspace, "mlflow"), workspace.proof_key())
        slot, number = version_number(registry, version)
        reported = explain_version(
            registry, f"{slot}/{number}", _agents(workspace, f"{slot}@{number}")
        )
    if as_json:
        print_json(reported.to_json())
    else:
        print(visible(reported.to_text(), lines=True))


def _agents(workspace: Workspace, agent: str) -> list[dict[str, object]]:
    """Tell what the newest run's ledger knows of an agent; nothing where there is none."""
    from crucible.ledger.reader import LedgerReader

    run = workspace.current()
    if run is None or not run.ledger.exists():
        return []
    with LedgerReader(run.ledger) as ledger:
        return [
            {
                "agent": row.agent,
                "role": row.role,
                "since_ts": row.since_ts,
                "until_ts": row.until_ts,
                "orders": len(orders := ledger.orders(agent)),
                "last_order": orders[-1] if orders else None,
                "fills": sum(fill.mode == "live" for fill in fills),
                "simulated_fills": sum(fill.mode == "shadow" for fill in fills),
            }
            for fills in (ledger.fills(agent),)
            for row in ledger.agents()
            if row.agent == agent
        ]
