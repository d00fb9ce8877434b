"""An arena's books wait for their disk, in order, and end as if nothing had been in the way."""

import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from crucible import sqlite
from crucible.execution.messages import FillEvent, StateEvent
from crucible.ledger.buffered import BufferedLedger
from crucible.ledger.ledger import Ledger
from crucible.ledger.reader import LedgerError, LedgerReader
from crucible.ledger.readings import Reading
from tests.support.disks import fill, mounted
from tests.support.factories import AGENT, agent_row, fill_event
from tests.support.polling import until

ROW = agent_row()
TABLES = ("agents", "fills", "decisions", "equity", "readings", "meta")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "8m") as disk:
        yield disk


def execution(seq: int) -> FillEvent:
    """One of an arena that buys and sells by turns, each with an intent of its own."""
    return fill_event(
        seq,
        f"e{seq}",
        intent_id=f"i{seq}",
        order_link_id=f"l{seq}",
        order_id=f"o{seq}",
        side="buy" if seq % 2 else "sell",
        qty="0.5",
        price="100",
        fee="0.01",
    )


def live(ledger: Ledger, seqs: range) -> list[str]:
    """Some minutes of an arena; gives the executions that were new."""
    new = []
    for seq in seqs:
        fill = ledger.book_event(execution(seq))
        new.append(fill.exec_id if fill else "")
        with ledger.transaction():
            ledger.book_decision(seq, AGENT, "buy", "why", Decimal(100), Decimal("0.5"), f"i{seq}")
            ledger.set_market_ts(seq)
            ledger.book_equity(seq, [(AGENT, "live", Decimal(10_000 + seq))])
            ledger.book_readings([Reading("BTCUSDT", seq, None, 0.5, None, None, float(seq))])
            ledger.set_missing_sources({"mce_skew": "why"})
        ledger.book_outcome(f"i{seq}", "filled")
        ledger.keep_shadow(AGENT, {"shadow_number": seq})
    return new


def tables(path: Path) -> dict[str, list[tuple]]:
    with closing(sqlite.connect_to_read(path)) as database:
        return {
            name: database.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()  # noqa: S608
            for name in TABLES
        }


def wait_until_written(ledger: BufferedLedger) -> None:
    def written() -> bool:
        ledger.retry()
        return not ledger.trouble

    until(written, "a ledger that can be written", seconds=20, pause=0.05)


def test_a_full_disk_loses_nothing_and_doubles_nothing(small_disk: Path, tmp_path: Path):
    plain = Ledger(tmp_path / "plain.sqlite")
    plain.seat(ROW)
    live(plain, range(1, 40))
    plain.close()

    ledger = BufferedLedger(small_disk / "ledger.sqlite")
    ledger.seat(ROW)
    assert live(ledger, range(1, 10)) == [f"e{seq}" for seq in range(1, 10)]
    filler = fill(small_disk)
    assert live(ledger, range(10, 40)) == [f"e{seq}" for seq in range(10, 40)]
    assert "full" in ledger.trouble
    assert ledger.reported_trouble == f"the ledger cannot be written: {ledger.trouble}"
    assert ledger.waiting > 30
    # What the journal tells again is known, written or not; the file shows what is in it.
    assert live(ledger, range(1, 40)) == [""] * 39
    assert ledger.last_seq() == 39
    time.sleep(1.1)
    ledger.retry()
    assert ledger.trouble

    filler.unlink()
    wait_until_written(ledger)
    assert ledger.waiting == 0
    ledger.close()
    assert tables(small_disk / "ledger.sqlite") == tables(tmp_path / "plain.sqlite")


