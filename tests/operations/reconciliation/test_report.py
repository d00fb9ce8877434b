"""A report compares three sources and says where each figure comes from."""

import json
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from crucible.ledger.ledger import Ledger
from crucible.operations.errors import WorkspaceError
from crucible.operations.reconciliation.report import make_report
from crucible.operations.tables import report_view
from crucible.operations.workspace import Run, Workspace, write_json
from tests.support.factories import AGENT, agent_row, fill

FILLS = (
    ("e1", "buy", "0.5", "100", "0.0275"),
    ("e2", "sell", "0.5", "103", "0.028325"),
    ("e3", "buy", "0.2", "101", "0.01111"),
)
PNL = Decimal("1.5") - Decimal("0.0275") - Decimal("0.028325") - Decimal("0.01111")


def journal(run: Run, fills=FILLS) -> None:
    database = sqlite3.connect(run.journal)
    database.execute("CREATE TABLE fills (exec_id, symbol, side, qty, price, fee)")
    database.execute("CREATE TABLE funding (exec_id, agent, symbol, amount)")
    rows = [(name, "BTCUSDT", *rest) for name, *rest in fills]
    database.executemany("INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?)", rows)
    database.commit()
    database.close()


def ledger(run: Run, fills=FILLS) -> None:
    with Ledger(run.ledger) as book:
        book.seat(agent_row())
        shadow = ("s1", "buy", "9", "100", "1")
        for number, (name, side, qty, price, fee) in enumerate([*fills, shadow]):
            mode = {"mode": "live", "seq": number, "agent": AGENT}
            if name == "s1":
                mode = {"mode": "shadow", "seq": None, "agent": "BTCUSDT-gp-1@2"}
            book.book_shadow_fill(fill(number, side, qty, price, fee, exec_id=name, **mode))


def statement(run: Run, fills=FILLS, wallet: str = "100001.433065") -> None:
    executions = [
        {
            "execType": "Trade",
            "execId": name,
            "symbol": "BTCUSDT",
            "side": side.capitalize(),
            "execQty": qty,
            "execPrice": price,
            "execFee": fee,
        }
        for name, side, qty, price, fee in fills
    ]
    position = {
        "symbol": "BTCUSDT",
        "side": "Buy",
        "size": "0.2",
        "positionValue": "20.2",
        "markPrice": "101",
    }
    write_json(
        run.statement,
        {
            "initial": "100000",
            "wallet": wallet,
            "positions": [position],
            "executions": executions,
        },
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.at(tmp_path / "home")
    made.create()
    made.ensure_keys()
    return made


@pytest.fixture
def run(workspace: Workspace) -> Run:
    made = workspace.new_run()
    write_json(made.facts, {"versions": 4})
    return made


def test_three_equal_books_agree_and_give_the_headline(workspace: Workspace, run: Run):
    journal(run)
    ledger(run)
    statement(run)

    made = make_report(workspace).to_json()

    assert made["books_agree"] is True
    assert made["differences"] == []
    assert made["fills"] == 3
    assert made["fees"] == "0.066935"
    assert Decimal(made["pnl"]) == PNL
    assert made["versions"] == 4
    assert set(made["books"]) == {"venue", "journal", "ledger"}
    assert made["books"]["venue"] == made["books"]["journal"] == made["books"]["ledger"]
    assert made["books"]["venue"]["positions"] == {"BTCUSDT": "0.2"}
    json.dumps(made)


def test_an_agents_sums_come_from_its_own_fills(workspace: Workspace, run: Run):
    ledger(run)
    (agent,) = make_report(workspace).agents
    assert agent["agent"] == "BTCUSDT-gp-1@1"
    assert agent["fills"] == {"live": 3, "shadow": 0}
    assert agent["trades"] == 1
    assert agent["pnl"] == "1.444175"
    assert agent["position"] == "0.2"
    assert agent["proven"] is False
    assert agent["proven_by"] == ""


def test_a_fill_that_one_book_lacks_is_a_difference_with_all_sides(workspace: Workspace, run: Run):
    journal(run)
    ledger(run, FILLS[:2])
    statement(run)

    made = make_report(workspace)

    assert not made.books_agree
    assert made.disagreements[0] == "fills: venue 3, journal 3, ledger 2"
    assert "position BTCUSDT: venue 0.2, journal 0.2, ledger 0" in made.disagreements


def test_a_venue_whose_wallet_is_off_by_a_unit_does_not_agree(workspace: Workspace, run: Run):
    journal(run)
    ledger(run)
    statement(run, wallet="100001.433066")
    assert make_report(workspace).disagreements == [
        "wallet: the venue's balance is 0.000001 away from its own executions"
    ]


def test_a_missing_book_never_agrees(workspace: Workspace, run: Run):
    journal(run)
    ledger(run)

    made = make_report(workspace)

    assert not made.books_agree
    assert made.books["venue"] is None
    assert any("paper_venue is down" in note for note in made.notes)
    assert made.to_json()["fills"] == 3


def test_a_home_without_runs_says_how_to_start_one(workspace: Workspace):
    with pytest.raises(WorkspaceError, match="crucible up"):
        make_report(workspace)


def test_an_unknown_run_names_those_that_exist(workspace: Workspace, run: Run):
    with pytest.raises(WorkspaceError, match=run.run_id):
        make_report(workspace, "0099")


def test_people_see_the_mark_and_both_sides_of_a_difference(workspace: Workspace, run: Run):
    from rich.console import Console

    journal(run, FILLS[:2])
    ledger(run)
    statement(run)
    console = Console(width=140, record=True, file=(run.path / "out").open("w"))
    console.print(report_view(make_report(workspace)))
    text = console.export_text()
    assert "BTCUSDT-gp-1@1 *" in text
    assert "* unproven" in text
    assert "DIFFERENT  fills: venue 3, journal 2, ledger 3" in text
