"""The ledger: the arena's record of every fill, decision, verdict and equity mark, in SQLite.

The arena writes what happened and the Watchtower its verdicts (WAL, so that pages and flows read
while it trades). Live fills carry the sequence numbers of Cerebellum's journal; a fill that arrives
twice is booked once. The tables are documented in ``docs/reference/ledger.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from crucible import sqlite
from crucible.errors import CrucibleError
from crucible.execution.messages import (
    FillEvent,
    FundingEvent,
    JournalEvent,
    OrderEvent,
    RiskEvent,
    StateEvent,
)
from crucible.files import make_folder
from crucible.ledger.trades import Fill, Mode, Payment, Trade, pair, with_funding

SCHEMA_VERSION = 2
READABLE_SINCE = 1
"""Oldest version that a reader takes as it is: a run that has ended stays readable."""

_MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE agents (
        agent TEXT PRIMARY KEY, slot TEXT NOT NULL, version TEXT NOT NULL, role TEXT NOT NULL,
        symbol TEXT NOT NULL, kind TEXT NOT NULL, proven INTEGER NOT NULL,
        since_ts INTEGER NOT NULL, until_ts INTEGER
    );
    CREATE TABLE fills (
        exec_id TEXT PRIMARY KEY, seq INTEGER, mode TEXT NOT NULL, agent TEXT NOT NULL,
        version TEXT NOT NULL, slot TEXT NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL,
        qty TEXT NOT NULL, price TEXT NOT NULL, fee TEXT NOT NULL, exec_ts INTEGER NOT NULL,
        intent_id TEXT NOT NULL, reason TEXT NOT NULL
    );
    CREATE INDEX fills_by_agent ON fills (agent, exec_ts);
    CREATE TABLE funding (
        exec_id TEXT NOT NULL, seq INTEGER, mode TEXT NOT NULL, agent TEXT NOT NULL,
        symbol TEXT NOT NULL, amount TEXT NOT NULL, exec_ts INTEGER NOT NULL,
        PRIMARY KEY (exec_id, agent)
    );
    CREATE TABLE decisions (
        ts INTEGER NOT NULL, agent TEXT NOT NULL, action TEXT NOT NULL, reason TEXT NOT NULL,
        price TEXT NOT NULL, qty TEXT, intent_id TEXT, outcome TEXT,
        PRIMARY KEY (ts, agent, action)
    );
    CREATE TABLE orders (intent_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, agent TEXT NOT NULL,
        status TEXT NOT NULL, body TEXT NOT NULL);
    CREATE TABLE alarms (seq INTEGER PRIMARY KEY, ts INTEGER NOT NULL, code TEXT NOT NULL,
        text TEXT NOT NULL, agent TEXT, symbol TEXT);
    CREATE TABLE equity (agent TEXT NOT NULL, ts INTEGER NOT NULL, mode TEXT NOT NULL,
        equity TEXT NOT NULL, PRIMARY KEY (agent, ts));
    CREATE TABLE verdicts (ts INTEGER NOT NULL, agent TEXT NOT NULL, version TEXT NOT NULL,
        verdict TEXT NOT NULL, reason TEXT NOT NULL, details TEXT NOT NULL,
        PRIMARY KEY (ts, agent));
    """,
    "ALTER TABLE decisions ADD COLUMN sizing TEXT;",
)


class LedgerError(CrucibleError, RuntimeError):
    """The ledger cannot be opened or was written by a newer Crucible."""


@dataclass(frozen=True, slots=True)
class AgentRow:
    """One agent as the ledger knows it; `agent` is ``SLOT@VERSION``."""

    agent: str
    slot: str
    version: str
    role: str
    symbol: str
    kind: str
    proven: bool
    since_ts: int
    until_ts: int | None


