"""The accounts that Cerebellum (its journal) and the arena (its ledger) keep, read from their files.

Read only. The journal's fills and payments are asked for here, the ledger's through its reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path

from crucible import sqlite
from crucible.ledger.reader import LedgerError, LedgerReader
from crucible.ledger.trades import BookkeepingError
from crucible.operations.errors import BooksError
from crucible.operations.reconciliation.accounts import Book, FillRow, FundingRow, book

WAIT_S = 2.0


def journal_book(path: Path) -> Book | None:
    """Sum up Cerebellum's journal; None if there is none.

    Raises
    ------
    BooksError
        If the file is not a journal.
    """
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
            for row in database.execute("SELECT exec_id, symbol, side, qty, price, fee FROM fills")
        ]
        funding = [
            FundingRow(row["exec_id"], Decimal(row["amount"]))
            for row in database.execute("SELECT exec_id, amount FROM funding")
        ]
    return book(fills, funding)


def ledger_book(path: Path) -> Book | None:
    """Sum up the live rows of the arena's ledger; None if there is none.

    Simulated fills are left out: no venue knows of them.

    Raises
    ------
    BooksError
        If the file is not a ledger.
    """
    with open_ledger(path) as ledger:
        if ledger is None:
            return None
        with ledger.one_instant():
            fills = [
                FillRow(fill.exec_id, fill.symbol, fill.side, fill.qty, fill.price, fill.fee)
                for fill in ledger.fills()
                if fill.mode == "live"
            ]
            funding = [FundingRow(*row) for row in ledger.funding_by_execution()]
    return book(fills, funding)


def count_fills(path: Path) -> int:
    """Count the live fills of a ledger; 0 if there is none."""
    with open_ledger(path) as ledger:
        return 0 if ledger is None else ledger.count_live_fills()


@contextmanager
def open_ledger(path: Path) -> Iterator[LedgerReader | None]:
    """Open a ledger that the arena may be writing; None if there is none.

    Raises
    ------
    BooksError
        If the file is not a ledger, or one of a question fails.
    """
    if not path.exists():
        yield None
        return
    try:
        with LedgerReader(path, wait_s=WAIT_S) as ledger:
            yield ledger
    except (LedgerError, BookkeepingError, sqlite.Error) as error:
        message = f"{path} cannot be read: {error}"
        raise BooksError(message) from error


@contextmanager
def open_records(path: Path) -> Iterator[sqlite.Connection]:
    """Open a SQLite file that another process writes, for reading only."""
    try:
        with closing(sqlite.connect_to_read(path, timeout_s=WAIT_S)) as database:
            database.row_factory = sqlite.Row
            yield database
    except sqlite.Error as error:
        message = f"{path} cannot be read: {error}"
        raise BooksError(message) from error
