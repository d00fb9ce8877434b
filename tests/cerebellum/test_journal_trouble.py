"""A journal that cannot be written stops entries; positions stay protected, and nothing is lost."""

import contextlib
import json
import re
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cerebellum.client import Cerebellum
from tests.cerebellum.conftest import SYMBOLS
from tests.support.disks import mounted
from tests.support.polling import until
from tests.support.processes import REPOSITORY, binary, cerebellum_command, running, venue_command

pytestmark = pytest.mark.timeout(120)


@contextlib.contextmanager
def held_by_another_program(cerebellum: Cerebellum) -> Iterator[None]:
    other = sqlite3.connect(cerebellum.journal, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextlib.contextmanager
def no_room_for_any_file(cerebellum: Cerebellum) -> Iterator[None]:
    """No file of the process may grow or change beyond its first kilobyte: journal, log of logs."""
    pid = cerebellum.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def send_blind(cerebellum: Cerebellum, request: str, **fields: object) -> dict:
    """Submit an entry without waiting for an answer."""
    intent = cerebellum.client.intent("a", "buy", "0.010", **fields)
    message = {"v": 1, "type": "submit", "request_id": request, **intent}
    cerebellum.client.commands.send(json.dumps(message).encode())
    return intent


def gapless(cerebellum: Cerebellum) -> list[dict]:
    events = cerebellum.client.replay()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    return events


@pytest.mark.parametrize("trouble", [held_by_another_program, no_room_for_any_file])
def test_protection_goes_on_from_memory_and_every_row_is_written_afterwards(
    cerebellum: Cerebellum, trouble: Callable
) -> None:
    client = cerebellum.client
    protect = {"stop": None, "take_profit": None, "deadline_ts": client.now() + 30_000}
    client.until_order(client.submit("a", "buy", "0.010", protect=protect)["intent"], "filled")
    client.until_order(client.submit("b", "buy", "0.010")["intent"], "filled")
    written = cerebellum.rows("SELECT count(*) FROM fills")
    with trouble(cerebellum):
        taken = send_blind(cerebellum, "taken")
        until(
            lambda: cerebellum.metric("cerebellum_journal_trouble") == 2,
            "trouble is noticed",
            seconds=20,
        )
        assert not client.commands.poll(300), "nothing is promised that is not on disk"
        refused = client.submit("c", "buy", "0.010")
        assert (refused["status"], refused["code"]) == ("rejected", "journal_unwritable")
        # The deadline closes a position, the operator's command the other one.
        until(lambda: ("a", "BTCUSDT") not in client.positions(), "the deadline closes", seconds=20)
        reported = client.command("flatten", agent=None, symbol=None, reason="kill")
        assert reported["status"] == "accepted"
        assert "in memory only" in reported["text"]
        until(lambda: client.positions() == {}, "the kill closes", seconds=20)
        assert cerebellum.process.poll() is None
    # Whoever sent the entry hears of it once it is on disk.
    assert client.commands.poll(10_000)
    ack = json.loads(client.commands.recv())
    assert (ack["request_id"], ack["status"]) == ("taken", "accepted")
    client.until(lambda event: event.get("code") == "journal_written")
    risk = next(event for event in client.seen if event.get("code") == "journal_unwritable")
    assert "entries are refused, exits go on" in risk["text"]
    again = client.command("submit", **refused["intent"])
    assert again["status"] == "accepted", "what was refused may be sent again"
    client.until_order(refused["intent"], "filled")
    events = gapless(cerebellum)
    reasons = [event["reason"] for event in events if event["type"] == "fill"]
    assert reasons.count("deadline") == 1
    assert reasons.count("kill") == 1
    placed = [event for event in events if event["type"] == "fill" and event["reason"] == "entry"]
    ids = [event["intent_id"] for event in placed]
    assert len(ids) == len(set(ids)), "none was sent twice"
    assert cerebellum.rows("SELECT count(*) FROM fills") > written
    known = [row[0] for row in cerebellum.rows("SELECT intent_id FROM orders")]
    assert known.count(taken["intent_id"]) == 1, "no intent is lost"
    assert cerebellum.verify()["ok"]
    before = client.positions()
    cerebellum.kill()
    cerebellum.start()
    assert cerebellum.client.positions() == before


@pytest.mark.process
def test_a_log_that_cannot_be_written_ends_nothing(folder: Path, keys: Path) -> None:
    with Path("/dev/full").open("w") as full:
        start = subprocess.Popen
        venue_process = start(
            venue_command(folder, keys, SYMBOLS, 10),
            stdout=subprocess.PIPE, stderr=full, text=True,
        )  # fmt: skip
        venue = json.loads(venue_process.stdout.readline())
        command = cerebellum_command(folder, keys, SYMBOLS, venue)
        process = start(
            [*command, "--log", "debug"], stdout=subprocess.PIPE, stderr=full, text=True
        )
        cerebellum = Cerebellum.__new__(Cerebellum)
        cerebellum.journal, cerebellum.process = folder / "journal.sqlite", process
        cerebellum.ready = json.loads(process.stdout.readline())
    # And whoever started them goes away.
    process.stdout.close()
    venue_process.stdout.close()
    from tests.cerebellum.client import Client

    cerebellum.client = Client(cerebellum.ready)
    ack = cerebellum.client.submit("a", "buy", "0.010")
    cerebellum.client.until_order(ack["intent"], "filled")
    assert (process.poll(), venue_process.poll()) == (None, None)
    assert cerebellum.stop() == 0
    venue_process.terminate()
    assert venue_process.wait(timeout=8) == 0


def test_a_report_that_cannot_be_written_is_a_failure(cerebellum: Cerebellum) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [binary("cerebellum"), "verify-journal", str(cerebellum.journal)],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "standard output" in done.stderr


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 40 MB of its own."""
    with mounted(folder / "disk", "40m") as disk:
        yield disk


def test_a_full_disk_leaves_the_journal_a_reserve_for_exits(
    folder: Path, keys: Path, venue: dict, small_disk: Path
) -> None:
    journal = small_disk / "journal.sqlite"
    command = cerebellum_command(folder, keys, SYMBOLS, venue)
    command[command.index("--journal") + 1] = str(journal)
    cerebellum = Cerebellum(command, folder)
    cerebellum.journal = journal
    client = cerebellum.client
    client.until_order(client.submit("a", "buy", "0.010")["intent"], "filled")
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    # Refusals are journaled; the full disk shows when the log is to be brought into the journal.
    for _ in range(8_000):
        ack = client.submit("x", "buy", "0.010", symbol="XXXUSDT", ts=0)
        if ack["code"] == "journal_unwritable":
            break
    assert ack["code"] == "journal_unwritable"
    assert "reserve" in ack["text"]
    assert cerebellum.metric("cerebellum_journal_trouble") == 1
    client.until(lambda event: event.get("code") == "journal_unwritable")
    # Not even a new start needs room.
    cerebellum.kill()
    cerebellum.start()
    client = cerebellum.client
    assert client.submit("a", "buy", "0.010")["code"] == "journal_unwritable"
    reported = client.command("flatten", agent=None, symbol=None, reason="kill")
    assert reported["text"] == "1 positions to close", "it is on disk, as always"
    client.until(lambda event: event["type"] == "fill" and event["reason"] == "kill")
    rows = cerebellum.rows("SELECT count(*) FROM fills WHERE qty = '0.01' AND side = 'sell'")
    assert rows == [(1,)], "an exit is on disk before it is told"
    filler.unlink()
    client.until(lambda event: event.get("code") == "journal_written")
    client.until_order(client.submit("a", "buy", "0.010")["intent"], "filled")
    gapless(cerebellum)
    assert cerebellum.verify()["ok"]
    assert cerebellum.stop() == 0


def test_a_second_cerebellum_is_refused_under_every_name_of_the_journal(
    folder: Path, keys: Path, venue: dict, cerebellum: Cerebellum
) -> None:
    (folder / "link.sqlite").symlink_to(cerebellum.journal)
    (folder / "hard.sqlite").hardlink_to(cerebellum.journal)
    (folder / "other").symlink_to(folder)
    for name in ("link.sqlite", "hard.sqlite", "other/journal.sqlite"):
        command = cerebellum_command(folder, keys, SYMBOLS, venue)
        command[command.index("--journal") + 1] = str(folder / name)
        command[command.index("--run-folder") + 1] = str(folder / "s2")
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 2
        assert "in use by another process" in done.stderr, name


def test_a_new_journal_on_an_account_with_business_of_ours_is_refused_outside_paper(
    folder: Path, keys: Path, venue: dict, cerebellum: Cerebellum
) -> None:
    client = cerebellum.client
    client.until_order(client.submit("a", "buy", "0.010")["intent"], "filled")
    cerebellum.kill()
    command = cerebellum_command(folder, keys, SYMBOLS, venue)
    command[command.index("--venue") + 1] = "testnet"
    at = command.index("--journal") + 1
    command[at] = str(folder / "new.sqlite")
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "a position of 0.01 BTCUSDT" in done.stderr
    assert "new.sqlite" in done.stderr
    assert "--journal" in done.stderr
    command[at] = str(cerebellum.journal)
    with running(command, folder / "known.log") as (_, ready):
        assert ready["venue"] == "testnet"


def test_no_program_prints_by_a_way_that_panics() -> None:
    printing = re.compile(
        r"^\s*(?!\s|//).*(\be?print(ln)?!|\bdbg!|with_writer\(std::io)", re.MULTILINE
    )
    sources = (REPOSITORY / "cerebellum_core").glob("*/src/**/*.rs")
    assert [path for path in sources if printing.search(path.read_text())] == []
