"""Many culls that are one event are an alert of their own, a line of the log, and a warning of page and status."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from prefect.logging import disable_run_logger
from starlette.testclient import TestClient

import flows.watchtower
from crucible.dashboard.app import make_app
from crucible.ledger.ledger import Ledger
from crucible.lifecycle.context import Context
from crucible.lifecycle.judgement import judge_all
from crucible.operations.status import read_status
from crucible.operations.tables import systemic_line
from crucible.operations.workspace import Run
from crucible.registry.version import Version
from crucible.settings import Settings
from tests.support.alerts import alerts_of
from tests.support.commands import call
from tests.support.contexts import context_of
from tests.support.factories import agent_row
from tests.support.pages import ask
from tests.support.receiver import Receiver

pytestmark = pytest.mark.process  # a receiver listens on the loopback interface

MINUTE, QUARTER, DAY = 60_000, 900_000, 86_400_000
SLOTS = [f"BTCUSDT-gp-{number}" for number in range(1, 7)]
TITLE = "3 production agents were culled within one market day"
SENTENCE = (
    "3 production agents were culled within one market day, in 3 of 6 slots with one; the most frequent cause: "
    "drawdown (3 of them)"
)


class Registry:
    """Six slots with a version in production each, until it is retired."""

    def __init__(self) -> None:
        self.retired: set[str] = set()

    def version(self, slot: str, version: str) -> Version:
        return Version(slot, version, "run", {})

    def aliases(self, slot: str) -> dict[str, str]:
        return {} if slot in self.retired else {"production": "1"}

    def strategy(self, _: Version) -> dict[str, object]:
        return {"exits": {"stop": 0.02, "target": 0.02, "timeout": 600}}

    def forge_seeds(self, _: str) -> list[str]:
        return []


class Watchtower:
    """The flow itself, over a ledger that a test writes; Prefect, MLflow and the venue are stood in for."""

    def __init__(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        home, self.ts = run.path.parents[1], 0
        self.registry = Registry()
        settings = Settings.model_validate({"home": home, "deployment": {"BTCUSDT": {"gp": 6}}})
        self.context: Context = context_of(home, settings, registry=self.registry, run=run)
        flow = flows.watchtower
        monkeypatch.setattr(flow, "load_context", lambda _log: self.context)
        monkeypatch.setattr(flow, "judge_all", judge_all)
        monkeypatch.setattr(
            flow, "promotion", lambda slot, *_, **__: self.registry.retired.add(slot)
        )
        monkeypatch.setattr(flow, "emit_event", lambda **_: None)
        monkeypatch.setattr(flow, "unfinished_runs", lambda _: [])
        monkeypatch.setattr(flow, "create_table_artifact", lambda **_: None)
        monkeypatch.setattr(flow.judgement, "settlements", lambda *_: {})
        monkeypatch.setattr(flow.judgement, "record", lambda *_: None)
        monkeypatch.setattr(flow.lived, "prove_by_living", lambda *_: None)
        monkeypatch.setattr(flow.judgement, "scorecard_rows", lambda *_: [])
        with Ledger(run.ledger) as ledger:
            for slot in SLOTS:
                ledger.seat(agent_row(f"{slot}@1"))
            ledger.set_last_judged(0)

    def turn(self, *lose: str) -> None:
        """Let a quarter of an hour pass in which some slots' agents lose half of what they had, and judge."""
        self.ts += QUARTER
        with Ledger(self.context.run.ledger) as ledger:
            for slot in SLOTS:
                equity = Decimal(5_000 if slot in lose else 10_000)
                ledger.book_equity(self.ts - MINUTE, [(f"{slot}@1", "live", equity)])
            ledger.set_market_ts(self.ts)
        with disable_run_logger():
            flows.watchtower.watchtower.fn()

    def pass_time(self, ts: int) -> None:
        with Ledger(self.context.run.ledger) as ledger:
            ledger.set_market_ts(ts)


@pytest.fixture
def watchtower(run: Run, monkeypatch: pytest.MonkeyPatch) -> Watchtower:
    return Watchtower(run, monkeypatch)


