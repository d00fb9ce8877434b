"""Commands that hold trading back or let it go on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from crucible.commands import completion
from crucible.commands.options import AsJson, find_cerebellum, print_json, print_text

Agent = Annotated[
    str | None,
    typer.Option(help="Only this agent, SLOT@VERSION.", autocompletion=completion.agents),
]
Symbol = Annotated[
    str | None, typer.Option(help="Only this symbol.", autocompletion=completion.symbols)
]


def kill(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for flat positions.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Halt every agent, cancel every order and close every position, now."""
    from crucible.operations.control import halt_and_flatten

    addresses = find_cerebellum()
    if not yes:
        typer.confirm("Halt all trading and close every position?", abort=True, err=as_json)
    halted = halt_and_flatten(addresses, "operator's kill switch", wait)
    if as_json:
        print_json({**asdict(halted), "flat": halted.flat})
    else:
        begin = [halted.cancels] if halted.cancels else []
        begin += [f"not acknowledged: {one}" for one in halted.unacknowledged]
        if "the halt" in halted.acknowledged:
            begin.insert(0, "halted")
        print_text(
            f"{'; '.join(begin)}; "
            f"open positions {halted.open_positions}, open orders {halted.open_orders}; "
            "to go on: crucible resume --operator NAME"
        )
    if not halted.done:
        why = "could be closed yet" if not halted.flat else "was acknowledged"
        print(f"crucible: not everything {why}; run it again", file=sys.stderr)
        sys.exit(1)


def halt(
    agent: Agent = None,
    symbol: Symbol = None,
    operator: Annotated[str, typer.Option(help="Your name, for the journal.")] = "operator",
    as_json: AsJson = False,
) -> None:
    """Let nothing more be sent: by anybody, by one agent, or in one symbol; positions stay, with their stops."""
    from crucible.operations.control import halt as move_down

    _refuse_unknown(agent, symbol)
    moved = move_down(find_cerebellum(), f"halted by {operator}", agent, symbol)
    if as_json:
        state = {"before": moved.before, "state": moved.after}
        print_json({"agent": agent, "symbol": symbol, **state})
    else:
        options = ("agent", agent), ("symbol", symbol)
        back = [f"--{name} {value}" for name, value in options if value]
        print_text(f"{moved.sentence(agent, symbol)}; positions stay, crucible kill closes them")
        print_text(" ".join(["to go on: crucible resume --operator NAME", *back]))
    _require_moved(moved.after, "HALTED")


def resume(
    operator: Annotated[str, typer.Option(help="Your name, for the journal.")],
    agent: Agent = None,
    symbol: Symbol = None,
    as_json: AsJson = False,
) -> None:
    """Let trading go on after a halt, a kill, a tripped dead-man switch or a day's loss."""
    from crucible.operations.control import held_names
    from crucible.operations.control import resume as move_up

    addresses = find_cerebellum()
    # Whoever has left may still be held back.
    _refuse_unknown(agent, symbol, lambda: held_names(addresses))
    moved = move_up(addresses, operator, agent, symbol)
    if as_json:
        state = {
            "before": moved.before,
            "state": moved.after,
            "still_held": list(moved.still_held),
        }
        print_json({"agent": agent, "symbol": symbol, **state})
    else:
        print_text(moved.sentence(agent, symbol))
        for held in moved.still_held:
            print_text(f"{held} all the same; crucible status tells why")
    _require_moved(moved.after, "ACTIVE")


def _require_moved(state: str, ordered: str) -> None:
    """End with an error where a state was moved on by something else in the meantime."""
    if state != ordered:
        print(
            f"crucible: {ordered} was taken, and it is {state} again; crucible status tells why",
            file=sys.stderr,
        )
        sys.exit(1)


def _refuse_unknown(
    agent: str | None,
    symbol: str | None,
    held: Callable[[], frozenset[str]] = frozenset,
) -> None:
    """Refuse a misspelt name: Cerebellum would move nobody's state, and a person believe that it did.

    Where it is not known who runs, any name is taken; so is one that `held` gives, asked where a name is not known.

    Raises
    ------
    SettingsError
        Naming the nearest that there is.
    """
    from crucible.setting_names import SettingsError, nearest

    for option, name, known in (
        ("--agent", agent, completion.agents("")),
        ("--symbol", symbol, completion.symbols("")),
    ):
        if name is not None and known and name not in known and name not in held():
            meant = nearest(name, known)
            hint = f"the nearest is {meant}" if meant else f"there are {', '.join(known)}"
            message = f"{option} {name}: nothing of that name runs here; {hint}"
            raise SettingsError(message)
