"""Reading the ledger: fills, trades, decisions, orders, verdicts and equity marks of a run.

Readers never create, migrate or lock the file. Every question that anybody asks of a ledger stands here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

from crucible import sqlite
from crucible.errors import CrucibleError
from crucible.ledger.parity import ParityDay, Stretch
from crucible.ledger.systemic import ProductionVerdict, SystemicFault
from crucible.ledger.trades import Fill, Mode, Payment, Trade, pair, with_funding

SCHEMA_VERSION = 7
PLACEBO: Final = "placebo"
"""Role of an agent that enters at random, to check the Watchtower's error rates."""
SHADOW_ROLES = frozenset({"challenger", PLACEBO})
"""Roles of agents whose fills are simulated."""
READABLE_SINCE = 1
"""Oldest version that a reader takes as it is: a run that has ended stays readable."""


class LedgerError(CrucibleError, RuntimeError):
    """The ledger cannot be opened or was written by a newer Crucible."""


@dataclass(frozen=True, slots=True)
class AgentRow:
    """One agent as the ledger knows it; `agent` is ``SLOT@VERSION``.

    `strategy` is the digest of the strategy file that it traded in this run; empty where that is not known, or
    where it was more than one. `proven_by` is the route of its proof, empty where it is unproven.
    """

    agent: str
    slot: str
    version: str
    role: str
    symbol: str
    kind: str
    proven: bool
    since_ts: int
    until_ts: int | None
    strategy: str = ""
    proven_by: str = ""


@dataclass(frozen=True, slots=True)
class ShadowLife:
    """What the newest judgement of an agent as a challenger says of its simulated trades in this run.

    Attributes
    ----------
    agent, version : str
    ts : int
        Market instant of that judgement, epoch milliseconds.
    began_ts : int or None
        Its first simulated fill; None before it.
    strategies : tuple of str
        Digests of the strategy files that it was judged with; an empty one is not known.
    evidence : object
        Wealth against "no gain" over all its simulated trades in this run, whatever seats it had: a number,
        unless the row is damaged.
    trades : object
        How many they are.
    """

    agent: str
    version: str
    ts: int
    began_ts: int | None
    strategies: tuple[str, ...]
    evidence: object
    trades: object


@dataclass(frozen=True, slots=True)
class PlaceboLife:
    """What is known of one life of a placebo, ended or under way.

    Attributes
    ----------
    agent, symbol : str
    since_ts : int
        When it began, market milliseconds.
    verdict : str
        The one that ended it; empty where there is none.
    evidence : float
        The largest wealth against "no gain" at any judgement of it; 1 before the first.
    """

    agent: str
    symbol: str
    since_ts: int
    verdict: str
    evidence: float


@dataclass(frozen=True, slots=True)
class PairMark:
    """What a challenger and the shadow copy of the incumbent returned in the quarter of an hour that ended at `ts`.

    Attributes
    ----------
    challenger, incumbent : str
        Agents, ``SLOT@VERSION``.
    ts : int
        Market instant, epoch milliseconds.
    challenger_return, incumbent_return : float
        Sums of returns of positions, each a fraction of its own opening value, after fees and before funding.
    challenger_holds, incumbent_holds : bool
        Whether they hold a position at `ts`.
    """

    challenger: str
    incumbent: str
    ts: int
    challenger_return: float
    incumbent_return: float
    challenger_holds: bool
    incumbent_holds: bool


