"""What an alert says: what happened, to what, and what to do next. Pure: rows in, messages out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from crucible.ledger.systemic import WHAT_NEXT, SystemicFault
from crucible.operations.alerts.changes import PARTS, ProductionChange
from crucible.settings import EVENTS, Event
from crucible.text import moment, visible

BROKEN_PARITY = "broken parity"
"""How the reason of a cull begins that follows from parity."""
MOST_LETTERS = 1_500
ORDERLY = "stop"
"""Reason of the halt with which the stack itself is stopped in order."""

_NEXT_OF_VERDICT: dict[Event, str] = {
    "cull": "Nothing needs to be done: the slot is filled anew. See what it was: crucible explain {agent}",
    "parity": (
        "What is known of its strategy does not hold for what it traded. See all of it: "
        "crucible report --agent {agent} --html FILE"
    ),
    "promotion": (
        "Nothing needs to be done. See what it is: crucible explain {agent}; take it back: "
        "crucible rollback {slot}"
    ),
}
_JOURNAL = "Free space on the disk; see crucible doctor and crucible logs cerebellum"
_ACCOUNT = (
    "Somebody else trades on this account, or a message was lost. Compare the accounts: "
    "crucible report; stop everything if in doubt: crucible kill"
)
_OF_RISK: dict[str, tuple[Event, str, str]] = {
    "reconcile_mismatch": ("reconciliation", "The accounts differ", _ACCOUNT),
    "reconcile_agrees": (
        "reconciliation",
        "The accounts are reconciled again",
        "Nothing needs to be done",
    ),
    "foreign_execution": ("reconciliation", "A fill that no order of ours explains", _ACCOUNT),
    "foreign_order": ("reconciliation", "An order that is not ours", _ACCOUNT),
    "foreign_orders_left": (
        "reconciliation",
        "Orders that are not ours could not be cancelled",
        _ACCOUNT,
    ),
    "impossible_transition": (
        "reconciliation",
        "An order moved as it cannot",
        "See crucible logs cerebellum, and compare the accounts: crucible report",
    ),
    "limits_kept": (
        "limit",
        "Limits of a command differ from the limits file",
        "The command's limits stay in force until the file is read again; see crucible logs cerebellum",
    ),
    "limits_unreadable": (
        "limit",
        "The limits file cannot be read",
        "The limits of before stay in force; correct the file of execution.limits_file",
    ),
    "mark_unknown": (
        "limit",
        "Entries are refused: a limit counts a position without a price",
        "They are taken again once its order book is heard; see crucible status",
    ),
    "exit_failing": (
        "part",
        "An exit does not go through",
        "Look at the venue at once; close it by hand or by crucible kill",
    ),
    "journal_unwritable": ("part", "Cerebellum cannot write its journal", _JOURNAL),
    "journal_written": (
        "part",
        "Cerebellum writes its journal again",
        "Nothing needs to be done",
    ),
    "disconnected": (
        "part",
        "The venue is not heard",
        "It is connected to again by itself; see crucible status",
    ),
    "venue_unreadable": (
        "part",
        "The venue's answers cannot be read",
        "See crucible logs cerebellum",
    ),
    "clock_drift": (
        "part",
        "The clock of this machine is wrong",
        "Set it, and let it be kept right (NTP)",
    ),
}
_PARTS = {
    **{name: f" by the {name.capitalize()}" for name in PARTS},
    "crucible": "",  # put on record when nobody knew any more who it was
}
_REASONS = {
    "deadman": "the dead-man switch: no arena was heard",
    "daily_loss": "the limit on a day's loss",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One message.

    Attributes
    ----------
    event : str
        Of `crucible.settings.EVENTS`.
    title, text : str
    """

    event: Event
    title: str
    text: str

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave.

        Raises
        ------
        ValueError
            If it is something else.
        """
        if value.get("event") not in EVENTS:
            message = f"no event is named {value.get('event')!r}"
            raise ValueError(message)
        return cls(value["event"], str(value["title"]), str(value["text"]))


def of_verdict(row: Mapping[str, Any]) -> Alert | None:
    """Tell a cull; nothing of a placebo's, for which nothing follows, nor of a promotion before it is made (`of_change`)."""
    agent, reason = str(row["agent"]), str(row["reason"])
    if row["verdict"] != "cull" or row.get("role") == "placebo":
        return None
    event: Event = "parity" if reason.startswith(BROKEN_PARITY) else "cull"
    named = "Culled for broken parity" if event == "parity" else "Culled"
    slot = agent.partition("@")[0]
    if row.get("role") == "production":
        reason = f"{_short(reason)}.\nIn production of {slot} is nobody until another version takes the seat"
    step = _NEXT_OF_VERDICT[event].format(agent=agent, slot=slot)
    return _made(event, f"{named}: {agent}", int(row["ts"]), reason, step)


