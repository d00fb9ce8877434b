"""What a run came to: agents, versions, fills, fees and profit, and whether the three accounts are reconciled.

The venue, Cerebellum's journal and the arena's ledger are each read from their own source; nothing
is taken from one to fill in another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from crucible.ledger.reader import SHADOW_ROLES
from crucible.ledger.trades import Fill, Mode, pair
from crucible.operations.errors import BooksError, ServerError
from crucible.operations.reconciliation.accounts import EXACT, ZERO, Book, differences, plain
from crucible.operations.reconciliation.own_accounts import journal_book, ledger_book, open_ledger
from crucible.operations.reconciliation.venue_statement import Statement, VenueAccount
from crucible.operations.supervision.ownership import living_services
from crucible.operations.supervision.servers import registered_versions
from crucible.operations.workspace import Run, Workspace, read_json
from crucible.retries import attempts
from crucible.settings import load_settings

# While agents trade, a fill is on its way from one book to the next for some milliseconds.
SETTLING_PAUSES_S = (0.25,) * 7


@dataclass(frozen=True, slots=True)
class Report:
    """One run's sums.

    Attributes
    ----------
    run : str
    agents : list of dict
    versions : int or None
        In the model registry; None when it cannot be asked and was never counted.
    books : dict
        Keeper to book; None where a keeper has nothing to show.
    marks : dict
        Price that values each open position: the venue's own.
    disagreements : list of str
        Empty when all three books are there and equal.
    notes : list of str
        What could not be read, and where a figure comes from instead.
    """

    run: str
    agents: list[dict[str, Any]]
    versions: int | None
    books: dict[str, Book | None]
    marks: dict[str, Decimal]
    disagreements: list[str]
    notes: list[str]

    @property
    def books_agree(self) -> bool:
        """Whether three books were read and are equal to the last unit."""
        return not self.disagreements

    @property
    def best(self) -> Book | None:
        """The book that the headline figures come from: the venue's, else the next one."""
        return next((book for book in self.books.values() if book is not None), None)

    def to_json(self) -> dict[str, Any]:
        """Give the report as JSON values, money as decimal strings."""
        best = self.best
        pnl = best.pnl(self.marks) if best else None
        return {
            "run": self.run,
            "agents": self.agents,
            "versions": self.versions,
            "fills": best.fills if best else 0,
            "fees": plain(best.fees) if best else "0",
            "pnl": None if pnl is None else plain(pnl),
            "books_agree": self.books_agree,
            "books": {
                keeper: None if book is None else book.to_json(self.marks)
                for keeper, book in self.books.items()
            },
            "differences": self.disagreements,
            "notes": self.notes,
        }


def make_report(workspace: Workspace, run_id: str | None = None) -> Report:
    """Read the three books of a run, the newest one by default.

    Raises
    ------
    WorkspaceError
        If nothing has run in this workspace, or there is no such run.
    """
    run = workspace.chosen_run(run_id)
    services = _live_services(workspace, run)
    notes: list[str] = []
    for _ in attempts(SETTLING_PAUSES_S):
        notes.clear()
        books, marks, statement = _read_books(workspace, run, services, notes)
        found = _disagreements(books, statement)
        if not found or "paper_venue" not in services:
            break
    unknown = (read_json(run.facts) or {}).get("unknown_funding")
    if unknown:
        notes.append(f"funding: no rates are known for {', '.join(unknown)}: none is charged")
    return Report(
        run=run.run_id,
        agents=agent_sums(run),
        versions=_versions(run, services, notes),
        books=books,
        marks=marks,
        disagreements=found,
        notes=notes,
    )