class LedgerReader:
    """A ledger file, open for reading.

    Parameters
    ----------
    path : Path
    wait_s : float
        How long a question waits for a program that writes.

    Raises
    ------
    LedgerError
        If the file is missing, cannot be opened or is newer than this code.
    """

    def __init__(self, path: Path, *, wait_s: float = 10.0) -> None:
        self.path = path
        try:
            self._db = self._connect(wait_s)
            self._db.row_factory = sqlite.Row
            self._check(int(self._db.execute("PRAGMA user_version").fetchone()[0]))
        except (sqlite.Error, OSError) as error:
            message = (
                f"{path}: cannot be opened as a ledger: {error}; free some space if its disk is full, and "
                "put a copy back if the file is damaged"
            )
            raise LedgerError(message) from error

    def _connect(self, wait_s: float) -> sqlite.Connection:
        if not self.path.exists():
            message = f"{self.path}: no ledger here; start the arena first: crucible up"
            raise LedgerError(message)
        return sqlite.connect_to_read(self.path, timeout_s=wait_s)

    def _check(self, found: int) -> None:
        if not READABLE_SINCE <= found <= SCHEMA_VERSION:
            message = f"{self.path}: ledger version {found}, this Crucible reads {SCHEMA_VERSION}"
            raise LedgerError(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def one_instant(self) -> Iterator[None]:
        """Answer every question within from the file as it was at one instant."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")

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
        agents = [AgentRow(**{**dict(row), "proven": bool(row["proven"])}) for row in rows]
        # Ledgers of before name no route: there was only one.
        return [
            replace(row, proven_by="forged") if row.proven and not row.proven_by else row
            for row in agents
        ]

    def fills(self, agent: str | None = None, until_ts: int | None = None) -> list[Fill]:
        """Give fills in execution order, of one agent or all, executed before `until_ts`."""
        # Asked with OR, SQLite would not take the index of agents.
        whose = "?1 IS NULL" if agent is None else "agent = ?1"
        rows = self._db.execute(
            f"SELECT * FROM fills WHERE {whose} AND (?2 IS NULL OR exec_ts < ?2) "  # noqa: S608 - ours
            "ORDER BY exec_ts, seq, rowid",
            (agent, until_ts),
        )
        return [fill_of_row(row) for row in rows]

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

    def pair_marks(self, challenger: str, incumbent: str, until_ts: int) -> list[PairMark]:
        """Give the marks of a challenger against one incumbent up to a market instant, oldest first."""
        if int(self._db.execute("PRAGMA user_version").fetchone()[0]) < 4:
            return []  # a run of before pairs were kept
        rows = self._db.execute(
            "SELECT * FROM pair_marks WHERE challenger = ? AND incumbent = ? AND ts <= ? ORDER BY ts",
            (challenger, incumbent, until_ts),
        )
        flags = "challenger_holds", "incumbent_holds"
        return [
            PairMark(**{**dict(row), **{name: bool(row[name]) for name in flags}}) for row in rows
        ]

    def attendance(self, from_ts: int, until_ts: int) -> dict[str, list[Stretch]]:
        """Give by agent the stretches in which it decided that reach into ``[from_ts, until_ts)``, oldest first."""
        if int(self._db.execute("PRAGMA user_version").fetchone()[0]) < 5:
            return {}  # a run of before they were kept
        rows = self._db.execute(
            "SELECT * FROM attendance WHERE last_ts >= ? AND first_ts < ? ORDER BY agent, first_ts",
            (from_ts, until_ts),
        )
        found: dict[str, list[Stretch]] = {}
        for row in rows:
            stretch = Stretch(row["first_ts"], row["last_ts"], bool(row["holds"]))
            found.setdefault(str(row["agent"]), []).append(stretch)
        return found

    def parity(self, agent: str, after_ts: int, until_ts: int) -> list[ParityDay]:
        """Give the days of an agent that ended in ``(after_ts, until_ts]`` and were compared, oldest first."""
        if int(self._db.execute("PRAGMA user_version").fetchone()[0]) < 5:
            return []
        rows = self._db.execute(
            "SELECT * FROM parity WHERE agent = ? AND ts > ? AND ts <= ? ORDER BY ts",
            (agent, after_ts, until_ts),
        )
        return [ParityDay.of_row(row) for row in rows]

    def verdicts(self, agent: str | None = None) -> list[dict[str, Any]]:
        """Verdicts, newest first."""
        rows = self._db.execute(
            "SELECT * FROM verdicts WHERE (?1 IS NULL OR agent = ?1) ORDER BY ts DESC, agent",
            (agent,),
        )
        return [{**dict(row), "details": json.loads(row["details"])} for row in rows]

    def shadow_lives(self, until_ts: int | None = None) -> list[ShadowLife]:
        """Give every agent that was ever judged as a challenger, as it was judged up to `until_ts`.

        Raises
        ------
        LedgerError
            If the verdicts cannot be read.
        """
        try:
            rows = self._db.execute(
                "SELECT agent, version, max(ts) AS ts, details, json_group_array(DISTINCT "
                "coalesce(json_extract(details, '$.strategy'), '')) AS strategies, "
                "(SELECT exec_ts FROM fills WHERE fills.agent = verdicts.agent AND mode = 'shadow' "
                "ORDER BY exec_ts LIMIT 1) AS began_ts FROM verdicts WHERE (?1 IS NULL OR ts <= ?1) "
                "AND json_extract(details, '$.role') = 'challenger' GROUP BY agent ORDER BY agent",
                (until_ts,),
            ).fetchall()
        except sqlite.Error as error:
            message = f"{self.path}: its verdicts cannot be read: {error}; put a copy back"
            raise LedgerError(message) from error
        lives = []
        for row in rows:
            details = json.loads(row["details"])
            lives.append(
                ShadowLife(
                    agent=str(row["agent"]),
                    version=str(row["version"]),
                    ts=int(row["ts"]),
                    began_ts=row["began_ts"],
                    strategies=tuple(map(str, json.loads(row["strategies"]))),
                    evidence=details.get("gain_evidence"),
                    trades=details.get("trades"),
                )
            )
        return lives

    def placebo_lives(self) -> list[PlaceboLife]:
        """Give every life of a placebo, in the order in which they began.

        Raises
        ------
        LedgerError
            If the verdicts cannot be read.
        """
        try:
            rows = self._db.execute(
                "SELECT agent, symbol, since_ts, coalesce(ending, '') AS verdict, "
                "coalesce(largest, 1.0) AS evidence FROM agents LEFT JOIN (SELECT agent AS judged, "
                "max(nullif(verdict, 'keep')) AS ending, "
                "max(CAST(json_extract(details, '$.gain_evidence') AS REAL)) AS largest FROM verdicts "
                "WHERE agent IN (SELECT agent FROM agents WHERE role = ?1) GROUP BY agent) "
                "ON judged = agent WHERE role = ?1 ORDER BY since_ts, agent",
                (PLACEBO,),
            ).fetchall()
        except sqlite.Error as error:
            message = f"{self.path}: its verdicts cannot be read: {error}; put a copy back"
            raise LedgerError(message) from error
        return [PlaceboLife(**dict(row)) for row in rows]

    def ending_verdict(self, agent: str, since_ts: int) -> str:
        """Give the verdict after a market instant that ended an agent's life; empty where there is none."""
        row = self._db.execute(
            "SELECT verdict FROM verdicts WHERE ts > ? AND agent = ? AND verdict != 'keep' LIMIT 1",
            (since_ts, agent),
        ).fetchone()
        return "" if row is None else str(row["verdict"])

    def instants_to_prove(self) -> list[int]:
        """Market instants that were judged, and not yet asked what is proven by living, oldest first."""
        rows = self._db.execute(
            "SELECT DISTINCT ts FROM verdicts WHERE ts > ? ORDER BY ts",
            (self._meta("proven_ts") or 0,),
        )
        return [int(row["ts"]) for row in rows]

    def waiting_verdicts(self) -> list[dict[str, Any]]:
        """Verdicts that were booked and not carried out yet, in the order in which they were booked."""
        places = self._waiting_verdicts()
        if not places:
            return []
        found = {(row["ts"], row["agent"]): row for row in self.verdicts()}
        return [found[place] for place in places]

    def _waiting_verdicts(self) -> list[tuple[int, str]]:
        return [
            (int(ts), str(agent))
            for ts, agent in json.loads(self._text("waiting_verdicts") or "[]")
        ]

    def unrecorded(self) -> list[dict[str, Any]]:
        """Verdicts that have no run in MLflow yet, oldest first."""
        rows = self._db.execute(
            "SELECT * FROM verdicts WHERE ts > ? ORDER BY ts, agent",
            (self._meta("recorded_ts") or 0,),
        )
        return [{**dict(row), "details": json.loads(row["details"])} for row in rows]

    def last_judged(self) -> int | None:
        """Market instant of the newest completed judgement; None before the first."""
        return self._meta("judged_ts")

    def production_verdicts(self, after_ts: int, until_ts: int) -> list[ProductionVerdict]:
        """Give the judgements of production agents after a market instant and up to another, oldest first."""
        rows = self._db.execute(
            "SELECT ts, agent, verdict = 'cull' AS is_cull, reason FROM verdicts WHERE ts > ? AND ts <= ? "
            "AND CASE WHEN json_valid(details) THEN json_extract(details, '$.role') END = 'production' "
            "ORDER BY ts, agent",
            (after_ts, until_ts),
        )
        return [
            ProductionVerdict(int(ts), str(agent), bool(is_cull), str(reason))
            for ts, agent, is_cull, reason in rows
        ]

    def systemic_faults(self, after_ts: int, until_ts: int) -> list[SystemicFault]:
        """Give the systemic faults seen after a market instant and up to another, oldest first."""
        if int(self._db.execute("PRAGMA user_version").fetchone()[0]) < 7:
            return []
        rows = self._db.execute(
            "SELECT * FROM systemic_faults WHERE ts > ? AND ts <= ? ORDER BY ts",
            (after_ts, until_ts),
        )
        return [SystemicFault(**dict(row)) for row in rows]

    def count_live_fills(self) -> int:
        """Count the fills at the venue."""
        return int(self._db.execute("SELECT count(*) FROM fills WHERE mode = 'live'").fetchone()[0])

    def funding_by_execution(self) -> list[tuple[str, Decimal]]:
        """Give the execution ids and amounts of every funding payment at the venue, quote paid."""
        rows = self._db.execute("SELECT exec_id, amount FROM funding WHERE mode = 'live'")
        return [(str(row["exec_id"]), Decimal(row["amount"])) for row in rows]


def fill_of_row(row: Any) -> Fill:  # noqa: ANN401 - a row of SQLite
    """Turn a row of the table into a fill."""
    return Fill(
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
