"""Whether agents may trade is Cerebellum's to say; it stands first wherever a person looks."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from crucible.dashboard.app import make_app
from crucible.execution.cerebellum_link import Addresses, CerebellumLink
from crucible.execution.messages import SetState
from crucible.operations.supervision.process import Identity
from crucible.operations.trading_state import journal_trouble, read_trading
from crucible.operations.workspace import Run, Workspace, write_json
from tests.support.polling import until
from tests.support.processes import cerebellum_command, running, venue_command, write_keys

AGENT = "BTCUSDT-gp-1@3"


@dataclass
class OrdersInFlight:
    workspace: Workspace
    run: Run
    addresses: Addresses

    def crucible(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "crucible.cli", *words],
            env={**os.environ, "CRUCIBLE_HOME": str(self.workspace.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def status(self) -> dict:
        return json.loads(self.crucible("status", "--json").stdout)

    def page(self) -> dict:
        return TestClient(make_app(self.workspace)).get("/api/state").json()["status"]["trading"]

    def until(self, check: Callable[[dict], bool]) -> None:
        until(
            lambda: check(self.status()["trading"]),
            lambda: self.status()["trading"],
            seconds=30,
            pause=0.1,
        )

    def hold_back(self, agent: str | None, symbol: str | None, state: str) -> None:
        with CerebellumLink(self.addresses) as link:
            link.ask(
                SetState(
                    ts=link.snapshot().ts,
                    request_id=link.request_id(),
                    agent=agent,
                    symbol=symbol,
                    state=state,  # type: ignore[arg-type]
                    operator="ada",
                )
            )


@pytest.fixture(scope="module")
def orders_in_flight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrdersInFlight]:
    """A workspace in which the real executor runs on the real paper venue, and no arena."""
    workspace = Workspace.at(tmp_path_factory.mktemp("d") / "h")
    workspace.create()
    run = workspace.new_run()
    log = run.path / "processes.log"
    keys = write_keys(run.path)
    with (
        running(venue_command(run.path, keys, "BTCUSDT", speed=10, days=1), log) as (_, venue),
        running(cerebellum_command(run.path, keys, "BTCUSDT", venue), log) as (process, ready),
    ):
        identity = Identity.of(process.pid)
        assert identity is not None
        held = {**identity.to_json(), "state": "up"}
        cerebellum = {**held, "ready": ready, "address": ready["metrics"]}
        services = {"cerebellum": cerebellum, "arena": {**held, "event": "ready"}}
        write_json(workspace.services_file, {"run": run.run_id, "services": services})
        yield OrdersInFlight(
            workspace, run, Addresses(ready["commands"], ready["events"], ready["market"])
        )


@pytest.mark.process
def test_after_a_kill_every_place_says_halted_first_and_names_the_command_that_lifts_it(
    orders_in_flight: OrdersInFlight,
):
    assert orders_in_flight.status()["trading"]["state"] == "ACTIVE"
    killed = orders_in_flight.crucible("kill", "--yes")
    assert killed.returncode == 0, killed.stderr
    assert "to go on: crucible resume --operator NAME" in killed.stdout

    reported = orders_in_flight.status()["trading"]
    assert reported["state"] == "HALTED"
    assert reported["reason"] == "operator's kill switch"
    assert reported["since_ts"] > 1_700_000_000_000
    assert reported["lift"] == "crucible resume --operator NAME"
    assert orders_in_flight.page() == reported
    table = orders_in_flight.crucible("status").stdout
    assert table.lstrip().startswith("Trading: HALTED: no order of an agent leaves")
    assert "lift it: crucible resume --operator NAME" in " ".join(table.split())
    assert "trading" not in table.replace("Trading: HALTED", "")

    lifted = orders_in_flight.crucible("resume", "--operator", "ada")
    assert lifted.stdout.startswith("everything is ACTIVE again; it was HALTED")
    reported = orders_in_flight.status()["trading"]
    assert (reported["state"], reported["lift"], reported["scopes"]) == ("ACTIVE", None, [])


@pytest.mark.process
def test_a_journal_that_cannot_be_written_is_told_wherever_a_person_looks(
    orders_in_flight: OrdersInFlight,
):
    assert orders_in_flight.status()["trading"]["why"] == ""
    # A process of its own: two copies of SQLite must never have one file open in the same process.
    code = (
        "import sqlite3, sys; other = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "other.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, orders_in_flight.run.journal],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout.readline() == "held\n"
        orders_in_flight.hold_back(AGENT, None, "REDUCE_ONLY")
        orders_in_flight.until(lambda reported: reported["why"] != "")
        reported = orders_in_flight.status()["trading"]
        assert reported["state"] == "ACTIVE"
        assert (
            "entries are refused, exits go on: the journal cannot be written" in reported["text"][0]
        )
        assert "entries are refused" in " ".join(orders_in_flight.crucible("status").stdout.split())
        assert reported == orders_in_flight.page()
        other.stdin.close()
    orders_in_flight.until(lambda reported: reported["why"] == "")
    orders_in_flight.hold_back(AGENT, None, "ACTIVE")


def test_metrics_that_do_not_answer_leave_the_journal_unknown_not_sound(tmp_path: Path):
    assert journal_trouble("") is None
    assert journal_trouble("http://127.0.0.1:9/metrics") is None
    journal = kept(tmp_path / "j")
    reported = read_trading(journal, cerebellum=True, arena=True, trouble=None)
    assert reported.state == "ACTIVE"
    assert "whether its journal can be written is not known" in reported.lines[0]
    reserve = read_trading(journal, cerebellum=True, arena=True, trouble=1)
    assert "entries are refused, exits go on: no disk space is left" in reserve.lines[0]


@pytest.mark.process
def test_an_agent_that_is_held_back_alone_is_named_with_the_command_for_it_alone(
    orders_in_flight: OrdersInFlight,
):
    orders_in_flight.hold_back(AGENT, None, "REDUCE_ONLY")
    orders_in_flight.hold_back(None, "BTCUSDT", "HALTED")
    reported = orders_in_flight.status()["trading"]
    assert reported["state"] == "ACTIVE"
    lifts = {scope["agent"] or scope["symbol"]: scope["lift"] for scope in reported["scopes"]}
    assert lifts == {
        AGENT: f"crucible resume --operator NAME --agent {AGENT}",
        "BTCUSDT": "crucible resume --operator NAME --symbol BTCUSDT",
    }
    assert {scope["reason"] for scope in reported["scopes"]} == {"ada"}
    assert f"{AGENT} is REDUCE_ONLY" in orders_in_flight.crucible("status").stdout

    again = orders_in_flight.crucible("resume", "--operator", "ada", "--agent", AGENT)
    assert again.stdout.splitlines() == [
        f"{AGENT} is ACTIVE again; it was REDUCE_ONLY",
        "BTCUSDT is HALTED all the same; crucible status tells why",
    ]
    orders_in_flight.crucible("resume", "--operator", "ada", "--symbol", "BTCUSDT")
    assert orders_in_flight.status()["trading"]["scopes"] == []


def test_a_journal_that_cannot_be_read_means_unknown_never_trading(tmp_path: Path):
    journal = tmp_path / "journal.sqlite"
    assert read_trading(journal, cerebellum=True, arena=True, trouble=0).state == "UNKNOWN"
    journal.write_text("this is not a database, it is a long enough text")
    reported = read_trading(journal, cerebellum=True, arena=True, trouble=0)
    assert reported.state == "UNKNOWN"
    assert "cannot be read" in reported.lines[0]
    assert reported.to_json()["lift"] is None


def kept(path: Path, *moves: tuple[str, str, str]) -> Path:
    """A journal that holds what Cerebellum writes of its states."""
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE states (agent, symbol, state, PRIMARY KEY (agent, symbol))")
        database.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, ts, type, body)")
        for seq, (agent, state, reason) in enumerate(moves, 1):
            database.execute("INSERT OR REPLACE INTO states VALUES (?, '', ?)", (agent, state))
            body = {"ts": seq * 1000, "agent": agent or None, "symbol": None, "reason": reason}
            database.execute(
                "INSERT INTO events VALUES (?, ?, 'state', ?)", (seq, seq, json.dumps(body))
            )
    database.close()
    return path


def test_without_cerebellum_nothing_trades_and_what_its_journal_keeps_is_told(tmp_path: Path):
    journal = kept(tmp_path / "j", ("", "HALTED", "ada"), ("a@1", "REDUCE_ONLY", "daily_loss"))
    reported = read_trading(journal, cerebellum=False, arena=True, trouble=0)
    assert reported.state == "STOPPED"
    assert "its journal says HALTED (since 1970-01-01 00:00 UTC, ada)" in reported.lines[0]
    assert "a@1 is REDUCE_ONLY" in reported.lines[1]
    assert read_trading(None, cerebellum=False, arena=False, trouble=0).state == "STOPPED"


def test_the_newest_move_is_the_one_that_is_told(tmp_path: Path):
    moves = (("", "HALTED", "ada"), ("", "ACTIVE", "ada"), ("", "REDUCE_ONLY", "deadman"))
    reported = read_trading(kept(tmp_path / "j", *moves), cerebellum=True, arena=True, trouble=0)
    assert (reported.state, reported.whole.since_ts, reported.whole.reason) == (
        "REDUCE_ONLY",
        3000,
        "deadman",
    )
    assert "dead-man switch" in reported.lines[0]


def test_a_state_that_lets_orders_leave_says_when_nobody_decides(tmp_path: Path):
    journal = kept(tmp_path / "j")
    assert read_trading(journal, cerebellum=True, arena=True, trouble=0).lines == [
        "ACTIVE: orders may leave"
    ]
    assert (
        "no arena runs" in read_trading(journal, cerebellum=True, arena=False, trouble=0).lines[0]
    )


def test_the_reason_of_an_old_state_is_not_looked_for_for_ever(tmp_path: Path):
    journal = kept(tmp_path / "j", ("", "HALTED", "ada"))
    with sqlite3.connect(journal) as database:
        database.executemany(
            "INSERT INTO events VALUES (?, 0, 'order', '{}')",
            [(seq,) for seq in range(2, 200_000)],
        )
    database.close()
    began = time.monotonic()
    reported = read_trading(journal, cerebellum=True, arena=True, trouble=0)
    assert time.monotonic() - began < 0.5
    assert (reported.state, reported.whole.since_ts) == ("HALTED", None)
