"""What reports and alerts ask of a ledger."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from crucible.ledger.reader import LedgerReader


class ReportReader(LedgerReader):
    """A ledger, open for reading by a report or by alerts."""

    def decided_prices(self) -> dict[str, Decimal]:
        """Give by intent the close at which an order was decided on; those that protect a position have none."""
        rows = self._db.execute(
            "SELECT intent_id, price FROM decisions WHERE intent_id IS NOT NULL "
            "AND action IN ('buy', 'exit')"
        )
        return {str(row["intent_id"]): Decimal(row["price"]) for row in rows}

    def verdicts_after(self, ts: int) -> list[dict[str, Any]]:
        """Give the verdicts other than "keep" of every completed judgement after a market instant, oldest first."""
        rows = self._db.execute(
            "SELECT ts, agent, version, verdict, reason, json_extract(details, '$.role') AS role "
            "FROM verdicts WHERE ts > ? AND ts <= ? AND verdict != 'keep' ORDER BY ts, agent",
            (ts, self.last_judged() or 0),
        )
        return [dict(row) for row in rows]

    def newest_judgements(self) -> list[dict[str, Any]]:
        """Give the newest verdict on each agent, with its details."""
        rows = self._db.execute(
            "SELECT ts, agent, verdict, reason, details FROM verdicts "
            "WHERE (agent, ts) IN (SELECT agent, max(ts) FROM verdicts GROUP BY agent)"
        )
        return [{**dict(row), "details": json.loads(row["details"])} for row in rows]