def test_an_end_on_a_full_disk_is_told_and_the_next_start_books_from_the_journal(
    small_disk: Path, caplog: pytest.LogCaptureFixture
):
    ledger = BufferedLedger(small_disk / "ledger.sqlite")
    live(ledger, range(1, 10))
    filler = fill(small_disk)
    live(ledger, range(10, 40))
    ledger.close()
    assert "entries could not be written before the end" in caplog.text
    filler.unlink()
    again = BufferedLedger(small_disk / "ledger.sqlite")
    booked = again.last_seq()
    assert 9 <= booked < 39
    assert live(again, range(booked + 1, 40)) == [f"e{seq}" for seq in range(booked + 1, 40)]
    again.close()
    with LedgerReader(small_disk / "ledger.sqlite") as ledger:
        assert len(ledger.fills()) == 39


def test_another_program_that_holds_the_file_keeps_no_heartbeat_waiting(tmp_path: Path):
    ledger = BufferedLedger(tmp_path / "ledger.sqlite")
    other = sqlite.connect(ledger.path)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    assert live(ledger, range(1, 20)) == [f"e{seq}" for seq in range(1, 20)]
    assert time.monotonic() - began < 2.0
    assert "locked" in ledger.trouble
    other.execute("ROLLBACK")
    other.close()
    wait_until_written(ledger)
    ledger.close()
    with LedgerReader(ledger.path) as written:
        assert len(written.fills()) == 19


def test_a_move_of_the_state_is_known_before_it_is_written(tmp_path: Path):
    ledger = BufferedLedger(tmp_path / "ledger.sqlite")
    other = sqlite.connect(ledger.path)
    other.execute("BEGIN IMMEDIATE")
    moved = StateEvent(ts=1, seq=1, agent=None, symbol=None, state="REDUCE_ONLY", reason="deadman")
    assert ledger.book_event(moved) is None
    assert ledger.state_reason() == "deadman"
    assert ledger.last_seq() == 1
    other.close()
    ledger.close()


@pytest.mark.parametrize(
    "content", [b"this is no database, and long enough to tell it", b"\0" * 4096]
)
def test_a_file_that_is_no_ledger_is_named(tmp_path: Path, content: bytes):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"ledger\.sqlite: cannot be opened as a ledger"):
        BufferedLedger(path)


def fail_halfway(ledger: BufferedLedger) -> None:
    with ledger.transaction():
        ledger.set_market_ts(5)
        raise ZeroDivisionError


def test_a_group_is_kept_whole_or_not_at_all(tmp_path: Path):
    ledger = BufferedLedger(tmp_path / "ledger.sqlite")
    with pytest.raises(ZeroDivisionError):
        fail_halfway(ledger)
    assert ledger.market_ts() is None
    ledger.set_market_ts(6)
    assert ledger.market_ts() == 6
    ledger.close()


@pytest.mark.parametrize("name", ["a#b", "a?mode=memory", "a%41b"])
def test_a_strange_path_leads_to_its_own_file(tmp_path: Path, name: str):
    folder = tmp_path / name
    with Ledger(folder / "ledger.sqlite") as ledger:
        ledger.set_market_ts(7)
    with LedgerReader(folder / "ledger.sqlite") as ledger:
        assert ledger.market_ts() == 7


def test_every_write_of_an_arena_may_wait():
    of_the_watchtower = {
        "book_verdict",
        "book_parity",
        "book_fault",
        "set_carried_out",
        "set_recorded",
        "set_proven_until",
        "set_last_judged",
    }
    writes = {
        name
        for name in vars(Ledger)
        if name.startswith(("book_", "keep_", "set_")) or name in {"seat", "unseat", "transaction"}
    }
    assert writes - of_the_watchtower == writes & set(vars(BufferedLedger))


def test_a_proof_is_recorded_later_while_another_program_holds_the_file(tmp_path: Path):
    path = tmp_path / "ledger.sqlite"
    with closing(BufferedLedger(path)) as ledger, closing(sqlite.connect(path)) as other:
        ledger.seat(ROW)
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        ledger.set_proof(ROW.agent, "lived")
        assert time.monotonic() - began < 5
        assert ledger.waiting
        other.execute("ROLLBACK")
        until(lambda: (ledger.retry(), not ledger.waiting)[1], "it is written", seconds=10)
        assert [row.proven_by for row in ledger.agents()] == ["lived"]
