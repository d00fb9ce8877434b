"""What happens while nobody looks arrives, once, at an address that nobody else gets to see."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from pydantic import SecretStr

from crucible.ledger.ledger import Ledger
from crucible.ledger.systemic import SystemicFault
from crucible.operations.alerts.addresses import Address, read_addresses
from crucible.operations.alerts.changes import ProductionChange, write_change
from crucible.operations.alerts.dispatch import OF_CULLS, Alerts, open_alerts
from crucible.operations.alerts.memory import FILE
from crucible.operations.alerts.messages import BROKEN_PARITY, Alert, of_death
from crucible.operations.errors import WorkspaceError
from crucible.operations.workspace import Run, write_json
from crucible.settings import (
    EVENTS,
    AlertSettings,
    SettingsError,
    WatchtowerSettings,
    load_settings,
)
from crucible.watchtower.verdicts import _broken_parity
from tests.support.alerts import Clock, alerts_of
from tests.support.commands import call
from tests.support.factories import AGENT
from tests.support.receiver import SECRET, Receiver

pytestmark = pytest.mark.process  # a receiver listens on the loopback interface


def journal(run: Run, *events: tuple[str, dict]) -> None:
    with sqlite3.connect(run.journal) as database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, ts, type, body)"
        )
        database.execute("CREATE TABLE IF NOT EXISTS states (agent, symbol, state)")
        for kind, body in events:
            whole = {"ts": 60_000, "agent": None, "symbol": None, **body}
            database.execute(
                "INSERT INTO events (ts, type, body) VALUES (?, ?, ?)",
                (60_000, kind, json.dumps(whole)),
            )
    database.close()


def state(value: str, reason: str = "operator Ada", **place: str) -> tuple[str, dict]:
    return "state", {"state": value, "reason": reason, **place}


def risk(code: str, text: str = "as it is") -> tuple[str, dict]:
    return "risk", {"code": code, "text": text}


def judged(run: Run, ts: int, *verdicts: tuple[str, str, str]) -> None:
    with Ledger(run.ledger) as ledger:
        for agent, verdict, reason in verdicts:
            role = "placebo" if "placebo" in agent else "production"
            ledger.book_verdict(ts, agent, "1", verdict, reason, {"role": role})
        ledger.set_last_judged(ts)


EVERYTHING = (
    ("cull", f"Culled: {AGENT}"),
    ("promotion", "Promoted by the Watchtower: BTCUSDT-gp-1@2"),
    ("parity", "Culled for broken parity: BTCUSDT-gp-1@3"),
    ("limit", "No new positions: everything"),
    ("halt", "Halted: BTCUSDT"),
    ("reconciliation", "The accounts differ"),
    ("placebo", "Placebos do better than they may"),
    ("part", "Ended: worker"),
    ("systemic", "3 production agents were culled within one market day"),
)


def everything_happens(run: Run, alerts: Alerts) -> None:
    judged(
        run,
        900_000,
        (AGENT, "cull", "it loses"),
        ("BTCUSDT-gp-1@2", "promote", "it gains"),  # told once it is made
        ("BTCUSDT-gp-1@3", "cull", f"{BROKEN_PARITY}: 50% of what it did"),
        ("BTCUSDT-gp-1@4", "keep", "too few trades"),
        ("BTCUSDT-placebo-1@1", "promote", "by luck"),
    )
    with Ledger(run.ledger) as ledger:
        ledger.book_fault(SystemicFault(900_000, 900_000, 3, 3, 6, "losses", 2))
    words = "promoted", "1", "2", "watchtower", "it gains", "key"
    write_change(run, ProductionChange("BTCUSDT-gp-1", "2", *words))
    journal(
        run,
        state("REDUCE_ONLY", "daily_loss"),
        state("HALTED", symbol="BTCUSDT"),
        risk("reconcile_mismatch"),
        risk("limits_changed"),
    )
    write_json(run.placebos, {"alarm": True, "sentence": "ALARM: four of four"})
    alerts.part_ended("worker", "ended by signal 9")


def test_each_event_arrives_once_with_what_to_do_next(run: Run, receiver: Receiver):
    alerts = alerts_of(run, receiver.url)
    everything_happens(run, alerts)

    alerts.turn()
    alerts.turn()

    assert sorted(receiver.titles) == sorted(title for _, title in EVERYTHING)
    assert {event for event, _ in EVERYTHING} == set(EVENTS)
    for each in receiver.got:
        assert "\nNext: " in each["message"]
        assert f"Run {run.run_id}" in each["message"]
    (cull,) = [each for each in receiver.got if each["title"].endswith(f"Culled: {AGENT}")]
    assert "it loses" in cull["message"]
    assert "1970-01-01 00:15 UTC" in cull["message"]
    assert "--symbol BTCUSDT" in next(
        each["message"] for each in receiver.got if "Halted" in each["title"]
    )
    assert alerts.lines() == []


@pytest.mark.parametrize("event", EVENTS)
def test_only_the_events_that_are_asked_for_are_sent(run: Run, receiver: Receiver, event: str):
    alerts = alerts_of(run, receiver.url, events=(event,))
    everything_happens(run, alerts)
    alerts.turn()
    named = {title for name, title in EVERYTHING if name == event}
    named |= {title for name, title in EVERYTHING if event == "cull" and name in OF_CULLS}
    assert set(receiver.titles) == named


def test_trading_that_goes_on_is_news_only_where_it_was_held_back(run: Run, receiver: Receiver):
    alerts = alerts_of(run, receiver.url)
    journal(run, state("ACTIVE"), state("HALTED", "stop"), state("ACTIVE"))
    journal(run, state("HALTED", "operator Ada", agent=AGENT), state("ACTIVE", agent=AGENT))
    alerts.turn()
    assert receiver.titles[-2:] == [f"Halted: {AGENT}", f"Trading goes on: {AGENT}"]


def test_nothing_is_sent_twice_after_a_restart_and_nothing_of_before_the_first_start(
    run: Run, receiver: Receiver
):
    journal(run, risk("reconcile_mismatch", "long ago"))
    judged(run, 900_000, (AGENT, "cull", "long ago"))
    first = alerts_of(run, receiver.url)
    first.turn()
    assert receiver.got == []

    journal(run, risk("exit_failing"))
    judged(run, 1_800_000, ("BTCUSDT-gp-1@2", "cull", "now"))
    first.turn()
    assert len(receiver.got) == 2
    again = alerts_of(run, receiver.url)
    again.turn()
    journal(run, risk("foreign_order"))
    again.turn()
    assert len(receiver.got) == 3
    assert receiver.titles[-1] == "An order that is not ours"


def test_what_waits_outlives_a_restart_and_what_was_on_its_way_is_named_instead(
    run: Run, receiver: Receiver
):
    receiver.status = 500
    first = alerts_of(run, receiver.url)
    first.part_ended("worker", "ended with code 1")
    first.part_ended("mlflow", "ended with code 1")
    first.turn()
    document = json.loads((run.path / FILE).read_text())
    document["waiting"][1]["is_on_its_way"] = True  # killed in the middle of it
    (run.path / FILE).write_text(json.dumps(document))
    receiver.status = 200

    clock = Clock()
    clock.now += 60
    again = alerts_of(run, receiver.url, clock)
    again.turn()

    assert receiver.titles == ["Ended: worker"]
    (line,) = again.lines()
    assert "'Ended: mlflow' may have been sent" in line


def test_more_than_so_many_an_hour_are_counted_in_one_message(run: Run, receiver: Receiver):
    clock = Clock()
    alerts = alerts_of(run, receiver.url, clock, per_hour=2)
    for number in range(5):
        alerts.part_ended(f"part{number}", "ended")
    judged(run, 900_000, (AGENT, "cull", "it loses"))
    alerts.turn()
    assert len(receiver.got) == 2
    clock.now += 3_601
    alerts.turn()
    assert receiver.titles[2:] == ["4 more alerts were held back"]
    assert "4 part" in receiver.got[2]["message"]


@pytest.mark.parametrize("unreadable", ["journal", "ledger", "placebos"])
@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_unreadable_at_the_start_alerts_of_nothing_past_once_it_is_readable(
    run: Run, receiver: Receiver, unreadable: str, restarted: bool
):
    journal(run, risk("exit_failing", "long ago"), state("HALTED", symbol="BTCUSDT"))
    with sqlite3.connect(run.journal) as database:
        database.execute("INSERT INTO states VALUES (NULL, 'BTCUSDT', 'HALTED')")
    database.close()
    judged(run, 900_000, (AGENT, "cull", "long ago"))
    write_json(run.placebos, {"alarm": True, "sentence": "ALARM: long ago"})
    file: Path = getattr(run, unreadable)
    whole = file.read_bytes()
    file.write_bytes(b"neither this nor that" * 100)

    alerts = alerts_of(run, receiver.url)
    assert any(f"{unreadable}: " in line for line in alerts.lines())
    alerts.turn()
    if restarted:
        alerts = alerts_of(run, receiver.url)
    file.write_bytes(whole)
    alerts.turn()
    alerts.turn()
    assert receiver.titles == []

    journal(run, risk("foreign_order"), state("ACTIVE", symbol="BTCUSDT"))
    judged(run, 1_800_000, ("BTCUSDT-gp-1@2", "cull", "now"))
    write_json(run.placebos, {"alarm": False})
    alerts.turn()
    write_json(run.placebos, {"alarm": True, "sentence": "ALARM: now"})
    alerts.turn()
    assert sorted(receiver.titles) == [
        "An order that is not ours",
        "Culled: BTCUSDT-gp-1@2",
        "Placebos do better than they may",
        "Trading goes on: BTCUSDT",
    ]


def test_the_end_of_the_stack_is_still_sent(run: Run, receiver: Receiver):
    settings = AlertSettings(urls=(SecretStr(receiver.url),))
    alerts = open_alerts(settings, run)
    assert alerts is not None
    alerts.start()
    alerts.stack_ended("cerebellum ended by signal 9")
    alerts.close()
    assert receiver.titles == ["Crucible stops because of a fault"]


def test_damaged_files_are_named_and_what_follows_still_arrives(run: Run, receiver: Receiver):
    (run.path / FILE).write_text('{"journal_seq": "x"')
    journal(run, risk("exit_failing"))
    alerts = alerts_of(run, receiver.url)
    assert "cannot be used" in alerts.lines()[0]
    journal(run, ("risk", {"nothing": "of it"}), risk("exit_failing", "again"))
    run.ledger.write_bytes(b"no ledger at all" * 100)
    alerts.turn()
    alerts.turn()
    assert receiver.titles == ["An exit does not go through"]
    said = alerts.lines()
    assert len([line for line in said if "ledger: " in line]) == 1
    assert any("event 2 of the journal" in line for line in said)


def test_no_address_means_no_alerts(run: Run):
    assert open_alerts(AlertSettings(), run) is None
    assert not (run.path / FILE).exists()


def test_the_address_is_never_shown(run: Run, receiver: Receiver, caplog, capfd, monkeypatch):
    caplog.set_level("DEBUG")
    receiver.status = 500
    alerts = alerts_of(run, receiver.url)
    alerts.part_ended("worker", "ended")
    alerts.turn()
    bad = alerts_of(run, f"nosuchschema://{SECRET}")
    bad.part_ended("worker", "ended")
    bad.turn()
    written = capfd.readouterr()
    shown = [
        *alerts.lines(),
        *bad.lines(),
        written.out,
        written.err,
        caplog.text,
        repr(alerts._addresses),
    ]
    assert len([line for line in shown if "did not reach address 1" in line]) == 2
    shown += [path.read_text(errors="replace") for path in run.path.rglob("*") if path.is_file()]
    assert not any(SECRET in text for text in shown)

    monkeypatch.setenv("CRUCIBLE_ALERTS__URLS", json.dumps([receiver.url]))
    shown = call(run.path.parent.parent, "config", "show", "--json").stdout
    assert '"***"' in shown
    assert SECRET not in shown
    for wrong in (receiver.url, f'["{SECRET}"]', f'[{{"a": "{SECRET}"}}]'):
        monkeypatch.setenv("CRUCIBLE_ALERTS__URLS", wrong)
        with pytest.raises(SettingsError) as refused:
            load_settings()
        assert SECRET not in str(refused.value)


def test_a_settings_file_that_holds_an_address_is_refused(tmp_path: Path, monkeypatch):
    file = tmp_path / "crucible.toml"
    file.write_text(f'[alerts]\nurls = ["json://{SECRET}"]\n')
    monkeypatch.setenv("CRUCIBLE_SETTINGS_FILE", str(file))
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "CRUCIBLE_ALERTS__URLS" in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_file_of_addresses_is_its_owners_alone(tmp_path: Path):
    file = tmp_path / "addresses"
    file.write_text(f"# ours\n\njson://127.0.0.1/{SECRET}\njson://127.0.0.1/{SECRET}\n")
    file.chmod(0o640)
    settings = AlertSettings(urls_file=file)
    with pytest.raises(WorkspaceError, match="chmod 600"):
        read_addresses(settings)
    file.chmod(0o600)
    assert [each.name for each in read_addresses(settings)] == ["address 1 (json)"]
    file.write_text(SECRET)
    with pytest.raises(WorkspaceError, match="line 1 is no address") as refused:
        read_addresses(settings)
    assert SECRET not in str(refused.value)


def test_the_command_says_whether_a_message_arrived(
    tmp_path: Path, receiver: Receiver, monkeypatch
):
    none = call(tmp_path, "alerts", "test")
    assert none.code == 1
    assert "urls_file" in none.stderr

    monkeypatch.setenv("CRUCIBLE_ALERTS__URLS", json.dumps([receiver.url]))
    done = call(tmp_path, "alerts", "test")
    assert (done.code, done.stdout) == (0, "address 1 (json): arrived\n")
    assert receiver.titles == ["A test of the alerts"]

    receiver.status = 403
    failed = call(tmp_path, "alerts", "test", "--json")
    assert failed.code == 1
    assert json.loads(failed.stdout)["addresses"][0]["arrived"] is False
    assert SECRET not in failed.stdout + failed.stderr


def test_a_message_is_text_whatever_an_agent_or_a_server_wrote(run: Run, receiver: Receiver):
    alerts = alerts_of(run, receiver.url)
    alerts.part_ended("worker", "ended\x1b[31m <b>bold</b>\u202e" + "x" * 5_000)
    alerts.turn()
    (got,) = receiver.got
    assert "\x1b" not in got["message"]
    assert "\u202e" not in got["message"]
    assert "<b>bold</b>" in got["message"]
    assert len(got["message"]) < 2_000


def test_the_watchtower_names_broken_parity_as_alerts_expect_it(monkeypatch):
    class Card:
        parity, parity_decisions, parity_departure = 0.5, 1_000, "it bought"

    assert _broken_parity(Card(), WatchtowerSettings()).startswith(BROKEN_PARITY)  # type: ignore[arg-type]


def test_an_address_shows_its_number_and_schema_only():
    address = Address(3, SecretStr(f"json://user:{SECRET}@host/path"))
    assert SECRET not in repr(address)
    assert address.name == "address 3 (json)"
    assert Alert.from_json(of_death("a", "b").to_json()) == of_death("a", "b")
