"""The books of Cerebellum (its journal) and of the arena (its ledger), read from their files.

Read only, and straight from SQLite: a report must not depend on the code that wrote the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from crucible import sqlite
from crucible.operations.errors import BooksError
from crucible.operations.reconciliation.accounts import Book, FillRow, FundingRow, book


def journal_book(path: Path) -> Book | None:
    """Sum up Cerebellum's journal; None if there is none.

    Raises
    ------
    BooksError
        If the file is not a journal.
    """
    return _read(path, "", "amount")


def ledger_book(path: Path) -> Book | None:
    """Sum up the live rows of the arena's ledger; None if there is none.

    Shadow fills are left out: no venue knows of them.

    Raises
    ------
    BooksError
        If the file is not a ledger.
    """
    return _read(path, "WHERE mode = 'live'", "amount")


def count_fills(path: Path) -> int:
    """Count the live fills of a ledger; 0 if there is none."""
    if not path.exists():
        return 0
    with open_records(path) as database:
        row = database.execute("SELECT count(*) FROM fills WHERE mode = 'live'").fetchone()
        return int(row[0])


def ledger_rows(path: Path, query: str, values: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
    """Rows of a query on the ledger as dictionaries; empty if there is no ledger.

    Raises
    ------
    BooksError
        If the file is not a ledger.
    """
    if not path.exists():
        return []
    with open_records(path) as database:
        return [dict(row) for row in database.execute(query, values)]


@contextmanager
def open_records(path: Path) -> Iterator[sqlite.Connection]:
    """Open a SQLite file that another process writes, for reading only."""
    try:
        with closing(sqlite.connect_to_read(path, timeout_s=2.0)) as database:
            database.row_factory = sqlite.Row
            yield database
    except sqlite.Error as error:
        message = f"{path} cannot be read: {error}"
        raise BooksError(message) from error


def _read(path: Path, where: str, amount: str) -> Book | None:
    if not path.exists():
        return None
    with open_records(path) as database:
        # One transaction: fills and funding as of the same instant.
        database.execute("BEGIN")
        fills = [
            FillRow(
                exec_id=row["exec_id"],
                symbol=row["symbol"],
                side=str(row["side"]).lower(),
                qty=Decimal(row["qty"]),
                price=Decimal(row["price"]),
                fee=Decimal(row["fee"]),
            )
            for row in database.execute(
                f"SELECT exec_id, symbol, side, qty, price, fee FROM fills {where}"  # noqa: S608
            )
        ]
        funding = [
            FundingRow(row["exec_id"], Decimal(row[amount]))
            for row in database.execute(f"SELECT exec_id, {amount} FROM funding {where}")  # noqa: S608
        ]
    return book(fills, funding)
