"""The ledger of an arena that must trade on while its file cannot be written.

What is to be written waits in memory, in order, and is written when the disk has room again or whoever
held the file has let go. Nothing of it is lost with the process that matters: fills, orders and payments
stand in Cerebellum's journal, and the next start books from there on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from crucible import sqlite
from crucible.execution.messages import FillEvent, JournalEvent, StateEvent
from crucible.ledger.ledger import Ledger, fill_of
from crucible.ledger.reader import AgentRow, PairMark
from crucible.ledger.readings import Reading
from crucible.ledger.trades import Fill, Mode

logger = logging.getLogger(__name__)

BUSY_S = 0.5
"""How long a write waits for another program: the arena's heartbeat must not wait with it."""
AT_ONCE = 500
RETRY_S = 1.0


class BufferedLedger(Ledger):
    """A ledger whose writes may wait.

    Reads show what is in the file, except for what `book_event` took.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    trouble : str
        Why the file cannot be written; empty while it can.

    Raises
    ------
    LedgerError
        If it cannot even be opened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file = Ledger(path, wait_s=BUSY_S)
        self._waiting: list[Callable[[], None]] = []
        self._group: list[Callable[[], None]] | None = None
        self._taken: set[str] = set()
        self._seq = super().last_seq()
        self._reason = super().state_reason()
        self._tried = 0.0
        self.trouble = ""

    @property
    def waiting(self) -> int:
        """How many writes wait."""
        return len(self._waiting)

    @property
    def reported_trouble(self) -> str:
        """The trouble in words for a decision's reason; empty where there is none."""
        return f"the ledger cannot be written: {self.trouble}" if self.trouble else ""

    def retry(self) -> None:
        """Try to write what waits, at most once a second."""
        if not self.trouble or time.monotonic() - self._tried < RETRY_S:
            return
        self._flush()

    def close(self) -> None:
        """Write what waits, if that is possible, and close the file."""
        if self._waiting:
            self._flush()
        if self._waiting:
            logger.error(
                "%s: %d entries could not be written before the end (%s); fills, orders and payments "
                "among them are booked from the journal at the next start, decisions and marks are not",
                self.path,
                len(self._waiting),
                self.trouble,
            )
        for each in (self._file.close, super().close):
            try:
                each()
            except sqlite.Error as error:
                logger.error("%s: cannot be closed: %s", self.path, error)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Group writes: all of them are kept or none, now or later."""
        group: list[Callable[[], None]] = []
        self._group = group
        try:
            yield
        finally:
            self._group = None
        self._write(partial(_all_of, self._file, group))

    # --- writing -------------------------------------------------------------------------------

    def book_event(self, event: JournalEvent) -> Fill | None:
        """Book one event of Cerebellum's journal; a fill seen before gives None."""
        if event.seq <= self._seq:
            return None
        fill = None
        if isinstance(event, FillEvent) and not self._knows(event.exec_id):
            fill = fill_of(event)
            self._taken.add(event.exec_id)
        if isinstance(event, StateEvent) and event.agent is None and event.symbol is None:
            self._reason = event.reason
        self._seq = event.seq
        self._write(partial(self._file.book_event, event))
        return fill

    def _knows(self, exec_id: str) -> bool:
        if exec_id in self._taken:
            return True
        found = self._db.execute("SELECT 1 FROM fills WHERE exec_id = ?", (exec_id,)).fetchone()
        return found is not None

    def book_shadow_fill(self, fill: Fill) -> None:
        """Book a fill that the arena simulated for a challenger."""
        self._write(partial(self._file.book_shadow_fill, fill))

    def book_decision(
        self,
        ts: int,
        agent: str,
        action: str,
        reason: str,
        price: Decimal,
        qty: Decimal | None,
        intent_id: str | None,
        sizing: Mapping[str, Any] | None = None,
    ) -> None:
        """Record what an agent decided at a closed candle and why; for an entry, what made its size."""
        values = (ts, agent, action, reason, price, qty, intent_id, sizing)
        self._write(partial(self._file.book_decision, *values))

    def book_outcome(self, intent_id: str, outcome: str) -> None:
        """Record what became of a decision's intent."""
        self._write(partial(self._file.book_outcome, intent_id, outcome))

    def book_attendance(self, ts: int, agent: str, *, holds: bool) -> None:
        """Record that a production agent decided at a close, and whether it held a position then."""
        self._write(partial(self._file.book_attendance, ts, agent, holds=holds))

    def book_equity(self, ts: int, marks: Iterable[tuple[str, Mode, Decimal]]) -> None:
        """Record every agent's equity at one market instant."""
        self._write(partial(self._file.book_equity, ts, list(marks)))

    def book_pairs(self, marks: Iterable[PairMark]) -> None:
        """Record what challengers and the copies of their incumbents returned in a quarter of an hour."""
        self._write(partial(self._file.book_pairs, list(marks)))

    def book_readings(self, readings: Iterable[Reading]) -> None:
        """Record what the features said at closed candles; the first reading of a candle stays."""
        self._write(partial(self._file.book_readings, list(readings)))

    def set_missing_sources(self, missing: Mapping[str, str]) -> None:
        """Record which features have no source now, and why."""
        self._write(partial(self._file.set_missing_sources, dict(missing)))

    def keep_shadow(self, agent: str, state: dict[str, Any]) -> None:
        """Keep what a challenger's restart needs beyond its fills."""
        self._write(partial(self._file.keep_shadow, agent, state))

    def seat(self, row: AgentRow) -> None:
        """Record that an agent trades from now on, or changed its role."""
        self._write(partial(self._file.seat, row))

    def unseat(self, agent: str, ts: int) -> None:
        """Record that an agent trades no more."""
        self._write(partial(self._file.unseat, agent, ts))

    def set_role(self, agent: str, role: str) -> None:
        """Record that an agent changed its role without being seated anew."""
        self._write(partial(self._file.set_role, agent, role))

    def set_proof(self, agent: str, proven_by: str) -> None:
        """Record by which route an agent's version is proven now; empty for none."""
        self._write(partial(self._file.set_proof, agent, proven_by))

    def set_market_ts(self, ts: int) -> None:
        """Record the newest market time that was decided upon."""
        self._write(partial(self._file.set_market_ts, ts))

    # --- reading -------------------------------------------------------------------------------

    def last_seq(self) -> int:
        """Newest place of Cerebellum's journal that was taken, written or not."""
        return self._seq

    def state_reason(self) -> str | None:
        """Give the reason of the newest move of Cerebellum's global state; None before the first."""
        return self._reason

    # --- waiting -------------------------------------------------------------------------------

    def _write(self, work: Callable[[], object]) -> None:
        def one() -> None:
            work()

        if self._group is not None:
            self._group.append(one)
        elif self._waiting or not self._attempt([one]):
            self._waiting.append(one)

    def _flush(self) -> None:
        while self._waiting:
            batch = self._waiting[:AT_ONCE]
            done = self._attempt(batch)
            del self._waiting[:done]
            if done < len(batch):
                return
        logger.warning("%s: written again; nothing was lost", self.path)
        self.trouble = ""
        self._taken.clear()

    def _attempt(self, works: list[Callable[[], None]]) -> int:
        """Do writes in their order until one fails; give how many were done."""
        done = 0
        try:
            for work in works:
                work()
                done += 1
        except sqlite.DatabaseError as error:
            if isinstance(error, sqlite.IntegrityError | sqlite.ProgrammingError):
                raise
            self._tried = time.monotonic()
            if self.trouble != str(error):
                self.trouble = str(error)
                logger.error(
                    "%s: cannot be written: %s; no entry is made until it can, exits go on. Free some "
                    "space on that disk, or end whatever holds the file",
                    self.path,
                    error,
                )
        return done


def _all_of(ledger: Ledger, group: list[Callable[[], None]]) -> None:
    with ledger.transaction():
        for work in group:
            work()
