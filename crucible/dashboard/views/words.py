"""Sentences for people: a decision with every number that made it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from crucible.operations.reconciliation.accounts import plain
from crucible.operations.status import market_time

_DID = {
    "buy": "it ordered to buy",
    "exit": "it ordered to close",
    "skip": "it wanted to buy and did not",
    "wait": "it wanted to close and waited",
    "quarantine": "it was quarantined",
}


def decision_in_words(decision: Mapping[str, Any], *, brief: bool = False) -> str:
    """Say what an agent decided, when, at what price, why, what made its size (unless `brief`), and what became of it.

    Examples
    --------
    >>> decision_in_words(
    ...     {"ts": 0, "action": "exit", "reason": "signal", "price": "100", "qty": "0.5"}
    ... )
    'At 1970-01-01 00:00 UTC it ordered to close 0.5 at a price of 100: signal.'
    """
    action = str(decision.get("action"))
    parts = [f"At {market_time(decision['ts'])} {_DID.get(action, action)}"]
    if decision.get("qty"):
        parts.append(f" {plain(Decimal(decision['qty']))}")
    if decision.get("price"):
        parts.append(f" at a price of {plain(Decimal(decision['price']))}")
    if decision.get("reason"):
        parts.append(f": {decision['reason']}")
    size = "" if brief else size_in_words(decision.get("sizing"))
    parts.append(f"; {size}" if size else "")
    if decision.get("outcome"):
        parts.append(f"; outcome: {decision['outcome']}")
    return "".join(parts) + "."


def size_in_words(sizing: Mapping[str, Any] | None) -> str:
    """Say what made the size of an entry; empty where nothing is kept of it."""
    if not sizing:
        return ""
    parts = []
    for name, value in sizing.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            parts.append(f"{name.replace('_', ' ')} {value:g}")
        elif name == "multipliers" and isinstance(value, Mapping):
            parts += [_multiplier(each, held) for each, held in value.items()]
    return ", ".join(parts)


def _multiplier(name: str, held: object) -> str:
    word = name.replace("_", " ")
    if not isinstance(held, Mapping):
        return f"{word} {held:g}" if isinstance(held, int | float) else f"{word} {held}"
    value, state = held.get("value"), held.get("state")
    inputs = held.get("inputs") or {}
    made = " ".join(
        f"{each} {'not known' if figure is None else format(figure + 0.0, 'g')}"
        for each, figure in inputs.items()
        if figure is None or isinstance(figure, int | float)
    )
    said = f"{word} {state}" if value is None else f"{word} x{value:g} ({state})"
    return f"{said} from {made}" if made else said
