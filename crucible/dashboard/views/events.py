"""The log: what happened, newest first, by kind and agent. "keep" verdicts are counted, never listed.

Everything has its place: a market instant, a kind, and a row of that kind. A page of the log ends at a place and the
next one begins there, so that nothing is lost however much happened at one instant, or is booked in the meantime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

from crucible.dashboard.facts import Facts
from crucible.dashboard.views.words import decision_in_words
from crucible.ledger.page_reader import NEWEST, PageReader, Place
from crucible.ledger.reader import AgentRow
from crucible.operations.reconciliation.accounts import plain

KINDS = ("fill", "decision", "verdict", "alarm", "birth", "end", "systemic")
MOST = 200


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the log.

    Attributes
    ----------
    ts : int
        Market instant, epoch milliseconds.
    rank : int
        Of the kind, by which those of one instant are sorted.
    row : int
        Of the event among its kind.
    """

    ts: int
    rank: int
    row: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote, or a market instant alone: before everything that happened at it.

        Raises
        ------
        ValueError
            If it is neither.

        Examples
        --------
        >>> str(Cursor.parse("60000.1.7"))
        '60000.1.7'
        """
        parts = [int(part) for part in text.split(".")]
        if len(parts) not in {1, 3} or any(abs(part) > NEWEST[0] for part in parts):
            message = f"{text!r} is no place in the log"
            raise ValueError(message)
        return cls(*parts) if len(parts) == 3 else cls(parts[0], len(KINDS), 0)

    def __str__(self) -> str:
        return f"{self.ts}.{self.rank}.{self.row}"

    def within(self, kind: str) -> Place:
        """Give where to go on among events of a kind."""
        rank = KINDS.index(kind)
        if rank == self.rank:
            return self.ts, self.row
        return self.ts, NEWEST[1] if rank > self.rank else 0


Row = tuple[int, dict[str, Any]]
"""A row of its kind, and the event."""


def events(
    facts: Facts, kinds: frozenset[str], agent: str | None, before: Cursor | None
) -> dict[str, Any]:
    """Give the newest events before a place in the log.

    Parameters
    ----------
    facts : Facts
    kinds : frozenset of str
        Some of `KINDS`; all of them where it is empty.
    agent : str or None
        Only this agent's.
    before : Cursor or None
        None begins with the newest.
    """
    wanted = kinds & frozenset(KINDS) or frozenset(KINDS)
    found: list[tuple[Cursor, dict[str, Any]]] = []
    for rank, kind in enumerate(KINDS):
        if kind in wanted:
            place = NEWEST if before is None else before.within(kind)
            rows = _READERS[kind](facts, agent, place)
            found += [(Cursor(event["ts"], rank, row), event) for row, event in rows]
    found.sort(key=lambda each: (-each[0].ts, each[0].rank, -each[0].row))
    shown = found[:MOST]
    return {
        "market_ts": facts.market_ts,
        "kinds": list(KINDS),
        "events": [event for _, event in shown],
        "next": str(shown[-1][0]) if len(found) > MOST else None,
    }


def _fills(ledger: PageReader, agent: str | None, before: Place) -> Iterable[Row]:
    for row, fill in ledger.newest_fills_before(agent, before, MOST + 1):
        where = "" if fill.mode == "live" else "simulated: "
        text = f"{where}{fill.side} {plain(fill.qty)} {fill.symbol} at {plain(fill.price)}"
        text += f", fee {plain(fill.fee)}: {fill.reason}"
        yield row, {**_event(fill.exec_ts, "fill", fill.agent, text), "mode": fill.mode}


def _decisions(ledger: PageReader, agent: str | None, before: Place) -> Iterable[Row]:
    for row in ledger.newest_decisions(agent, before, MOST + 1):
        words = decision_in_words(row, brief=True)
        yield row["place"], _event(row["ts"], "decision", row["agent"], words)


def _alarms(ledger: PageReader, agent: str | None, before: Place) -> Iterable[Row]:
    for row in ledger.alarms(agent, before, MOST + 1):
        text = f"{row['code']}: {row['text']}"
        yield row["place"], _event(row["ts"], "alarm", row["agent"] or "", text)


def _systemic(ledger: PageReader, agent: str | None, before: Place) -> Iterable[Row]:
    if agent is not None:  # it is of many
        return
    for fault in ledger.first_systemic_faults(before, MOST + 1):
        yield fault.ts, _event(fault.ts, "systemic", "", fault.sentence)


def _of_ledger(
    read: Callable[[PageReader, str | None, Place], Iterable[Row]],
) -> Callable[[Facts, str | None, Place], Iterable[Row]]:
    return lambda facts, agent, before: (
        () if facts.ledger is None else read(facts.ledger, agent, before)
    )


def _verdicts(facts: Facts, agent: str | None, before: Place) -> Iterable[Row]:
    rows = (
        (each["place"], _event(each["ts"], "verdict", each["agent"], f"{each['verdict']}: {each['reason']}"))
        for each in facts.tally.endings
    )  # fmt: skip
    return _newest(rows, agent, before)


def _births(facts: Facts, agent: str | None, before: Place) -> Iterable[Row]:
    rows = (
        (number, _event(row.since_ts, "birth", row.agent, f"took its place as {row.role}"))
        for number, row in _numbered(facts)
    )
    return _newest(rows, agent, before)


def _ends(facts: Facts, agent: str | None, before: Place) -> Iterable[Row]:
    rows = (
        (number, _event(row.until_ts, "end", row.agent, f"ended as {row.role}"))
        for number, row in _numbered(facts)
        if row.until_ts is not None
    )
    return _newest(rows, agent, before)


def _numbered(facts: Facts) -> list[tuple[int, AgentRow]]:
    numbers = {} if facts.ledger is None else facts.ledger.rows_of_agents()
    return [(numbers[row.agent], row) for row in facts.agents if row.agent in numbers]


def _newest(rows: Iterable[Row], agent: str | None, before: Place) -> list[Row]:
    """Give the newest of rows that are in memory."""
    mine = [
        (row, event)
        for row, event in rows
        if agent in {None, event["agent"]} and (event["ts"], row) < before
    ]
    return sorted(mine, key=lambda each: (each[1]["ts"], each[0]), reverse=True)[: MOST + 1]


def _event(ts: int, kind: str, agent: str, text: str) -> dict[str, Any]:
    return {"ts": ts, "kind": kind, "agent": agent, "text": text}


_READERS: dict[str, Callable[[Facts, str | None, Place], Iterable[Row]]] = {
    "fill": _of_ledger(_fills),
    "decision": _of_ledger(_decisions),
    "verdict": _verdicts,
    "alarm": _of_ledger(_alarms),
    "birth": _births,
    "end": _ends,
    "systemic": _of_ledger(_systemic),
}
