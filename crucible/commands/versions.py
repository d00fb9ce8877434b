"""Commands about versions of strategies and what they did."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crucible.commands import completion
from crucible.commands.options import AsJson, open_workspace, print_json, print_text, waiting
from crucible.text import visible

if TYPE_CHECKING:
    from crucible.forge.reporting.explain import Explanation
    from crucible.lifecycle.production import Change
    from crucible.operations.workspace import Workspace
    from crucible.registry.models import Registry

SlotName = Annotated[
    str, typer.Argument(help="SYMBOL-KIND-NUMBER.", autocompletion=completion.slots)
]
Reason = Annotated[str, typer.Option(help="Kept with the change.")]
Operator = Annotated[str, typer.Option(help="Your name, kept with the change.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for the end.", min=0)]


def explain(
    version: Annotated[str, typer.Argument(help="SLOT/VERSION, SLOT/ALIAS or a champion.json.")],
    as_json: AsJson = False,
) -> None:
    """Tell a strategy in words, how it was judged, and where it comes from."""
    with waiting(f"reading {version}"):
        reported = _reported(version)
    if as_json:
        print_json(reported.to_json())
    else:
        print_text(reported.to_text())


def why(
    order: Annotated[
        str, typer.Argument(help="An intent id, a client order id (c-...) or a fill's id.")
    ],
    as_json: AsJson = False,
) -> None:
    """Tell why an order was sent, with every number, and where it comes from, down to the seed."""
    from crucible.operations.provenance import find_order

    workspace = open_workspace()
    with waiting("looking the order up"):
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
    print_text("\n".join(sentences))
    lines = [f"  agent            {story.agent}, run {story.run}"]
    if explanation is not None:
        rules = explanation.to_json()["rules"]
        print_text("\nIts rule:")
        for name, begin in (("buy", "buys when"), ("exit", "exits when")):
            first, *rest = rules[name]
            lines_of_rule = [f"  {begin} {first}", *(f"  {line}" for line in rest)]
            print_text("\n".join(lines_of_rule))
        lines += [f"  {name:<16} {value}" for name, value in explanation.lineage.items()]
    else:
        lines.append(f"  version          not known: {doubt}")
    print_text("\n".join(["\nWhere it comes from:", *lines]))


def promote(
    slot: SlotName,
    version: Annotated[str, typer.Argument(help="A version's number, or an alias: challenger.")],
    reason: Reason = "asked for by a person",
    operator: Operator = "a person",
    wait: Wait = 300.0,
    as_json: AsJson = False,
) -> None:
    """Make a version production, through admission; exit code 3 where a rule refuses it."""
    _change(slot, version, "promote", reason, operator, wait, as_json)


def rollback(
    slot: SlotName,
    reason: Reason = "asked for by a person",
    operator: Operator = "a person",
    wait: Wait = 300.0,
    as_json: AsJson = False,
) -> None:
    """Make the version production again that the one of now replaced; exit code 3 where a rule refuses it."""
    _change(slot, "production", "roll back", reason, operator, wait, as_json)


def retire(
    agent: Annotated[str, typer.Argument(help="SLOT@VERSION.", autocompletion=completion.agents)],
    reason: Reason = "asked for by a person",
    operator: Operator = "a person",
    wait: Wait = 300.0,
    as_json: AsJson = False,
) -> None:
    """Take an agent's version out of trading; the arena closes what it holds."""
    slot, _, version = agent.rpartition("@")
    if not slot or not version.isdigit():
        message = f"{agent!r} is no agent; write SLOT@VERSION, for example BTCUSDT-gp-1@3"
        raise typer.BadParameter(message)
    _change(slot, version, "retire", reason, operator, wait, as_json)


def forge_now(
    slot: SlotName,
    reason: Reason = "asked for by a person",
    as_json: AsJson = False,
) -> None:
    """Order a forge run of a slot, with a seed that none of its runs had; a challenger keeps its place."""
    from crucible.settings import Slot

    name = Slot.parse(slot).name
    workspace = open_workspace()
    with waiting(f"ordering a forge run of {name}"):
        from crucible.lifecycle.requests import request_forge_run

        registry = _registry(workspace)
        _refuse_undeployed(workspace, name)
        run, seed = request_forge_run(workspace, registry, name, reason)
    if as_json:
        print_json({"slot": name, "seed": seed, **run.to_json()})
    else:
        print_text(f"{name}: forge run ordered, seed {seed}: {run.page}")


def _reported(version: str) -> Explanation:
    """Read a version from its file, or from the registry with what its agent did."""
    from crucible.forge.reporting.explain import explain_file, explain_version, version_number

    path = Path(version)
    if path.is_file() or path.suffix == ".json":
        return explain_file(path)
    from crucible.operations.workspace import Workspace
    from crucible.settings import load_settings

    workspace = Workspace.at(load_settings().home)
    registry = _registry(workspace)
    slot, number = version_number(registry, version)
    return explain_version(registry, f"{slot}/{number}", _agents(workspace, f"{slot}@{number}"))


def _change(
    slot: str, version: str, change: Change, reason: str, operator: str, wait: float, as_json: bool
) -> None:
    from crucible.settings import Slot

    name = Slot.parse(slot).name
    workspace = open_workspace()
    with waiting(f"{change} {name}"):
        from crucible.lifecycle.requests import await_change, request_change

        run = request_change(workspace, name, version, change, reason, operator)
        await_change(
            workspace, run, wait, lambda line: print(f"{change} {name}: {line}", file=sys.stderr)
        )
        aliases = _registry(workspace).aliases(name)
    if as_json:
        print_json({"slot": name, "action": change, "aliases": aliases, **run.to_json()})
        return
    held = ", ".join(f"{alias} is version {number}" for alias, number in aliases.items())
    print_text(
        f"{name}: done; {held or 'no version has an alias now'}; the arena obeys within seconds"
    )


def _refuse_undeployed(workspace: Workspace, slot: str) -> None:
    """Refuse a slot that nobody trades: its version would be registered, and no agent would ever get it.

    Slots are those of the running stack, as it looked at them last, or else those of the settings.

    Raises
    ------
    SettingsError
        Naming the slots that there are.
    """
    from crucible.forge.progress import read_slots
    from crucible.setting_names import SettingsError

    looked_at = [str(row.get("slot")) for row in read_slots(workspace.path / "forge").rows]
    known = looked_at or completion.slots("")
    if known and slot not in known:
        message = (
            f"{slot} is no slot of the deployment, so nobody would trade what is found; there are "
            f"{', '.join(known)}; add it under [deployment] and start anew, or search without the "
            "stack: crucible forge"
        )
        raise SettingsError(message)


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