def of_fault(fault: SystemicFault) -> Alert:
    """Tell that many production agents were culled at once."""
    title = f"{fault.agents} production agents were culled within one market day"
    return _made("systemic", title, fault.ts, fault.sentence, WHAT_NEXT)


def of_change(change: ProductionChange) -> Alert | None:
    """Tell a change of production: what, who and why; nothing of a cull, which is told as the verdict that it is."""
    if change.action == "culled":
        return None
    agent = f"{change.slot}@{change.version}"
    event: Event = "cull" if change.action == "retired" else "promotion"
    step = _NEXT_OF_VERDICT[event].format(agent=agent, slot=change.slot)
    now = "nobody" if change.after is None else f"version {change.after}"
    before = "nobody" if change.before is None else f"version {change.before}"
    stands = (
        f"In production is {now}, as before"
        if change.before == change.after
        else f"In production is {now}, before it was {before}"
    )
    who = _PARTS.get(change.operator, f" by {change.operator}")
    title = f"{change.action.capitalize()}{who}: {agent}"
    text = f"{_short(change.reason)}.\n{stands}.\nNext: {step}."
    return Alert(event, visible(title), visible(text, lines=True))


def of_risk(body: Mapping[str, Any]) -> Alert | None:
    """Tell a risk event of Cerebellum; nothing of one that needs nobody."""
    known = _OF_RISK.get(str(body["code"]))
    if known is None:
        return None
    event, title, step = known
    return _made(event, title + _place(body), int(body["ts"]), str(body["text"]), step)


def of_state(body: Mapping[str, Any], *, was_held: bool) -> Alert | None:
    """Tell a move of the trading state.

    Parameters
    ----------
    body : mapping
        Cerebellum's event.
    was_held : bool
        Whether the same scope was held back before: only then is it news that it may trade.
    """
    state, reason = str(body["state"]), str(body["reason"])
    if reason == ORDERLY or (state == "ACTIVE" and not was_held):
        return None
    place = _place(body) or ": everything"
    event: Event = "limit" if reason == "daily_loss" else "halt"
    if state == "ACTIVE":
        title, step = f"Trading goes on{place}", "Nothing needs to be done"
    else:
        lift = " ".join(
            ["crucible resume --operator NAME"]
            + [f"--{name} {body[name]}" for name in ("agent", "symbol") if body.get(name)]
        )
        title = f"{'Halted' if state == 'HALTED' else 'No new positions'}{place}"
        step = f"See crucible status; let it trade again: {lift}"
    return _made(event, title, int(body["ts"]), _REASONS.get(reason, reason), step)


def of_death(name: str, how: str) -> Alert:
    """Tell that a part ended which nobody had stopped."""
    step = f"It is started again by itself; see crucible status and crucible logs {name}"
    return Alert("part", f"Ended: {_short(name)}", f"{_short(how)}.\nNext: {step}.")


def of_end(why: str) -> Alert:
    """Tell that the whole stack stops because of a fault."""
    step = "nothing trades any more; mend it, then start the stack: crucible up"
    return Alert("part", "Crucible stops because of a fault", f"{_short(why)}.\nNext: {step}.")


def of_placebos(sentence: str) -> Alert:
    """Tell that agents that enter at random do better than the stated rates allow."""
    step = "promotions and lived proofs say less than they claim; look at the placebos: crucible status"
    return Alert(
        "placebo", "Placebos do better than they may", f"{_short(sentence)}.\nNext: {step}."
    )


def of_withheld(counts: Mapping[str, int]) -> Alert | None:
    """Sum up what the rate limit held back."""
    named = ", ".join(f"{count} {event}" for event, count in sorted(counts.items()))
    first = next((event for event in EVENTS if counts.get(event)), None)
    if first is None:
        return None
    text = f"{named}.\nNext: see what happened: crucible status; or raise alerts.per_hour."
    return Alert(first, f"{sum(counts.values())} more alerts were held back", text)


def _made(event: Event, title: str, ts: int, what: str, step: str) -> Alert:
    text = f"{_short(what)}.\nAt {moment(ts)} UTC of the market's time.\nNext: {step}."
    return Alert(event, visible(title), visible(text, lines=True))


def _place(body: Mapping[str, Any]) -> str:
    named = " in ".join(str(body[name]) for name in ("agent", "symbol") if body.get(name))
    return f": {named}" if named else ""


def _short(text: str) -> str:
    """Give a foreign text as it may be shown, without its full stop."""
    shown = visible(text.strip())
    shown = shown if len(shown) <= MOST_LETTERS else f"{shown[:MOST_LETTERS]} ..."
    return shown.removesuffix(".")
