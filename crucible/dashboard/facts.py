"""What the views are made of, gathered from the files of a workspace: read-only, cached, shared by all open pages.

Entry point: `Source`. However many pages are open, each question is answered once in its time, by one thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from crucible import sqlite
from crucible.dashboard.curves import MarkCache
from crucible.dashboard.history import PriceHistory
from crucible.dashboard.tape import MarketTape
from crucible.errors import CrucibleError
from crucible.forge.progress import Slots, read_slots
from crucible.ledger.page_reader import PageReader
from crucible.ledger.reader import AgentRow, LedgerError
from crucible.ledger.tally import Tally
from crucible.ledger.trades import BookkeepingError
from crucible.operations.alerts.changes import FILE, ProductionChange, changes_after
from crucible.operations.errors import BooksError
from crucible.operations.status import Status, read_status
from crucible.operations.workspace import Run, Workspace, read_json
from crucible.setting_names import SettingsError
from crucible.settings import Settings, load_settings
from crucible.text import counted

logger = logging.getLogger(__name__)

T = TypeVar("T")
STATUS_S = 0.9
KEPT = 60
"""Answers that are kept at most."""
ASK_S = 4.0
SETTINGS_S = 60.0
CHANGES_S = 5.0
WAIT_S = 2.0
"""How long a question waits for a program that writes the ledger."""


@dataclass(slots=True)
class OfRun:
    """What is kept of a run between two looks."""

    run: Run
    tally: Tally = field(default_factory=Tally)
    marks: MarkCache = field(default_factory=MarkCache)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is known at one instant; the views are functions of this.

    Attributes
    ----------
    status : Status
    run : Run or None
    started : mapping
        How the run was started.
    arena : mapping
        The arena's status file.
    arena_age_s : float or None
        Seconds since the arena wrote it; None where it never did.
    settings : Settings or None
        None where they cannot be used.
    ledger : PageReader or None
        Open as long as the facts are used; None where there is none.
    agents : list of AgentRow
        As the ledger has them, in the order in which they were activated.
    tally : Tally
    marks : MarkCache
    prices : PriceHistory
    tape : MarketTape
    slots : Slots
        What each slot looked like when slots were filled last.
    changes : list of ProductionChange
        Of who is in production in this run, oldest first.
    changes_fault : str
        Why not all of them are known; empty where they are.
    shown : mapping of str to mapping
        Agents of the arena's status file by name.
    """

    status: Status
    run: Run | None
    started: Mapping[str, Any]
    arena: Mapping[str, Any]
    arena_age_s: float | None
    settings: Settings | None
    ledger: PageReader | None
    agents: list[AgentRow]
    tally: Tally
    marks: MarkCache
    prices: PriceHistory
    tape: MarketTape
    slots: Slots
    changes: list[ProductionChange]
    changes_fault: str
    shown: Mapping[str, Mapping[str, Any]]

    @property
    def market_ts(self) -> int | None:
        """Newest market time that was decided upon."""
        found = self.ledger.market_ts() if self.ledger is not None else None
        return found if found is not None else self.status.market_ts

    @property
    def symbols(self) -> list[str]:
        """Symbols that are traded or tracked in this run."""
        named = list(self.started.get("symbols") or ())
        return list(dict.fromkeys([*named, *(row.symbol for row in self.agents)]))


