"""Why was this order sent? One order of the journal or the ledger, with the decision behind it.

Entry points: `find_order`, `OrderStory.sentences`. What came before the agent (its version, its forge run, its
seed) is the registry's to tell.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from crucible.ledger.reader import AgentRow, LedgerReader
from crucible.operations.errors import BooksError, WorkspaceError
from crucible.operations.reconciliation.own_accounts import open_ledger, open_records
from crucible.operations.workspace import Run, Workspace
from crucible.text import counted, moment

LINK = "c-"
"""How client order ids begin; the rest is the intent id without its hyphens."""
_PROTECTION = {
    "stop": "its stop was reached",
    "take_profit": "its target was reached",
    "deadline": "it had been held for as long as its rule allows",
}


@dataclass(frozen=True, slots=True)
class OrderStory:
    """One order and what led to it.

    Attributes
    ----------
    run : str
        The run in which it was sent.
    intent_id : str
    agent : str
        ``SLOT@VERSION``, or whoever else sent it.
    order : mapping or None
        Cerebellum's row; None for an order of a simulated venue.
    fills : sequence of mapping
        Executions, oldest first.
    decision : mapping or None
        The agent's decision for which it was sent; None where no agent decided it, as of a stop.
    entry : mapping or None
        Of an exit: the decision that opened the position.
    row : AgentRow or None
        The agent as the ledger knows it.
    """

    run: str
    intent_id: str
    agent: str
    order: Mapping[str, Any] | None
    fills: Sequence[Mapping[str, Any]]
    decision: Mapping[str, Any] | None
    entry: Mapping[str, Any] | None
    row: AgentRow | None

    @property
    def slot_and_version(self) -> tuple[str, str]:
        """Give where the agent's version stands in the registry; empty texts for one that is in none."""
        slot, _, version = self.agent.rpartition("@")
        return (slot, version) if slot and version.isdigit() else ("", "")

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values; money and sizes as decimal strings."""
        row = self.row
        return {
            "run": self.run,
            "intent_id": self.intent_id,
            "agent": self.agent,
            "role": None if row is None else row.role,
            "proven_by": None if row is None else row.proven_by or None,
            "order": None if self.order is None else dict(self.order),
            "fills": [dict(fill) for fill in self.fills],
            "decision": None if self.decision is None else dict(self.decision),
            "entry": None if self.entry is None else dict(self.entry),
        }

    def sentences(self) -> list[str]:
        """Tell it to a person, from the decision to the outcome."""
        return [
            self._what_was_sent(),
            *self._why(),
            *(_size(self.decision) if self.decision else []),
            *self._terms(),
            *self._outcome(),
        ]

    def _what_was_sent(self) -> str:
        side, qty, symbol, ts, simulated = self._body()
        who = self.agent
        if self.row is not None:
            proven = f"proven: {self.row.proven_by}" if self.row.proven else "unproven"
            who += f" ({self.row.role}, {proven})"
        how = "in simulation " if simulated else ""
        return f"{who} asked {how}to {side} {qty} {symbol} at market time {moment(ts)} UTC."

    def _body(self) -> tuple[str, str, str, int, bool]:
        if self.order is not None:
            order = self.order
            return order["side"], order["qty"], order["symbol"], int(order["ts"]), False
        first = self.fills[0]
        total = sum((Decimal(fill["qty"]) for fill in self.fills), Decimal(0))
        return first["side"], str(total), first["symbol"], int(first["exec_ts"]), True

    def _why(self) -> list[str]:
        if self.decision is not None:
            decision = self.decision
            action, reason = decision["action"], decision["reason"]
            why = "its rule's exit" if action == reason == "exit" else reason
            text = (
                f"It decided so ({action}) at the close of {moment(int(decision['ts']))} UTC, at a "
                f"price of {decision['price']}: {why}."
            )
            return [text, *self._opened()]
        reason = str(self.order["reason"] if self.order else self.fills[0]["reason"])
        if reason in _PROTECTION:
            text = (
                f"No decision of the agent: the position was closed because {_PROTECTION[reason]}."
            )
            return [text, *self._opened()]
        return [f"No decision of an agent belongs to it; the reason that came with it: {reason}."]

    def _opened(self) -> list[str]:
        entry = self.entry
        if entry is None:
            return []
        when = moment(int(entry["ts"]))
        opened = f"The position was opened by the decision at {when} UTC, at a price of "
        return [f"{opened}{entry['price']}: {entry['reason']}."]

    def _terms(self) -> list[str]:
        order = self.order
        if order is None:
            return []
        limit = order["limit_price"]
        terms = [f"a {order['kind']} order" + (f" at {limit}" if limit else "")]
        terms += [f"valid for {int(order['ttl_ms']) / 1000:g} s"]
        protect = order["protect"] or {}
        for name, title in (("stop", "stop"), ("take_profit", "target")):
            if protect.get(name):
                terms.append(f"{title} {protect[name]}")
        if protect.get("deadline_ts"):
            terms.append(f"to be left by {moment(int(protect['deadline_ts']))} UTC")
        if order["reduce_only"]:
            terms.append("reduce-only")
        return [f"It was {', '.join(terms)}; the venue knows it as {order['order_link_id']}."]

    def _outcome(self) -> list[str]:
        filled = sum((Decimal(fill["qty"]) for fill in self.fills), Decimal(0))
        lines = []
        if self.order is not None:
            text = f" ({self.order['code']}: {self.order['text']})" if self.order["code"] else ""
            lines.append(f"It ended {self.order['status']}{text}."
                         if not self.order["is_open"] else f"It is {self.order['status']}.")  # fmt: skip
        if filled:
            value = sum(
                (Decimal(fill["qty"]) * Decimal(fill["price"]) for fill in self.fills), Decimal(0)
            )
            fee = sum((Decimal(fill["fee"]) for fill in self.fills), Decimal(0))
            price = f"{value / filled:.8f}".rstrip("0").rstrip(".")
            lines.append(
                f"Filled {filled} at {price} on average in {counted(len(self.fills), 'execution')}, "
                f"fees {fee} USDT."
            )
        else:
            lines.append("Nothing of it was filled.")
        return lines


def find_order(workspace: Workspace, name: str) -> OrderStory:
    """Find an order by its intent id, its client order id or the id of one of its fills, newest run first.

    Raises
    ------
    WorkspaceError
        If no run knows it.
    BooksError
        If a journal or a ledger cannot be read.
    """
    runs = workspace.every_run()
    for run in reversed(runs):
        story = _find(run, name)
        if story is not None:
            return story
    searched = f"{counted(len(runs), 'run')} of {workspace.path}"
    if not runs:
        searched = f"nothing has run in {workspace.path} yet"
    message = (
        f"no order or fill is called {name!r} ({searched}); give an intent id, a client order id "
        f"({LINK}...) or an execution's id, as crucible explain and the venue show them"
    )
    raise WorkspaceError(message)


def intent_of(name: str) -> str:
    """Give the intent id that a name stands for, as it is where it is no client order id.

    Examples
    --------
    >>> intent_of("c-018bcfe5680070008000000000000005")
    '018bcfe5-6800-7000-8000-000000000005'
    """
    with suppress(ValueError):
        return str(uuid.UUID(name.removeprefix(LINK)))
    return name


def _find(run: Run, name: str) -> OrderStory | None:
    order, fills = _in_journal(run, name)
    with open_ledger(run.ledger) as ledger:
        if order is None and ledger is not None:
            fills = _simulated(ledger, name)
        if order is None and not fills:
            return None
        intent_id = str(order["intent_id"] if order else fills[0]["intent_id"])
        agent = str(order["agent"] if order else fills[0]["agent"])
        decision, entry, row = None, None, None
        if ledger is not None:
            decision, entry = _decisions(ledger, agent, order, fills[0] if fills else {})
            row = next((each for each in ledger.agents() if each.agent == agent), None)
    return OrderStory(run.run_id, intent_id, agent, order, fills, decision, entry, row)


def _in_journal(run: Run, name: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    if not run.journal.exists():
        return None, []
    with open_records(run.journal) as journal:
        found = journal.execute("SELECT intent_id FROM fills WHERE exec_id = ?", (name,)).fetchone()
        intent_id = str(found["intent_id"]) if found else intent_of(name)
        row = journal.execute("SELECT * FROM orders WHERE intent_id = ?", (intent_id,)).fetchone()
        if row is None:
            return None, []
        held = dict(row)
        if "intent_qty" not in held:
            message = f"{run.journal}: written by an older Crucible; its orders cannot be explained"
            raise BooksError(message)
        fills = journal.execute(
            "SELECT exec_id, intent_id, agent, version, symbol, side, qty, price, fee, exec_ts FROM fills "
            "WHERE intent_id = ? ORDER BY seq",
            (intent_id,),
        ).fetchall()
    names = ("intent_id", "order_link_id", "order_id", "agent", "version", "symbol", "side", "kind")
    more = ("ts", "ttl_ms", "reason", "origin", "status", "filled_qty", "code", "text")
    return {
        **{each: held[each] for each in (*names, *more)},
        "qty": held["qty"] or held["intent_qty"],
        "limit_price": held["limit_price"] or held["intent_limit_price"],
        "reduce_only": bool(held["reduce_only"]),
        "is_open": bool(held["is_open"]),
        "protect": json.loads(held["protect"]) if held["protect"] else None,
    }, [dict(fill) for fill in fills]


def _simulated(ledger: LedgerReader, name: str) -> list[dict[str, Any]]:
    """Give a simulated fill; a challenger's orders stand in no journal and have no id of their own."""
    return [
        {
            "exec_id": fill.exec_id,
            "intent_id": fill.intent_id,
            "agent": fill.agent,
            "version": fill.version,
            "symbol": fill.symbol,
            "side": fill.side,
            "qty": str(fill.qty),
            "price": str(fill.price),
            "fee": str(fill.fee),
            "exec_ts": fill.exec_ts,
            "reason": fill.reason,
        }
        for fill in ledger.fills()
        if fill.mode == "shadow" and fill.exec_id == name
    ]


