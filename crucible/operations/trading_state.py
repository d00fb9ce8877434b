"""May agents trade? Cerebellum's own answer, read from the journal that it commits before it tells anyone.

While it cannot write its journal, it says so in its metrics. No other process is asked: what the arena
or a page believes of the state decides nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from crucible import sqlite
from crucible.operations.errors import BooksError
from crucible.operations.reconciliation.own_accounts import open_records
from crucible.operations.supervision.probe import page

State = Literal["ACTIVE", "REDUCE_ONLY", "HALTED", "STOPPED", "UNKNOWN"]
LIFT = "crucible resume --operator NAME"
# How far back the reason of a state is looked for: the page asks every two seconds.
NEWEST_EVENTS = 50_000
_WORDS = {
    "deadman": "the dead-man switch: no arena was heard",
    "daily_loss": "the limit on a day's loss; it can be lifted from the next market day",
}
# Levels of `cerebellum_journal_trouble`.
_UNWRITTEN = {
    1: "no disk space is left but the reserve that exits need",
    2: "the journal cannot be written: the disk is full, or another program holds the file",
}
_MEANS = {
    "ACTIVE": "orders may leave",
    "REDUCE_ONLY": "positions may only become smaller",
    "HALTED": "no order of an agent leaves",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """The state of one agent, one symbol, one agent in one symbol, or (both None) of everything.

    Attributes
    ----------
    agent, symbol : str or None
    state : {'ACTIVE', 'REDUCE_ONLY', 'HALTED', 'STOPPED', 'UNKNOWN'}
    since_ts : int or None
        Market time of the move, epoch milliseconds; None where no move is known.
    reason : str
        Who or what moved it; empty where that is not known.
    """

    agent: str | None
    symbol: str | None
    state: State
    since_ts: int | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """What it covers, in words."""
        if self.agent is None and self.symbol is None:
            return "everything"
        return " in ".join(filter(None, (self.agent, self.symbol)))

    @property
    def lift(self) -> str | None:
        """Give the command that lets it trade again; None where there is nothing to lift."""
        if self.state not in {"REDUCE_ONLY", "HALTED"}:
            return None
        words = [LIFT]
        words += [f"--agent {self.agent}"] if self.agent else []
        words += [f"--symbol {self.symbol}"] if self.symbol else []
        return " ".join(words)

    @property
    def reported(self) -> str:
        """Since when and why, in words; empty where neither is known."""
        since = "" if self.since_ts is None else f"since {_instant(self.since_ts)}"
        return ", ".join(filter(None, (since, _WORDS.get(self.reason, self.reason))))

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "agent": self.agent,
            "symbol": self.symbol,
            "state": self.state,
            "since_ts": self.since_ts,
            "reason": self.reason,
            "lift": self.lift,
        }


@dataclass(frozen=True, slots=True)
class Trading:
    """What may be sent now.

    Attributes
    ----------
    whole : Scope
        The global state. STOPPED: no Cerebellum runs, so nothing is sent at all. UNKNOWN: it cannot
        be read, and `why` says why.
    scopes : tuple of Scope
        Agents and symbols that are held back on their own.
    why : str
        What keeps the state from being known, or from meaning what it says.
    """

    whole: Scope
    scopes: tuple[Scope, ...] = ()
    why: str = ""

    @property
    def state(self) -> State:
        """The global state."""
        return self.whole.state

    @property
    def lines(self) -> list[str]:
        """Say it for people: the global state first, then everything that is held back on its own."""
        means = _MEANS.get(self.state, "")
        first = ": ".join(filter(None, (self.state, means)))
        parts = [first, self.whole.reported, self.why]
        if self.whole.lift:
            parts.append(f"lift it: {self.whole.lift}")
        lines = ["; ".join(filter(None, parts))]
        for scope in self.scopes:
            reported = [f"{scope.name} is {scope.state}", scope.reported]
            reported += [f"lift it: {scope.lift}"] if scope.lift else []
            lines.append("; ".join(filter(None, reported)))
        return lines

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        whole = self.whole.to_json()
        return {
            **{name: whole[name] for name in ("state", "since_ts", "reason", "lift")},
            "why": self.why,
            "scopes": [scope.to_json() for scope in self.scopes],
            "text": self.lines,
        }


def unknown(why: str) -> Trading:
    """Say that the state cannot be known."""
    return Trading(Scope(None, None, "UNKNOWN"), why=why)


def journal_trouble(metrics: str) -> int | None:
    """Ask Cerebellum how well it can write its journal.

    Parameters
    ----------
    metrics : str
        Address of its metrics; empty where it is not known.

    Returns
    -------
    int or None
        0: it can. 1: into its reserve only. 2: not at all. None: it does not say.
    """
    for line in (page(metrics) or b"").splitlines():
        name, _, value = line.partition(b" ")
        if name == b"cerebellum_journal_trouble":
            return int(float(value))
    return None


def read_trading(
    journal: Path | None, *, cerebellum: bool, arena: bool, trouble: int | None
) -> Trading:
    """Tell what may be sent now.

    Parameters
    ----------
    journal : Path or None
        Cerebellum's journal of the run; None when nothing has run.
    cerebellum, arena : bool
        Whether their processes live.
    trouble : int or None
        As `journal_trouble` says.
    """
    if not cerebellum:
        return Trading(Scope(None, None, "STOPPED"), *_kept(journal))
    if journal is None or not journal.exists():
        return unknown("Cerebellum runs, but its journal is not there yet")
    try:
        scopes = _read(journal)
    except BooksError as error:
        return unknown(str(error))
    whole = scopes.pop((None, None), Scope(None, None, "ACTIVE"))
    idle = "" if arena or whole.state != "ACTIVE" else "but no arena runs, so nothing is decided"
    return Trading(whole, _held(scopes), "; ".join(filter(None, (_unwritten(trouble), idle))))


def _unwritten(trouble: int | None) -> str:
    if trouble is None:
        return "but Cerebellum's metrics do not answer: whether its journal can be written is not known"
    return f"but entries are refused, exits go on: {_UNWRITTEN[trouble]}" if trouble else ""


def _kept(journal: Path | None) -> tuple[tuple[Scope, ...], str]:
    """Give what a Cerebellum that does not run will hold back when it goes on with its journal."""
    down = "Cerebellum is down: nothing is sent, and it protects no position"
    if journal is None or not journal.exists():
        return (), down
    try:
        scopes = _read(journal)
    except BooksError as error:
        return (), f"{down}; {error}"
    whole = scopes.pop((None, None), None)
    if whole is not None and whole.state != "ACTIVE":
        reported = f" ({whole.reported})" if whole.reported else ""
        down += f"; its journal says {whole.state}{reported}"
    return _held(scopes), down


def _held(scopes: dict[tuple[str | None, str | None], Scope]) -> tuple[Scope, ...]:
    found = [scope for scope in scopes.values() if scope.state != "ACTIVE"]
    return tuple(sorted(found, key=lambda scope: scope.name))


def _read(journal: Path) -> dict[tuple[str | None, str | None], Scope]:
    """Read every state and, for those that hold something back, who moved it and when."""
    with open_records(journal) as database:
        # One transaction: states and events as of the same instant.
        database.execute("BEGIN")
        states = {
            (row["agent"] or None, row["symbol"] or None): row["state"]
            for row in database.execute("SELECT agent, symbol, state FROM states")
        }
        held = {place for place, state in states.items() if state != "ACTIVE"}
        moves = _newest_moves(database, held) if held else {}
    return {
        place: Scope(*place, state, *moves.get(place, (None, "")))
        for place, state in states.items()
    }


def _newest_moves(
    database: sqlite.Connection, wanted: set[tuple[str | None, str | None]]
) -> dict[tuple[str | None, str | None], tuple[int, str]]:
    newest = database.execute("SELECT max(seq) FROM events").fetchone()[0] or 0
    rows = database.execute(
        "SELECT body FROM events WHERE seq > ? AND type = 'state' ORDER BY seq DESC",
        (newest - NEWEST_EVENTS,),
    )
    found: dict[tuple[str | None, str | None], tuple[int, str]] = {}
    for row in rows:
        try:
            body = json.loads(row["body"])
            place = (body["agent"], body["symbol"])
            found.setdefault(place, (int(body["ts"]), str(body["reason"])))
        except (ValueError, KeyError, TypeError) as error:
            message = f"an event of the journal is not readable: {error}; cerebellum verify-journal"
            raise BooksError(message) from error
        if wanted <= set(found):
            break
    return found


def _instant(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
