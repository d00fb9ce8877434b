"""Where alerts come from: Cerebellum's journal, the arena's ledger, the placebos' file and changes of production, each read to its end.

Read only, and from the files alone: nobody is asked, so nobody can be delayed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

from crucible import sqlite
from crucible.errors import CrucibleError
from crucible.ledger.report_reader import ReportReader
from crucible.operations.alerts import messages
from crucible.operations.alerts.changes import changes_after
from crucible.operations.alerts.memory import Memory, Source
from crucible.operations.alerts.messages import Alert
from crucible.operations.reconciliation.own_accounts import open_records
from crucible.operations.workspace import Run, read_json

MOST_ROWS = 2_000
WAIT_S = 2.0
NEVER = 2**62
"""A market instant that does not come."""


def look(run: Run, memory: Memory, report_line: Callable[[str], None]) -> list[Alert]:
    """Give what is new since `memory`, and move it on; what cannot be read now is read at the next look.

    What a source holds when it is read for the first time is passed over: whoever sets an address today is not told of
    last week, nor is anybody told of the past when a file becomes readable.
    """
    found: list[Alert] = []
    steps: dict[Source, tuple[Callable[[], None], Callable[[], list[Alert]]]] = {
        "journal": (
            lambda: _pass_over_journal(run, memory),
            lambda: _journal(run, memory, report_line),
        ),
        "ledger": (lambda: _pass_over_ledger(run, memory), lambda: _ledger(run, memory)),
        "placebos": (lambda: _pass_over_placebos(run, memory), lambda: _placebos(run, memory)),
        "changes": (
            lambda: _pass_over_changes(run, memory),
            lambda: _changes(run, memory, report_line),
        ),
    }
    for name, (pass_over, news) in steps.items():
        try:
            if name in memory.unread:
                pass_over()
                memory.unread.remove(name)
            else:
                found += news()
        except (CrucibleError, sqlite.Error, OSError) as error:
            if memory.troubles.get(name) != str(error):
                memory.troubles[name] = str(error)
                report_line(f"{name}: {error}; looked at again")
        else:
            memory.troubles.pop(name, None)
    return found


def _pass_over_journal(run: Run, memory: Memory) -> None:
    if not run.journal.exists():
        return
    with open_records(run.journal) as journal:
        journal.execute("BEGIN")  # the newest event and what is held back, as of one instant
        row = journal.execute("SELECT max(seq) FROM events").fetchone()
        states = journal.execute("SELECT agent, symbol FROM states WHERE state != 'ACTIVE'")
        held = [[row["agent"] or "", row["symbol"] or ""] for row in states]
    memory.journal_seq, memory.held = row[0] or 0, held


def _pass_over_ledger(run: Run, memory: Memory) -> None:
    if run.ledger.exists():
        with closing(ReportReader(run.ledger, wait_s=WAIT_S)) as ledger:
            memory.judged_ts = ledger.last_judged() or 0
            memory.systemic_ts = max(
                (each.ts for each in ledger.systemic_faults(0, NEVER)), default=0
            )


def _pass_over_placebos(run: Run, memory: Memory) -> None:
    memory.placebo_alarm = bool((read_json(run.placebos) or {}).get("alarm"))


def _pass_over_changes(run: Run, memory: Memory) -> None:
    _, memory.changes_place, _ = changes_after(run, 0)


def _journal(run: Run, memory: Memory, report_line: Callable[[str], None]) -> list[Alert]:
    if not run.journal.exists():
        return []
    with open_records(run.journal) as journal:
        rows = journal.execute(
            "SELECT seq, type, body FROM events WHERE seq > ? AND type IN ('state', 'risk') "
            "ORDER BY seq LIMIT ?",
            (memory.journal_seq, MOST_ROWS),
        ).fetchall()
    found = []
    for row in rows:
        memory.journal_seq = int(row["seq"])
        try:
            body = json.loads(row["body"])
            alert = messages.of_risk(body) if row["type"] == "risk" else _state(body, memory)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, OSError):
            report_line(
                f"event {memory.journal_seq} of the journal cannot be read; it is passed over"
            )
            continue
        if alert is not None:
            found.append(alert)
    return found


def _state(body: dict[str, Any], memory: Memory) -> Alert | None:
    place = [body["agent"] or "", body["symbol"] or ""]
    was_held = place in memory.held
    alert = messages.of_state(body, was_held=was_held)
    if was_held:
        memory.held.remove(place)
    if body["state"] != "ACTIVE":
        memory.held.append(place)
    return alert


def _ledger(run: Run, memory: Memory) -> list[Alert]:
    if not run.ledger.exists():
        return []
    with closing(ReportReader(run.ledger, wait_s=WAIT_S)) as ledger:
        judged, rows = ledger.last_judged(), ledger.verdicts_after(memory.judged_ts)
        faults = ledger.systemic_faults(memory.systemic_ts, NEVER)
    memory.judged_ts = max([memory.judged_ts, judged or 0, *(int(row["ts"]) for row in rows)])
    memory.systemic_ts = max([memory.systemic_ts, *(each.ts for each in faults)])
    # The event first: what it consists of may be more than an hour's alerts.
    found = [messages.of_fault(each) for each in faults if each.is_first]
    return found + [alert for row in rows if (alert := messages.of_verdict(row)) is not None]


def _placebos(run: Run, memory: Memory) -> list[Alert]:
    check = read_json(run.placebos) or {}
    before, memory.placebo_alarm = memory.placebo_alarm, bool(check.get("alarm"))
    if not memory.placebo_alarm or before:
        return []
    return [messages.of_placebos(str(check.get("sentence", "")))]


def _changes(run: Run, memory: Memory, report_line: Callable[[str], None]) -> list[Alert]:
    changes, memory.changes_place, damaged = changes_after(run, memory.changes_place)
    if damaged:
        report_line(
            f"lines of changes of production that cannot be read and are passed over: {damaged}"
        )
    return [alert for each in changes if (alert := messages.of_change(each)) is not None]