def _decisions(
    ledger: LedgerReader, agent: str, order: Mapping[str, Any] | None, fill: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Give the decision behind an order or a simulated fill, and of an exit the entry before it."""
    made = [row for row in ledger.decisions(agent) if row["action"] in {"buy", "exit"}]
    if order is not None:
        until = int(order["ts"])
        decision = next((row for row in made if row["intent_id"] == order["intent_id"]), None)
    else:
        # A simulated order is filled at the open after the decision; a stop was decided by nobody.
        until = int(fill["exec_ts"])
        action = "buy" if fill["side"] == "buy" else "exit"
        by_agent = [row for row in made if row["action"] == action and int(row["ts"]) <= until]
        decision = by_agent[-1] if by_agent and fill["reason"] not in _PROTECTION else None
    if decision is not None and decision["action"] == "buy":
        return decision, None
    before = until if decision is None else int(decision["ts"])
    entries = [row for row in made if row["action"] == "buy" and int(row["ts"]) <= before]
    return decision, entries[-1] if entries else None


def _size(decision: Mapping[str, Any]) -> list[str]:
    """Tell what made the size of an entry, every multiplier with its figures."""
    sizing = decision.get("sizing")
    if not sizing:
        return []
    multipliers = dict(sizing.get("multipliers") or {})
    product = multipliers.pop("product", None)
    lines = [
        f"Its size: {sizing['fraction_before']:.4%} of its equity before the multipliers, "
        f"{sizing['fraction']:.4%} after them"
        + (f" (together {product:g})." if product is not None else ".")
    ]
    for name, item in multipliers.items():
        figures = ", ".join(
            f"{feature} {'has no figure' if value is None else f'{value + 0.0:g}'}"
            for feature, value in item["inputs"].items()
        )
        value = "left out" if item["value"] is None else f"{item['value']:g}"
        lines.append(
            f"  {name.replace('_', '-')}: {value}, {item['state']}; {figures}".rstrip("; ")
        )
    return lines