def agent_sums(run: Run) -> list[dict[str, Any]]:
    """Sum up every agent of a run's ledger.

    ``fees``, ``trades``, ``pnl`` (realised, funding charged) and ``position`` are of its fills at the
    venue alone: those of a promoted agent begin with its promotion. What the arena simulated for it
    as a challenger stands apart under ``simulated``, None where there was nothing.
    """
    with open_ledger(run.ledger) as ledger:
        if ledger is None:
            return []
        with ledger.one_instant():
            agents, fills, paid = ledger.agents(), ledger.fills(), ledger.payments()
    sums = []
    for row in agents:
        name = row.agent
        mine = [fill for fill in fills if fill.agent == name]
        live = _mode_sums(mine, "live")
        shadow = _mode_sums(mine, "shadow")
        funding = _total(item.amount for item in paid if item.agent == name)
        sums.append(
            {
                "agent": name,
                "slot": row.slot,
                "version": row.version,
                "role": row.role,
                "symbol": row.symbol,
                "kind": row.kind,
                "proven": row.proven,
                "proven_by": row.proven_by,
                "active": row.until_ts is None,
                "fills": {"live": live.fills, "shadow": shadow.fills},
                **live.to_json(funding),
                "simulated": (
                    shadow.to_json() if shadow.fills or row.role in SHADOW_ROLES else None
                ),
            }
        )
    return sums


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the fills of one agent in one mode come to."""

    fills: int
    trades: int
    fees: Decimal
    pnl: Decimal
    position: Decimal

    def to_json(self, funding: Decimal = ZERO) -> dict[str, Any]:
        return {
            "trades": self.trades,
            "fees": plain(self.fees),
            "pnl": plain(EXACT.subtract(self.pnl, funding)),
            "position": plain(self.position),
        }


def _mode_sums(fills: Iterable[Fill], mode: Mode) -> _Sums:
    own = [fill for fill in fills if fill.mode == mode]
    trades, books = pair(own)
    return _Sums(
        fills=len(own),
        trades=len(trades),
        fees=_total(fill.fee for fill in own),
        pnl=_total(trade.pnl for trade in trades),
        position=_total(book.qty for book in books.values()),
    )


def _live_services(workspace: Workspace, run: Run) -> dict[str, dict[str, Any]]:
    """Services that are alive and belong to this very run."""
    document = read_json(workspace.services_file) or {}
    if document.get("run") != run.run_id:
        return {}
    services = {name: document["services"][name] for name in living_services(document)}
    return {name: entry for name, entry in services.items() if entry.get("state") == "up"}


def _read_books(
    workspace: Workspace, run: Run, services: dict[str, dict[str, Any]], notes: list[str]
) -> tuple[dict[str, Book | None], dict[str, Decimal], Statement | None]:
    # The ledger learns of a fill last: read first, it is the one that may lag, and is read again.
    books: dict[str, Book | None] = {"venue": None, "journal": None, "ledger": None}
    for keeper, read, path in (
        ("ledger", ledger_book, run.ledger),
        ("journal", journal_book, run.journal),
    ):
        try:
            books[keeper] = read(path)
            if books[keeper] is None:
                notes.append(f"{keeper}: {path} does not exist yet")
        except BooksError as error:
            notes.append(f"{keeper}: {error}")
    statement: Statement | None = None
    try:
        statement = _statement(workspace, run, services, notes)
        books["venue"] = statement.book() if statement else None
    except BooksError as error:
        notes.append(f"venue: {error}")
    return books, statement.marks if statement else {}, statement


def _statement(
    workspace: Workspace, run: Run, services: dict[str, dict[str, Any]], notes: list[str]
) -> Statement | None:
    if "paper_venue" in services:
        account = VenueAccount.from_keys(services["paper_venue"]["address"], workspace.keys_file)
        return account.statement(initial_deposit(workspace))
    saved = Statement.read(run.statement)
    venue = load_settings().execution.venue
    if saved is None and venue != "paper":
        notes.append(f"venue: {venue} was not asked; only the paper venue's books are compared")
    elif saved is None:
        notes.append("venue: paper_venue is down and left no statement; its account ended with it")
    else:
        notes.append("venue: the statement taken when the run stopped")
    return saved


def initial_deposit(workspace: Workspace) -> Decimal:
    """Give what the paper account started with.

    Raises
    ------
    BooksError
        If the keys file does not say: the wallet could then not be checked against the fills.
    """
    accounts = read_json(workspace.keys_file)
    try:
        return Decimal(accounts[0]["usdt"])
    except (TypeError, KeyError, IndexError, ArithmeticError) as error:
        message = (
            f"{workspace.keys_file} does not say how much usdt the paper account started with; "
            "remove it while stopped, and the next start writes a new one"
        )
        raise BooksError(message) from error


def _disagreements(books: dict[str, Book | None], statement: Statement | None) -> list[str]:
    missing = [keeper for keeper, book in books.items() if book is None]
    found = [f"{keeper}: not there, so nothing can agree with it" for keeper in missing]
    found += differences({keeper: book for keeper, book in books.items() if book is not None})
    if statement is not None and (gap := statement.wallet_difference()) != 0:
        found.append(f"wallet: the venue's balance is {plain(gap)} away from its own executions")
    return found


def _versions(run: Run, services: dict[str, dict[str, Any]], notes: list[str]) -> int | None:
    if "mlflow" in services:
        try:
            return registered_versions(services["mlflow"]["address"])
        except ServerError as error:
            notes.append(f"versions: {error}")
            return None
    counted = (read_json(run.facts) or {}).get("versions")
    notes.append(
        "versions: mlflow is down; "
        + ("not known" if counted is None else "counted when the run stopped")
    )
    return None if counted is None else int(counted)


def _total(values: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for value in values:
        total = EXACT.add(total, value)
    return total