class Source:
    """One workspace, as the page reads it.

    Parameters
    ----------
    workspace : Workspace
        Read, never written.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.prices = PriceHistory(workspace.path / "lake")
        self.tape = MarketTape(workspace)
        self._kept: dict[str, tuple[float, object]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._reading = threading.RLock()
        self._of_run: OfRun | None = None
        self._silent: frozenset[str] = frozenset()
        self._asked, self._asking = 0.0, False

    def shared(self, key: str, seconds: float, make: Callable[[], T]) -> T:
        """Give an answer that is at most `seconds` old; whoever asks meanwhile waits for the same one."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            held = self._kept.get(key)
            if held is not None and time.monotonic() - held[0] < seconds:
                return cast("T", held[1])
            made = make()
            with self._guard:
                if len(self._kept) > KEPT:  # what was looked at long ago
                    self._kept.clear()
                    self._locks = {key: lock}
                self._kept[key] = time.monotonic(), made
            return made

    def status(self) -> Status:
        """Look at processes and files once a second at most; addresses are asked beside it, and not waited for."""
        status = self.shared("status", STATUS_S, lambda: read_status(self.workspace, ask=False))
        self._ask_addresses()
        silent = self._silent
        held = [
            replace(service, state="starting")
            if service.name in silent and service.state == "up"
            else service
            for service in status.services
        ]
        return replace(status, services=held)

    def _ask_addresses(self) -> None:
        with self._guard:
            if self._asking or time.monotonic() - self._asked < ASK_S:
                return
            self._asking = True
        threading.Thread(target=self._find_silent, name="ask-addresses", daemon=True).start()

    def _find_silent(self) -> None:
        """Find the services that live and do not answer: each is given a second."""
        try:
            asked = read_status(self.workspace)
            silent = frozenset(one.name for one in asked.services if one.state == "starting")
            with self._guard:
                self._silent = silent
        except CrucibleError as error:
            logger.info("addresses were not asked: %s", error)
        finally:
            with self._guard:
                self._asked, self._asking = time.monotonic(), False

    def settings(self) -> Settings | None:
        """Give the settings; None where they cannot be used."""

        def read() -> Settings | None:
            try:
                return load_settings(home=self.workspace.path)
            except SettingsError:
                return None

        return self.shared("settings", SETTINGS_S, read)

    @contextmanager
    def facts(self) -> Iterator[Facts]:
        """Open the ledger, bring the sums up to date, and give what is known; one user at a time.

        Raises
        ------
        OperationsError
            If a file of the workspace or the ledger cannot be read.
        """
        status = self.status()
        run = self.workspace.current()
        arena, age = self._arena(run)
        started = (read_json(run.facts) if run else None) or {}
        changes, changes_fault = self._changes(run)
        with self._reading, self._ledger(run) as ledger:
            kept = self._of(run)
            agents: list[AgentRow] = []
            if ledger is not None:
                with ledger.one_instant():
                    kept.tally.update(ledger)
                    agents = ledger.agents()
            facts = Facts(
                status=status,
                run=run,
                started=started,
                arena=arena,
                arena_age_s=age,
                settings=self.settings(),
                ledger=ledger,
                agents=agents,
                tally=kept.tally,
                marks=kept.marks,
                prices=self.prices,
                tape=self.tape,
                slots=read_slots(self.workspace.path / "forge"),
                changes=changes,
                changes_fault=changes_fault,
                shown={str(row.get("agent")): row for row in status.agents},
            )
            self.tape.symbols = frozenset(facts.symbols)
            yield facts

    def _of(self, run: Run | None) -> OfRun:
        if run is None:
            return OfRun(self.workspace.run("0"))
        if self._of_run is None or self._of_run.run != run:
            self._of_run = OfRun(run)
        return self._of_run

    def _changes(self, run: Run | None) -> tuple[list[ProductionChange], str]:
        if run is None:
            return [], ""

        def read() -> tuple[list[ProductionChange], str]:
            path = run.path / FILE
            try:
                found, _, damaged = changes_after(run, 0)
            except OSError as error:
                return [], f"{path} cannot be read: {error}"
            lines = counted(damaged, "line")
            return found, f"{lines} of {path} cannot be read" if damaged else ""

        return self.shared(f"changes of {run.run_id}", CHANGES_S, read)

    def _arena(self, run: Run | None) -> tuple[Mapping[str, Any], float | None]:
        if run is None:
            return {}, None
        try:
            age = time.time() - run.arena.stat().st_mtime
        except OSError:
            return {}, None
        return read_json(run.arena) or {}, max(0.0, age)

    @contextmanager
    def _ledger(self, run: Run | None) -> Iterator[PageReader | None]:
        if run is None or not run.ledger.exists():
            yield None
            return
        try:
            with PageReader(run.ledger, wait_s=WAIT_S) as ledger:
                yield ledger
        except (LedgerError, BookkeepingError, sqlite.Error, ValueError, ArithmeticError) as error:
            message = f"{run.ledger} cannot be read: {error}"
            raise BooksError(message) from error
