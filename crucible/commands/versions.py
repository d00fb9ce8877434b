"""Commands about versions of strategies and what they did."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crucible.commands.options import AsJson, open_workspace, print_json
from crucible.text import visible

if TYPE_CHECKING:
    from crucible.forge.reporting.explain import Explanation
    from crucible.operations.workspace import Workspace
    from crucible.registry.models import Registry


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
        from crucible.operations.workspace import Workspace
        from crucible.settings import load_settings

        workspace = Workspace.at(load_settings().home)
        registry = _registry(workspace)
        slot, number = version_number(registry, version)
        reported = explain_version(
            registry, f"{slot}/{number}", _agents(workspace, f"{slot}@{number}")
        )
    if as_json:
        print_json(reported.to_json())
    else:
        print(visible(reported.to_text(), lines=True))


def why(
    order: Annotated[
        str, typer.Argument(help="An intent id, a client order id (c-...) or a fill's id.")
    ],
    as_json: AsJson = False,
) -> None:
    """Tell why an order was sent, with every number, and where it comes from, down to the seed."""
    from crucible.operations.provenance import find_order

    workspace = open_workspace()
    story = find_order(workspace, order)
    explanation, doubt = _explanation(workspace, *story.slot_and_version)
    sentences = [visible(line) for line in story.sentences()]
    if as_json:
        print_json(
            {
                "sentence": " ".join(sentence.strip() for sentence in sentences),
                **story.to_json(),
                "rules": None if explanation is None else explanation.to_json()["rules"],
                "lineage": None if explanation is None else dict(explanation.lineage),
                "lineage_not_known_because": doubt or None,
            }
        )
        return
    print("\n".join(sentences))
    lines = [f"  agent            {story.agent}, run {story.run}"]
    if explanation is not None:
        rules = explanation.to_json()["rules"]
        print("\nIts rule:")
        for name, begin in (("buy", "buys when"), ("exit", "exits when")):
            first, *rest = rules[name]
            lines_of_rule = [f"  {begin} {first}", *(f"  {line}" for line in rest)]
            print(visible("\n".join(lines_of_rule), lines=True))
        lines += [f"  {name:<16} {value}" for name, value in explanation.lineage.items()]
    else:
        lines.append(f"  version          not known: {doubt}")
    print("\nWhere it comes from:")
    print(visible("\n".join(lines), lines=True))


def _explanation(workspace: Workspace, slot: str, version: str) -> tuple[Explanation | None, str]:
    """Ask the registry for a version's rule and lineage, or say why they are not known."""
    from crucible.errors import CrucibleError
    from crucible.forge.reporting.explain import explain_version

    if not slot:
        return None, "no version of the registry sent it"
    try:
        return explain_version(_registry(workspace), f"{slot}/{version}"), ""
    except CrucibleError as error:
        return None, str(error)


def _registry(workspace: Workspace) -> Registry:
    from crucible.operations.supervision.ownership import address_of
    from crucible.registry.models import Registry

    # A person waits for this answer: a server that is down is told at once.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    return Registry(address_of(workspace, "mlflow"), workspace.proof_key())


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
