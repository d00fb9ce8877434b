"""What the live page asks of a ledger: every question is bounded, whatever the file has grown to.

A question reads the newest rows, a limited number of sampled instants, or what came since it was last asked; it
never walks through the whole file again. Sums of money are exact (`Tally`), they are never made by SQLite.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from crucible.ledger.parity import ParityDay
from crucible.ledger.reader import LedgerReader, fill_of_row
from crucible.ledger.readings import FIGURES, Step
from crucible.ledger.systemic import SystemicFault
from crucible.ledger.trades import Fill, Mode
from crucible.settings import MINUTE_MS

MOST_ROWS = 2_000
"""Rows that one answer holds at most."""
Place = tuple[int, int]
"""A market instant and a row: where a list goes on that is sorted by both, newest first."""
NEWEST: Place = 2**62, 2**62
"""Before the newest row of all."""
EVIDENCE = (
    "trades",
    "gain_evidence",
    "loss_evidence",
    "pair_evidence",
    "drawdown",
    "mean_return",
    "win_rate",
    "parity",
    "parity_decisions",
    "idle_minutes",
    "incumbent",
)
"""Figures of a scorecard that the page shows over time."""
# Agents are found one by one in the index of fills, and of each only the time that is asked for is read.
_AGENTS_OF_FILLS = """
    WITH RECURSIVE names (agent) AS (
        SELECT min(agent) FROM fills
        UNION ALL SELECT (SELECT min(agent) FROM fills WHERE agent > names.agent) FROM names
        WHERE names.agent IS NOT NULL
    )
"""
_FILLS_OF_SYMBOL = f"""{_AGENTS_OF_FILLS}, mine AS (
        SELECT f.rowid AS place, f.exec_ts FROM names CROSS JOIN fills AS f
        WHERE f.agent = names.agent AND f.exec_ts >= :since AND f.symbol = :symbol
    )
