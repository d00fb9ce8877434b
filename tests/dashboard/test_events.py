"""The log of events, page by page: nothing is lost between two pages, and nothing is shown twice."""

import json
from collections import Counter
from decimal import Decimal

import pytest
from starlette.testclient import TestClient

from crucible.dashboard.app import make_app
from crucible.ledger.ledger import Ledger, fill_of
from crucible.ledger.reader import LedgerReader
from tests.support.factories import agent_row, fill_event
from tests.support.pages import BEGAN, LIVES, NOW, ask


def test_events_are_filtered_by_kind_and_agent_and_go_on_where_they_ended(client, ledger):
    fills = ask(client, f"events?kinds=fill&agent={LIVES}")["events"]
    assert [event["ts"] for event in fills] == [
        each.exec_ts for each in reversed(ledger.fills(LIVES))
    ]
    assert {event["kind"] for event in fills} == {"fill"}
    first = ask(client, f"events?kinds=fill&agent={LIVES}&before={fills[3]['ts']}")["events"]
    assert first == fills[4:]


def every_event(client, kinds="", agent=""):
    """The whole log, page by page."""
    found, place = [], ""
    while place is not None:
        page = ask(client, f"events?kinds={kinds}&agent={agent}&before={place}")
        assert len(page["events"]) <= 200
        found += page["events"]
        place = page["next"]
    return found


def test_no_event_is_lost_or_shown_twice_where_five_hundred_share_an_instant(workspace, client):
    with Ledger(workspace.current().ledger) as ledger, ledger.transaction():
        for n in range(500):
            seq = ledger.last_seq() + n + 1
            name = f"BTCUSDT-gp-{2 + n}@1"
            ledger._insert_fill(
                fill_of(
                    fill_event(
                        seq, f"x{n}", agent=(name, LIVES)[n % 2], qty=f"1.{n:03}", exec_ts=NOW
                    )
                )
            )
            ledger.seat(agent_row(name, "challenger", since_ts=NOW))
            ledger.unseat(name, NOW)
            ledger.book_decision(NOW, name, "skip", f"no {n:03}", Decimal(1), None, None)
            ledger._db.execute(
                "INSERT INTO verdicts VALUES (?, ?, '1', 'cull', ?, '{}')",
                (NOW, name, f"bad {n:03}"),
            )
            ledger._db.execute(
                "INSERT INTO alarms VALUES (?, ?, 'code', ?, NULL, NULL)",
                (100_000 + n, NOW, f"{n:03}"),
            )
    client = TestClient(make_app(workspace))
    whole = every_event(client)
    at_once = [event for event in whole if event["ts"] == NOW]
    counts = Counter(event["kind"] for event in at_once)
    assert counts == dict.fromkeys(("fill", "decision", "verdict", "alarm", "birth", "end"), 500)
    assert len({json.dumps(event) for event in at_once}) == 3_000
    assert [event["ts"] for event in whole] == sorted((e["ts"] for e in whole), reverse=True)
    assert len([e for e in every_event(client, "fill", LIVES) if e["ts"] == NOW]) == 250
    for kind in counts:
        assert every_event(client, kind) == [event for event in whole if event["kind"] == kind]


def test_a_fill_that_was_booked_late_stands_in_the_log_where_it_was_executed(workspace, client):
    with Ledger(workspace.current().ledger) as ledger:
        for n in range(300):
            seq = ledger.last_seq() + 1
            ts = BEGAN + 5 if n == 299 else NOW + n
            ledger.book_event(fill_event(seq, f"x{n}", agent=LIVES, qty=f"1.{n:03}", exec_ts=ts))
    found = every_event(TestClient(make_app(workspace)), "fill")
    with LedgerReader(workspace.current().ledger) as reader:
        assert [event["ts"] for event in found] == [
            each.exec_ts for each in reversed(reader.fills())
        ]


def test_what_happened_meanwhile_moves_no_page_of_the_log(workspace, client, monkeypatch):
    monkeypatch.setattr("crucible.dashboard.views.events.MOST", 20)
    place = ask(client, "events?kinds=fill")["next"]
    assert place is not None
    older = ask(client, f"events?kinds=fill&before={place}")["events"]
    with Ledger(workspace.current().ledger) as ledger:
        for n in range(10):
            seq = ledger.last_seq() + 1
            ledger.book_event(fill_event(seq, f"x{n}", agent=LIVES, exec_ts=NOW))
    again = TestClient(make_app(workspace))
    assert ask(again, f"events?kinds=fill&before={place}")["events"] == older


@pytest.mark.parametrize("place", ["x", "1.2", "1.2.3.4", "1.fill.3", "9" * 40])
def test_what_is_no_place_in_the_log_is_no_question(client, place):
    assert client.get(f"/api/events?before={place}").status_code == 404