def test_one_event_is_one_alert_a_line_of_the_log_and_a_warning_while_it_lasts(
    run: Run, receiver: Receiver, watchtower: Watchtower
):
    workspace = watchtower.context.workspace
    alerts = alerts_of(run, receiver.url)
    client = TestClient(make_app(workspace))
    watchtower.turn()
    watchtower.turn(*SLOTS[:2])
    alerts.turn()
    assert sorted(receiver.titles) == [f"Culled: {slot}@1" for slot in SLOTS[:2]]
    assert read_status(workspace, ask=False).systemic is None

    watchtower.turn(SLOTS[2])
    alerts.turn()
    watchtower.turn(SLOTS[3])  # of the same event
    alerts.turn()
    alerts_of(run, receiver.url).turn()  # after a restart
    assert [title for title in receiver.titles if "production agents" in title] == [TITLE]
    (text,) = [each["message"] for each in receiver.got if each["title"].endswith(TITLE)]
    assert text.startswith(SENTENCE)
    assert "1970-01-01 00:45 UTC" in text
    next_step = text.partition("\nNext: ")[2]
    assert all(word in next_step for word in ("crucible doctor", "features", "crucible halt"))

    found = ask(client, "events?kinds=systemic")["events"]
    assert [(each["ts"], each["text"]) for each in found] == [(3 * QUARTER, SENTENCE)]
    status = read_status(workspace, ask=False)
    assert status.systemic is not None
    assert (status.systemic["agents"], status.systemic["began_ts"]) == (4, 3 * QUARTER)
    line = systemic_line(status.systemic)
    assert line.plain.startswith("ALARM: 4 production agents were culled")
    assert "crucible doctor" in line.plain
    warned = [
        each for each in ask(client, "overview")["warnings"] if "4 production" in each["text"]
    ]
    assert [each["level"] for each in warned] == ["serious"]
    printed = call(workspace.path, "status")
    assert "ALARM: 4 production agents" in printed.stdout
    assert json.loads(call(workspace.path, "status", "--json").stdout)["systemic"]["slots"] == 4

    watchtower.pass_time(4 * QUARTER + DAY)
    assert read_status(workspace, ask=False).systemic is None
    assert ask(client, "events?kinds=systemic")["events"] == found


def test_it_comes_before_the_culls_that_it_consists_of_where_an_hour_has_few_alerts(
    run: Run, receiver: Receiver, watchtower: Watchtower
):
    alerts = alerts_of(run, receiver.url, per_hour=1)
    watchtower.turn()
    watchtower.turn(*SLOTS[:3])
    alerts.turn()
    assert receiver.titles == [TITLE]


def test_a_judgement_that_is_done_again_after_a_kill_books_it_once(
    watchtower: Watchtower, monkeypatch: pytest.MonkeyPatch
):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    watchtower.turn()
    with monkeypatch.context() as patch:
        patch.setattr(flows.watchtower.systemic, "book_fault", killed)
        with pytest.raises(KeyboardInterrupt):
            watchtower.turn(*SLOTS[:3])  # every verdict is booked, the event is not
    with Ledger(watchtower.context.run.ledger) as ledger:
        assert ledger.systemic_faults(0, DAY) == []
    for _ in range(2):
        with disable_run_logger():
            flows.watchtower.watchtower.fn()
    with Ledger(watchtower.context.run.ledger) as ledger:
        assert [(each.ts, each.agents) for each in ledger.systemic_faults(0, DAY)] == [
            (2 * QUARTER, 3)
        ]


def test_trading_is_held_back_by_nobody_because_of_it(
    run: Run, receiver: Receiver, watchtower: Watchtower
):
    alerts = alerts_of(run, receiver.url)
    watchtower.turn()
    watchtower.turn(*SLOTS[:3])
    alerts.turn()
    kept = {slot for slot in SLOTS if watchtower.registry.aliases(slot)}
    assert kept == set(SLOTS[3:])
    assert not any("Halted" in title for title in receiver.titles)


def test_a_ledger_that_cannot_be_read_or_is_older_is_no_alarm_and_no_crash(run: Run):
    workspace = context_of(run.path.parents[1]).workspace
    with Ledger(run.ledger) as ledger:
        ledger.set_market_ts(DAY)
        ledger._db.execute("DROP TABLE systemic_faults")
        ledger._db.execute("PRAGMA user_version = 6")
    assert read_status(workspace, ask=False).systemic is None
    run.ledger.write_bytes(b"no ledger at all" * 100)
    found = read_status(workspace, ask=False).systemic
    assert found is not None
    assert found["alarm"] is None
    assert "is not known" in found["sentence"]
    assert str(run.ledger) in systemic_line(found).plain