class Ledger:
    """A ledger file.

    Parameters
    ----------
    path : Path
    read_only : bool
        Readers never create, migrate or lock the file.
    busy_s : float
        How long a write waits for another program that writes.

    Raises
    ------
    LedgerError
        If the file is missing (read only), cannot be opened or is newer than this code.
    """

    def __init__(self, path: Path, *, read_only: bool = False, busy_s: float = 30.0) -> None:
        self.path = path
        try:
            self._open(path, read_only=read_only, busy_s=busy_s)
        except (sqlite.Error, OSError) as error:
            message = (
                f"{path}: cannot be opened as a ledger: {error}; free some space if its disk is full, and "
                "put a copy back if the file is damaged"
            )
            raise LedgerError(message) from error

    def _open(self, path: Path, *, read_only: bool, busy_s: float) -> None:
        if read_only:
            if not path.exists():
                message = f"{path}: no ledger here; start the arena first: crucible up"
                raise LedgerError(message)
            self._db = sqlite.connect_to_read(path)
        else:
            make_folder(path.parent)
            self._db = sqlite.connect(path, timeout_s=busy_s)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.row_factory = sqlite.Row
        self._migrate(read_only=read_only)

    def _migrate(self, *, read_only: bool) -> None:
        found = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if found > SCHEMA_VERSION or (read_only and found < READABLE_SINCE):
            message = f"{self.path}: ledger version {found}, this Crucible reads {SCHEMA_VERSION}"
            raise LedgerError(message)
        if read_only:
            return
        for number in range(found, SCHEMA_VERSION):
            self._db.executescript(
                f"BEGIN; {_MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Group writes: all of them are kept or none."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # On a full disk SQLite may have rolled back by itself.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # --- writing -------------------------------------------------------------------------------

    def book_event(self, event: JournalEvent) -> Fill | None:
        """Book one event of Cerebellum's journal; a fill seen before gives None.

        The fill, the place in the journal and the order's status move together.
        """
        if event.seq <= self.last_seq():
            return None
        fill: Fill | None = None
        with self.transaction():
            if isinstance(event, FillEvent):
                candidate = fill_of(event)
                fill = candidate if self._insert_fill(candidate) else None
            elif isinstance(event, FundingEvent):
                self._db.execute(
                    "INSERT OR IGNORE INTO funding VALUES (?, ?, 'live', ?, ?, ?, ?)",
                    (
                        event.exec_id,
                        event.seq,
                        event.agent,
                        event.symbol,
                        event.amount,
                        event.exec_ts,
                    ),
                )
            elif isinstance(event, OrderEvent):
                order = event.order
                body = json.dumps({name: getattr(order, name) for name in order.__struct_fields__})
                self._db.execute(
                    "INSERT INTO orders VALUES (?, ?, ?, ?, ?) ON CONFLICT (intent_id) DO UPDATE "
                    "SET seq = excluded.seq, status = excluded.status, body = excluded.body",
                    (order.intent_id, event.seq, order.agent, order.status, body),
                )
            elif isinstance(event, RiskEvent):
                self._db.execute(
                    "INSERT OR IGNORE INTO alarms VALUES (?, ?, ?, ?, ?, ?)",
                    (event.seq, event.ts, event.code, event.text, event.agent, event.symbol),
                )
            elif isinstance(event, StateEvent) and event.agent is None and event.symbol is None:
                self._set_meta("state_reason", event.reason)
            self._set_meta("last_seq", str(event.seq))
        return fill

    def book_shadow_fill(self, fill: Fill) -> None:
        """Book a fill that the arena simulated for a challenger."""
        self._insert_fill(fill)

    def _insert_fill(self, fill: Fill) -> bool:
        slot = fill.agent.split("@")[0]
        cursor = self._db.execute(
            "INSERT OR IGNORE INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                fill.exec_id,
                fill.seq,
                fill.mode,
                fill.agent,
                fill.version,
                slot,
                fill.symbol,
                fill.side,
                str(fill.qty),
                str(fill.price),
                str(fill.fee),
                fill.exec_ts,
                fill.intent_id,
                fill.reason,
            ),
        )
        return cursor.rowcount == 1

    def book_decision(
        self,
        ts: int,
        agent: str,
        action: str,
        reason: str,
        price: Decimal,
        qty: Decimal | None,
        intent_id: str | None,
        sizing: Mapping[str, Any] | None = None,
    ) -> None:
        """Record what an agent decided at a closed candle and why; for an entry, what made its size."""
        self._db.execute(
            "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?)",
            (
                ts,
                agent,
                action,
                reason,
                str(price),
                None if qty is None else str(qty),
                intent_id,
                None if sizing is None else json.dumps(sizing, sort_keys=True),
            ),
        )

    def book_outcome(self, intent_id: str, outcome: str) -> None:
        """Record what became of a decision's intent."""
        self._db.execute(
            "UPDATE decisions SET outcome = ? WHERE intent_id = ?", (outcome, intent_id)
        )

    def book_equity(self, ts: int, marks: Iterable[tuple[str, Mode, Decimal]]) -> None:
        """Record every agent's equity at one market instant."""
        self._db.executemany(
            "INSERT OR REPLACE INTO equity VALUES (?, ?, ?, ?)",
            [(agent, ts, mode, str(value)) for agent, mode, value in marks],
        )

    def book_verdict(
        self, ts: int, agent: str, version: str, verdict: str, reason: str, details: dict[str, Any]
    ) -> bool:
        """Record a verdict; False if this agent was already judged at this instant."""
        cursor = self._db.execute(
            "INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, ?, ?)",
            (ts, agent, version, verdict, reason, json.dumps(details, sort_keys=True)),
        )
        return cursor.rowcount == 1

    def keep_shadow(self, agent: str, state: dict[str, Any]) -> None:
        """Keep what a challenger's restart needs beyond its fills."""
        self._set_meta(f"shadow:{agent}", json.dumps(state, sort_keys=True))

    def seat(self, row: AgentRow) -> None:
        """Record that an agent trades from now on, or changed its role.

        An agent that was only restarted keeps the instant at which it was seated.
        """
        self._db.execute(
            "INSERT INTO agents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (agent) DO UPDATE "
            "SET role = excluded.role, proven = excluded.proven, until_ts = NULL, since_ts = CASE "
            "WHEN role = excluded.role AND until_ts IS NULL THEN since_ts ELSE excluded.since_ts END",
            (
                row.agent,
                row.slot,
                row.version,
                row.role,
                row.symbol,
                row.kind,
                int(row.proven),
                row.since_ts,
                row.until_ts,
            ),
        )

    def unseat(self, agent: str, ts: int) -> None:
        """Record that an agent trades no more."""
        self._db.execute("UPDATE agents SET until_ts = ? WHERE agent = ?", (ts, agent))

    def set_market_ts(self, ts: int) -> None:
        """Record the newest market time that was decided upon."""
        self._set_meta("market_ts", str(ts))

    def _set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # --- reading -------------------------------------------------------------------------------

    def _text(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _meta(self, key: str) -> int | None:
        text = self._text(key)
        return None if text is None else int(text)

    def state_reason(self) -> str | None:
        """Give the reason of the newest move of Cerebellum's global state; None before the first."""
        return self._text("state_reason")

    def last_seq(self) -> int:
        """Newest place of Cerebellum's journal that is booked."""
        return self._meta("last_seq") or 0

    def market_ts(self) -> int | None:
        """Newest market time that was decided upon; None before the first candle."""
        return self._meta("market_ts")

    def agents(self, *, active: bool = False) -> list[AgentRow]:
        """Agents in the order they were seated; only those still trading if `active`."""
        where = "WHERE until_ts IS NULL" if active else ""
        rows = self._db.execute(f"SELECT * FROM agents {where} ORDER BY since_ts, agent")  # noqa: S608
        return [AgentRow(**{**dict(row), "proven": bool(row["proven"])}) for row in rows]

    def fills(self, agent: str | None = None, until_ts: int | None = None) -> list[Fill]:
        """Give fills in execution order, of one agent or all, executed before `until_ts`."""
        rows = self._db.execute(
            "SELECT * FROM fills WHERE (?1 IS NULL OR agent = ?1) AND (?2 IS NULL OR exec_ts < ?2) "
            "ORDER BY exec_ts, seq, rowid",
            (agent, until_ts),
        )
        return [
            Fill(
                exec_id=row["exec_id"],
                agent=row["agent"],
                version=row["version"],
                symbol=row["symbol"],
                side=row["side"],
                qty=Decimal(row["qty"]),
                price=Decimal(row["price"]),
                fee=Decimal(row["fee"]),
                exec_ts=row["exec_ts"],
                reason=row["reason"],
                intent_id=row["intent_id"],
                mode=row["mode"],
                seq=row["seq"],
            )
            for row in rows
        ]

    def decisions(self, agent: str) -> list[dict[str, Any]]:
        """Give an agent's decisions, oldest first; `sizing` says what made the size of an entry."""
        rows = self._db.execute("SELECT * FROM decisions WHERE agent = ? ORDER BY ts", (agent,))
        found = [dict(row) for row in rows]
        for row in found:
            row["sizing"] = None if not row.get("sizing") else json.loads(row["sizing"])
        return found

    def orders(self, agent: str) -> list[str]:
        """Give the intents behind an agent's orders, in the journal's order."""
        rows = self._db.execute(
            "SELECT intent_id FROM orders WHERE agent = ? ORDER BY seq", (agent,)
        )
        return [str(row["intent_id"]) for row in rows]

    def kept_shadow(self, agent: str) -> dict[str, Any] | None:
        """Give what `keep_shadow` kept; None for an agent that kept nothing."""
        text = self._text(f"shadow:{agent}")
        return None if text is None else dict(json.loads(text))

    def payments(self, agent: str | None = None) -> list[Payment]:
        """Give what was paid for holding, by one agent or all, in the journal's order."""
        rows = self._db.execute(
            "SELECT agent, symbol, exec_ts, amount FROM funding WHERE ?1 IS NULL OR agent = ?1 "
            "ORDER BY seq",
            (agent,),
        )
        return [
            Payment(row["agent"], row["symbol"], row["exec_ts"], Decimal(row["amount"]))
            for row in rows
        ]

    def open_intent(self, agent: str) -> str | None:
        """Name an order of an agent that has not ended, be it its own or a protective exit."""
        row = self._db.execute(
            "SELECT intent_id FROM orders WHERE agent = ? "
            "AND status NOT IN ('filled', 'cancelled', 'rejected') LIMIT 1",
            (agent,),
        ).fetchone()
        return None if row is None else str(row[0])

    def trades(self, agent: str | None = None, until_ts: int | None = None) -> list[Trade]:
        """Give closed trades, of one agent or all, whose last fill came before `until_ts`.

        Live ones with the funding that the venue charged while they were open.
        """
        return with_funding(pair(self.fills(agent, until_ts))[0], self.payments(agent))

    def live_position(self, agent: str, symbol: str) -> Decimal:
        """Sum the sizes of an agent's fills at the venue, with their signs."""
        fills = (fill for fill in self.fills(agent) if fill.mode == "live")
        return sum((fill.signed_qty for fill in fills if fill.symbol == symbol), Decimal(0))

    def equity(
        self, agent: str, until_ts: int | None = None, mode: Mode | None = None
    ) -> list[tuple[int, Decimal]]:
        """Equity marks of one agent, oldest first, of one mode or both."""
        rows = self._db.execute(
            "SELECT ts, equity FROM equity WHERE agent = ?1 AND (?2 IS NULL OR ts <= ?2) "
            "AND (?3 IS NULL OR mode = ?3) ORDER BY ts",
            (agent, until_ts, mode),
        )
        return [(row["ts"], Decimal(row["equity"])) for row in rows]

    def verdicts(self, agent: str | None = None) -> list[dict[str, Any]]:
        """Verdicts, newest first."""
        rows = self._db.execute(
            "SELECT * FROM verdicts WHERE (?1 IS NULL OR agent = ?1) ORDER BY ts DESC, agent",
            (agent,),
        )
        return [{**dict(row), "details": json.loads(row["details"])} for row in rows]

    def unrecorded(self) -> list[dict[str, Any]]:
        """Verdicts that have no run in MLflow yet, oldest first."""
        rows = self._db.execute(
            "SELECT * FROM verdicts WHERE ts > ? ORDER BY ts, agent",
            (self._meta("recorded_ts") or 0,),
        )
        return [{**dict(row), "details": json.loads(row["details"])} for row in rows]

    def set_recorded(self, ts: int) -> None:
        """Record that every verdict up to a market instant has its run in MLflow."""
        self._set_meta("recorded_ts", str(ts))

    def last_judged(self) -> int | None:
        """Market instant of the newest completed judgement; None before the first."""
        return self._meta("judged_ts")

    def set_last_judged(self, ts: int) -> None:
        """Record that every agent was judged at a market instant."""
        self._set_meta("judged_ts", str(ts))


def fill_of(event: FillEvent) -> Fill:
    """Turn an event of the journal into a fill."""
    return Fill(
        exec_id=event.exec_id,
        agent=event.agent,
        version=event.version,
        symbol=event.symbol,
        side=event.side,
        qty=Decimal(event.qty),
        price=Decimal(event.price),
        fee=Decimal(event.fee),
        exec_ts=event.exec_ts,
        reason=event.reason,
        intent_id=event.intent_id,
        mode="live",
        seq=event.seq,
    )
