"""The ledger: the arena's record of every fill, decision, verdict and equity mark, in SQLite.

The arena writes what happened and the Watchtower its verdicts (WAL, so that pages and flows read
while it trades). Live fills carry the sequence numbers of Cerebellum's journal; a fill that arrives
twice is booked once. The tables are documented in ``docs/reference/ledger.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple
from decimal import Decimal
from pathlib import Path
from typing import Any

from crucible import sqlite
from crucible.execution.messages import (
    FillEvent,
    FundingEvent,
    JournalEvent,
    OrderEvent,
    RiskEvent,
    StateEvent,
)
from crucible.files import make_folder
from crucible.ledger.parity import ParityDay
from crucible.ledger.reader import PLACEBO, SCHEMA_VERSION, AgentRow, LedgerReader, PairMark
from crucible.ledger.readings import KEPT_MINUTES, Reading
from crucible.ledger.systemic import SystemicFault
from crucible.ledger.trades import Fill, Mode
from crucible.settings import MINUTE_MS

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
    """
    ALTER TABLE agents ADD COLUMN strategy TEXT NOT NULL DEFAULT '';
    ALTER TABLE agents ADD COLUMN proven_by TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE pair_marks (
        challenger TEXT NOT NULL, incumbent TEXT NOT NULL, ts INTEGER NOT NULL,
        challenger_return REAL NOT NULL, incumbent_return REAL NOT NULL,
        challenger_holds INTEGER NOT NULL, incumbent_holds INTEGER NOT NULL,
        PRIMARY KEY (challenger, ts)
    );
    """,
    """
    CREATE TABLE attendance (
        agent TEXT NOT NULL, first_ts INTEGER NOT NULL, last_ts INTEGER NOT NULL,
        holds INTEGER NOT NULL, PRIMARY KEY (agent, first_ts)
    );
    CREATE TABLE parity (
        agent TEXT NOT NULL, ts INTEGER NOT NULL, compared INTEGER NOT NULL, equal INTEGER NOT NULL,
        fills INTEGER NOT NULL, fills_within INTEGER NOT NULL, score REAL, details TEXT NOT NULL,
        PRIMARY KEY (agent, ts)
    );
    """,
    """
    CREATE TABLE readings (
        symbol TEXT NOT NULL, ts INTEGER NOT NULL, regime_change_detected INTEGER,
        influence_in REAL, mce_pressure REAL, mce_skew REAL, radar_distance REAL,
        PRIMARY KEY (symbol, ts)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE systemic_faults (
        ts INTEGER PRIMARY KEY, began_ts INTEGER NOT NULL, agents INTEGER NOT NULL,
        slots INTEGER NOT NULL, seats INTEGER NOT NULL, cause TEXT NOT NULL, of_cause INTEGER NOT NULL
    );
    """,
)


class Ledger(LedgerReader):
    """A ledger file, open for writing: made where there is none, brought up to date where it is older.

    Parameters
    ----------
    path : Path
    wait_s : float
        How long a write waits for another program that writes.

    Raises
    ------
    LedgerError
        If the file cannot be opened or is newer than this code.
    """

    def __init__(self, path: Path, *, wait_s: float = 30.0) -> None:
        super().__init__(path, wait_s=wait_s)

    def _connect(self, wait_s: float) -> sqlite.Connection:
        make_folder(self.path.parent)
        database = sqlite.connect(self.path, timeout_s=wait_s)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        return database

    def _check(self, found: int) -> None:
        if found > SCHEMA_VERSION:
            super()._check(found)
        for number in range(found, SCHEMA_VERSION):
            self._db.executescript(
                f"BEGIN; {_MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
            )

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

    def book_attendance(self, ts: int, agent: str, *, holds: bool) -> None:
        """Record that a production agent decided at a close, and whether it held a position then."""
        cursor = self._db.execute(
            "UPDATE attendance SET last_ts = ?1 WHERE agent = ?2 AND last_ts = ?1 - ?3 AND holds = ?4 "
            "AND first_ts = (SELECT max(first_ts) FROM attendance WHERE agent = ?2)",
            (ts, agent, MINUTE_MS, int(holds)),
        )
        if cursor.rowcount == 0:
            self._db.execute(
                "INSERT OR IGNORE INTO attendance VALUES (?, ?, ?, ?)", (agent, ts, ts, int(holds))
            )

    def book_equity(self, ts: int, marks: Iterable[tuple[str, Mode, Decimal]]) -> None:
        """Record every agent's equity at one market instant."""
        self._db.executemany(
            "INSERT OR REPLACE INTO equity VALUES (?, ?, ?, ?)",
            [(agent, ts, mode, str(value)) for agent, mode, value in marks],
        )

    def book_pairs(self, marks: Iterable[PairMark]) -> None:
        """Record what challengers and the copies of their incumbents returned in a quarter of an hour."""
        self._db.executemany(
            "INSERT OR REPLACE INTO pair_marks VALUES (?, ?, ?, ?, ?, ?, ?)",
            [astuple(mark) for mark in marks],
        )

    def book_readings(self, readings: Iterable[Reading]) -> None:
        """Record what the features said at closed candles; the first reading of a candle stays.

        Those that are older than a symbol's newest `KEPT_MINUTES` are forgotten.
        """
        taken = list(readings)
        self._db.executemany("INSERT OR IGNORE INTO readings VALUES (?, ?, ?, ?, ?, ?, ?)", taken)
        self._db.executemany(
            "DELETE FROM readings WHERE symbol = ?1 AND ts <= (SELECT max(ts) FROM readings WHERE symbol = ?1) - ?2",
            [(symbol, KEPT_MINUTES * MINUTE_MS) for symbol in {each.symbol for each in taken}],
        )

    def set_missing_sources(self, missing: Mapping[str, str]) -> None:
        """Record which features have no source now, and why."""
        self._set_meta("missing_sources", json.dumps(missing, sort_keys=True))

    def book_parity(self, day: ParityDay) -> bool:
        """Record how an agent compares with its backtest on a day; False if that was recorded before."""
        cursor = self._db.execute(
            "INSERT OR IGNORE INTO parity VALUES (?, ?, ?, ?, ?, ?, ?, ?)", day.to_row()
        )
        return cursor.rowcount == 1

    def book_verdict(
        self, ts: int, agent: str, version: str, verdict: str, reason: str, details: dict[str, Any]
    ) -> bool:
        """Record a verdict; False if this agent was already judged at this instant.

        One that is more than "keep" waits from then on, see `waiting_verdicts`; that of a placebo never does.
        """
        with self.transaction():
            cursor = self._db.execute(
                "INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, ?, ?)",
                (ts, agent, version, verdict, reason, json.dumps(details, sort_keys=True)),
            )
            fresh = cursor.rowcount == 1
            if fresh and verdict != "keep" and details.get("role") != PLACEBO:
                self._set_waiting([*self._waiting_verdicts(), (ts, agent)])
        return fresh

    def book_fault(self, fault: SystemicFault) -> bool:
        """Record a systemic fault; False if one was recorded at this instant before."""
        cursor = self._db.execute(
            "INSERT OR IGNORE INTO systemic_faults VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(fault)
        )
        return cursor.rowcount == 1

    def set_carried_out(self, ts: int, agent: str) -> None:
        """Record that a verdict was carried out."""
        with self.transaction():
            waiting = [place for place in self._waiting_verdicts() if place != (ts, agent)]
            self._set_waiting(waiting)

    def _set_waiting(self, places: list[tuple[int, str]]) -> None:
        self._set_meta("waiting_verdicts", json.dumps(places))

    def keep_shadow(self, agent: str, state: dict[str, Any]) -> None:
        """Keep what a challenger's restart needs beyond its fills."""
        self._set_meta(f"shadow:{agent}", json.dumps(state, sort_keys=True))

    def seat(self, row: AgentRow) -> None:
        """Record that an agent trades from now on, or changed its role.

        An agent that was only restarted keeps the instant at which it was seated. One that comes back with
        another strategy file has none from then on: its fills are of more than one.
        """
        self._db.execute(
            "INSERT INTO agents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (agent) DO UPDATE "
            "SET role = excluded.role, proven = excluded.proven, proven_by = excluded.proven_by, "
            "strategy = CASE WHEN strategy = excluded.strategy THEN strategy ELSE '' END, "
            "until_ts = NULL, since_ts = CASE "
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
                row.strategy,
                row.proven_by,
            ),
        )

    def unseat(self, agent: str, ts: int) -> None:
        """Record that an agent trades no more."""
        self._db.execute("UPDATE agents SET until_ts = ? WHERE agent = ?", (ts, agent))

    def set_role(self, agent: str, role: str) -> None:
        """Record that an agent changed its role without being seated anew."""
        self._db.execute("UPDATE agents SET role = ? WHERE agent = ?", (role, agent))

    def set_proof(self, agent: str, proven_by: str) -> None:
        """Record by which route an agent's version is proven now; empty for none."""
        self._db.execute(
            "UPDATE agents SET proven = ?, proven_by = ? WHERE agent = ?",
            (int(bool(proven_by)), proven_by, agent),
        )

    def set_market_ts(self, ts: int) -> None:
        """Record the newest market time that was decided upon."""
        self._set_meta("market_ts", str(ts))

    def _set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def set_recorded(self, ts: int) -> None:
        """Record that every verdict up to a market instant has its run in MLflow."""
        self._set_meta("recorded_ts", str(ts))

    def set_proven_until(self, ts: int) -> None:
        """Record that what is proven by living at a market instant has been sealed."""
        self._set_meta("proven_ts", str(ts))

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
