"""Commands that hold trading back or let it go on."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from crucible.commands.options import find_cerebellum


def kill(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for flat positions.")] = 10.0,
) -> None:
    """Halt every agent, cancel every order and close every position, now."""
    from crucible.operations.control import halt_and_flatten

    addresses = find_cerebellum()
    if not yes:
        typer.confirm("Halt all trading and close every position?", abort=True)
    halted = halt_and_flatten(addresses, "operator's kill switch", wait)
    print(
        f"halted; {halted.cancels}; "
        f"open positions {halted.open_positions}, open orders {halted.open_orders}; "
        "to go on: crucible resume --operator NAME"
    )
    if not halted.flat:
        print("crucible: not everything could be closed yet; run it again", file=sys.stderr)
        sys.exit(1)


def resume(
    operator: Annotated[str, typer.Option(help="Your name, for the journal.")],
    agent: Annotated[str | None, typer.Option(help="Only this agent, SLOT@VERSION.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol.")] = None,
) -> None:
    """Let trading go on after a halt, a kill, a tripped dead-man switch or a day's loss."""
    from crucible.operations.control import resume as move_up

    resumed = move_up(find_cerebellum(), operator, agent, symbol)
    scope = " in ".join(filter(None, (agent, symbol))) or "everything"
    print(f"{scope} is ACTIVE again; it was {resumed.before}")
    for held in resumed.still_held:
        print(f"{held} all the same; crucible status tells why")