"""  # noqa: S608 - ours
# The n-th of `whole` rows is kept where the share of it among `most` reaches the next whole number: the newest always.
_EVENLY = "n * :most / whole > (n - 1) * :most / whole"


class PageReader(LedgerReader):
    """A ledger file, open for the bounded questions of the live page."""

    def rows_written(self) -> int:
        """Give a number that grows with every row of the tables that say what happened."""
        tables = "fills", "verdicts", "decisions", "equity", "funding", "alarms"
        return sum(map(self.newest_row, tables))

    def newest_row(self, table: str) -> int:
        """Give the number of the newest row of a table; 0 before the first."""
        row = self._db.execute(f"SELECT max(rowid) FROM {table}").fetchone()  # noqa: S608 - ours
        return int(row[0] or 0)

    def rows_of_agents(self) -> dict[str, int]:
        """Give the row of each agent, which stays the same however often it is seated."""
        return {
            str(agent): int(row)
            for agent, row in self._db.execute("SELECT agent, rowid FROM agents")
        }

    def fills_after(self, row: int, limit: int) -> Iterator[tuple[int, Fill]]:
        """Give the fills booked after a row, in the order in which they were booked, with their rows."""
        rows = self._db.execute(
            "SELECT rowid AS place, * FROM fills WHERE rowid > ? ORDER BY rowid LIMIT ?",
            (row, limit),
        )
        for found in rows:
            yield int(found["place"]), fill_of_row(found)

    def payments_after(self, row: int, limit: int) -> list[tuple[int, str, int, str]]:
        """Give what was paid for holding after a row: its row, the agent, the instant and the amount."""
        rows = self._db.execute(
            "SELECT rowid, agent, exec_ts, amount FROM funding WHERE rowid > ? AND mode = 'live' "
            "ORDER BY rowid LIMIT ?",
            (row, limit),
        )
        return [(int(place), str(agent), int(ts), str(amount)) for place, agent, ts, amount in rows]

    def endings_between(self, after_row: int, last_row: int) -> list[dict[str, Any]]:
        """Give every verdict but "keep" of some rows, oldest first, with its row and without its details."""
        rows = self._db.execute(
            "SELECT rowid AS place, ts, agent, version, verdict, reason FROM verdicts "
            "WHERE rowid > ? AND rowid <= ? AND verdict != 'keep' ORDER BY rowid",
            (after_row, last_row),
        )
        return [dict(found) for found in rows]

    def scorecards(self, ts: int) -> dict[str, dict[str, Any]]:
        """Give by agent the figures of the judgement at one instant, with its verdict."""
        rows = self._db.execute("SELECT agent, verdict, details FROM verdicts WHERE ts = ?", (ts,))
        return {str(row["agent"]): _card(ts, row) for row in rows}

    def evidence(self, agent: str, instants: Sequence[int]) -> list[dict[str, Any]]:
        """Give an agent's judgements at some instants, oldest first; nothing where it was not judged."""
        rows = self._db.execute(
            "SELECT v.ts AS ts, v.verdict AS verdict, v.details AS details FROM json_each(?1) AS i "
            "CROSS JOIN verdicts AS v WHERE v.ts = i.value AND v.agent = ?2 ORDER BY v.ts",
            (json.dumps(list(instants)), agent),
        )
        return [_card(int(row["ts"]), row) for row in rows]

    def equity_at(self, agent: str, instants: Sequence[int], mode: str) -> dict[int, str]:
        """Give an agent's marks at some instants, as they are written; none where there is no mark."""
        rows = self._db.execute(
            "SELECT e.ts, e.equity FROM json_each(?1) AS i CROSS JOIN equity AS e "
            "WHERE e.agent = ?2 AND e.ts = i.value AND e.mode = ?3",
            (json.dumps(list(instants)), agent, mode),
        )
        return {int(ts): str(equity) for ts, equity in rows}

    def newest_marks(self, agent: str, mode: Mode, limit: int) -> list[tuple[int, str]]:
        """Give an agent's newest marks of one mode, oldest first, as they are written."""
        rows = self._db.execute(
            "SELECT ts, equity FROM equity WHERE agent = ? AND mode = ? ORDER BY ts DESC LIMIT ?",
            (agent, mode, limit),
        ).fetchall()
        return [(int(ts), str(equity)) for ts, equity in reversed(rows)]

    def newest_fills_before(
        self, agent: str | None, before: Place, limit: int
    ) -> list[tuple[int, Fill]]:
        """Give the newest fills of an agent or all before a place, newest first, with their rows."""
        if agent is not None:
            rows = self._db.execute(
                "SELECT rowid AS place, * FROM fills WHERE agent = ?1 AND exec_ts <= ?2 "
                "AND (exec_ts < ?2 OR rowid < ?3) ORDER BY exec_ts DESC, rowid DESC LIMIT ?4",
                (agent, *before, min(limit, MOST_ROWS)),
            )
            return [(int(row["place"]), fill_of_row(row)) for row in rows]
        # Fills are in the order of their execution for each agent alone: whoever filled last is asked first.
        names = self._db.execute(
            f"{_AGENTS_OF_FILLS} SELECT agent, (SELECT exec_ts FROM fills WHERE fills.agent = names.agent "  # noqa: S608 - ours
            "AND exec_ts <= ?1 AND (exec_ts < ?1 OR rowid < ?2) ORDER BY exec_ts DESC LIMIT 1) AS newest "
            "FROM names WHERE newest IS NOT NULL ORDER BY newest DESC",
            before,
        ).fetchall()
        found: list[tuple[int, Fill]] = []
        for name, newest in names:
            if len(found) >= limit and newest < found[limit - 1][1].exec_ts:
                break
            found += self.newest_fills_before(str(name), before, limit)
            found.sort(key=lambda one: (one[1].exec_ts, one[0]), reverse=True)
            del found[limit:]
        return found

    def fills_since(self, symbol: str, since_ts: int, most: int) -> tuple[list[Fill], int]:
        """Give a symbol's fills since an instant, newest first, and how many are left out.

        Where there are more than `most`, the rest is thinned evenly over all of them.
        """
        rows = self._db.execute(
            f"{_FILLS_OF_SYMBOL}, numbered AS (SELECT place, count(*) OVER () AS whole, "  # noqa: S608 - ours
            "row_number() OVER (ORDER BY exec_ts, place) AS n FROM mine) "
            "SELECT whole, fills.* FROM numbered CROSS JOIN fills ON fills.rowid = place "
            f"WHERE {_EVENLY} ORDER BY n DESC",
            {"symbol": symbol, "since": since_ts, "most": min(most, MOST_ROWS)},
        ).fetchall()
        return [fill_of_row(row) for row in rows], rows[0]["whole"] - len(rows) if rows else 0

    def keeps_readings(self) -> bool:
        """Whether the file has a place for readings: one that an older Crucible wrote has none."""
        return int(self._db.execute("PRAGMA user_version").fetchone()[0]) >= 6

    def readings(self, symbol: str, since_ts: int, step_ms: int) -> list[Step]:
        """Give the readings of a symbol's candles that opened since an instant, summed up by steps, oldest first.

        Steps begin at whole multiples of `step_ms`; one without any reading is left out.
        """
        if not self.keeps_readings():
            return []
        means = ", ".join(f"avg({name})" for name in FIGURES)
        rows = self._db.execute(
            "SELECT ts - :minute - (ts - :minute) % :step AS opened, count(*), "  # noqa: S608 - ours
            f"count(regime_change_detected), total(regime_change_detected), {means} FROM readings "
            "WHERE symbol = :symbol AND ts >= :since + :minute GROUP BY opened ORDER BY opened",
            {"symbol": symbol, "since": since_ts, "step": step_ms, "minute": MINUTE_MS},
        )
        return [
            Step(opened, minutes, known, changes > 0, *figures)
            for opened, minutes, known, changes, *figures in rows
        ]

    def missing_sources(self) -> dict[str, str]:
        """Give the features that have no source, each with the reason."""
        return dict(json.loads(self._text("missing_sources") or "{}"))

    def newest_decisions(
        self, agent: str | None, before: Place, limit: int, since_ts: int = 0
    ) -> list[dict[str, Any]]:
        """Give the newest decisions of an agent or all before a place, newest first, with their rows."""
        rows = self._db.execute(
            "SELECT rowid AS place, * FROM decisions WHERE ts >= ?5 AND ts <= ?2 AND (ts < ?2 OR rowid < ?3) "
            "AND (?1 IS NULL OR agent = ?1) ORDER BY ts DESC, rowid DESC LIMIT ?4",
            (agent, *before, min(limit, MOST_ROWS), since_ts),
        )
        found = [dict(row) for row in rows]
        for row in found:
            row["sizing"] = json.loads(row["sizing"]) if row.get("sizing") else None
        return found

    def refused_orders(self, since_ts: int, limit: int) -> list[dict[str, Any]]:
        """Give the newest decisions since an instant whose order was not taken, newest first."""
        rows = self._db.execute(
            "SELECT ts, agent, action, reason, outcome FROM decisions WHERE ts >= ? AND outcome IS NOT NULL "
            "AND outcome NOT IN ('filled', 'pending', 'sent', 'new', 'partially_filled', 'cancelled', 'unknown') "
            "ORDER BY ts DESC LIMIT ?",
            (since_ts, min(limit, MOST_ROWS)),
        )
        return [dict(row) for row in rows]

    def alarms(
        self, agent: str | None, before: Place, limit: int, since_ts: int = 0
    ) -> list[dict[str, Any]]:
        """Give Cerebellum's newest risk events, of an agent or all, before a place, newest first."""
        rows = self._db.execute(
            "SELECT seq AS place, ts, code, text, agent FROM alarms WHERE (?1 IS NULL OR agent = ?1) "
            "AND ts <= ?2 AND (ts < ?2 OR seq < ?3) AND ts >= ?5 ORDER BY seq DESC LIMIT ?4",
            (agent, *before, min(limit, MOST_ROWS), since_ts),
        )
        return [dict(row) for row in rows]

    def first_systemic_faults(self, before: Place, limit: int) -> list[SystemicFault]:
        """Give the newest systemic faults before a place, each where it was seen first, newest first."""
        if int(self._db.execute("PRAGMA user_version").fetchone()[0]) < 7:
            return []
        rows = self._db.execute(
            "SELECT * FROM systemic_faults WHERE ts = began_ts AND ts <= ?1 AND (ts < ?1 OR ts < ?2) "
            "ORDER BY ts DESC LIMIT ?3",
            (*before, min(limit, MOST_ROWS)),
        )
        return [SystemicFault(**dict(row)) for row in rows]

    def newest_parity(self) -> dict[str, ParityDay]:
        """Give by agent the newest day that was compared with its backtest."""
        if int(self._db.execute("PRAGMA user_version").fetchone()[0]) < 5:
            return {}
        rows = self._db.execute("SELECT *, max(ts) FROM parity GROUP BY agent")
        return {str(row["agent"]): ParityDay.of_row(row) for row in rows}


def _card(ts: int, row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row of SQLite
    details = json.loads(row["details"])
    return {"ts": ts, "verdict": row["verdict"], **{name: details.get(name) for name in EVIDENCE}}
