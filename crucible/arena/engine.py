"""The engine: one loop that turns closed candles into feature rows, decisions, intents and fills.

It owns the link to Cerebellum, the feature pipeline, the agents and the ledger. Prefect and MLflow
may both be away: it trades on with the roster it has.
"""

from __future__ import annotations

import gc
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial

from crucible.arena.agent import Agent, Decision
from crucible.arena.alignment import MarketClock, Minute, MinuteAligner
from crucible.arena.decisions import Deciders, book
from crucible.arena.gaps import Backfill, GapFiller, closed_minutes
from crucible.arena.market_input import BookRecorder, candle_of
from crucible.arena.orders_in_flight import OrdersInFlight
from crucible.arena.pairs import Pairs
from crucible.arena.registry_watcher import RegistryWatcher, Seated
from crucible.arena.seats import Seats
from crucible.arena.shadow.placebos import Placebos
from crucible.arena.sizing.readings import missing_sources, reading_of, readings_of
from crucible.arena.status_file import ArenaFiles, SideFiles, timing
from crucible.execution.cerebellum_link import CerebellumLink, LinkError
from crucible.execution.messages import (
    Ack,
    BookMessage,
    CandleMessage,
    CommandMessage,
    ErrorReply,
    FillEvent,
    FundingEvent,
    Heartbeat,
    JournalEvent,
    OrderEvent,
    Snapshot,
    SnapshotReply,
    StateEvent,
)
from crucible.features.frame import FeatureRow
from crucible.features.order_books.store import BookStore
from crucible.features.pipeline import FeaturePipeline
from crucible.ledger.buffered import BufferedLedger
from crucible.ledger.trades import Fill, Payment
from crucible.market.candles import Candles
from crucible.market.instruments import Instrument
from crucible.settings import MINUTE_MS, Settings

logger = logging.getLogger(__name__)

HISTORY_ROWS = 1_500
"""Feature rows kept a symbol, to warm the lookbacks of a strategy that is seated later."""

MARK_MS = 15 * MINUTE_MS
ASKED_MS = 10
"""How long the loop listens at once while a missing minute is being asked for."""
UNANSWERED_S = 5.0
LET_GO_ON = "crucible resume --operator NAME"
LET_THROUGH_S = 0.01
"""Longest wait for the orders of a minute to arrive at the venue before anything else is done."""


class Arena:
    """A long-lived arena.

    Parameters
    ----------
    settings : Settings
    link : CerebellumLink
        Subscribed to candles and books of every symbol.
    pipeline : FeaturePipeline
    instruments : dict of str to Instrument
    roster : RegistryWatcher
    files : ArenaFiles
    seed : int
        Of the intent ids and of the placebos' entries.
    """

    def __init__(
        self,
        settings: Settings,
        link: CerebellumLink,
        pipeline: FeaturePipeline,
        instruments: dict[str, Instrument],
        roster: RegistryWatcher,
        files: ArenaFiles,
        seed: int = 0,
    ) -> None:
        self._settings = settings
        self._link = link
        self._pipeline = pipeline
        self._instruments = instruments
        self._roster = roster
        self._side = SideFiles(files)
        self._ledger = BufferedLedger(files.ledger)
        self._orders = OrdersInFlight(
            settings.arena.ttl_ms, random.Random(f"{seed}:{self._ledger.last_seq()}")
        )
        self._aligner = MinuteAligner(pipeline.symbols)
        self._clock = MarketClock()
        self._books = BookRecorder(pipeline.symbols, BookStore(files.lake))
        self._history: dict[str, deque[FeatureRow]] = {
            symbol: deque(maxlen=HISTORY_ROWS) for symbol in pipeline.symbols
        }
        self._prices: dict[str, Decimal] = {}
        costs = settings.forge.costs
        self._seats = Seats(
            link, self._ledger, roster, self._side, costs, self._history, self._prices
        )
        self.agents: dict[str, Agent] = self._seats.agents
        self._pairs = Pairs(settings, instruments, self._ledger)
        self._placebos = Placebos(settings, instruments, self._ledger, self._prices, seed)
        self.minutes = 0
        self._closed: list[Minute] = []
        self._roster_due: list[Seated] | None = None
        self._deadman_tripped = False
        self._decide_ms: deque[float] = deque(maxlen=1_000)
        self._last_heartbeat = 0.0

    @property
    def market_ts(self) -> int:
        """Newest market time that is believed, epoch milliseconds; 0 before the first message."""
        return self._clock.now_ts

    # --- start ---------------------------------------------------------------------------------

    def warm(self, history: dict[str, Candles], backfill: Backfill) -> None:
        """Take history, catch up to the first live candle, and rebuild the books.

        Parameters
        ----------
        history : dict of str to Candles
            From the lake.
        backfill : callable
            Fetches what closed between the lake's end and the first live candle.
        """
        for event in self._link.replay(self._ledger.last_seq()):
            self._book(event)
        # One end for all: a symbol that the lake knows longer must not leave a hole in the others.
        seen = min(int(candles.close_ts[-1]) for candles in history.values())
        frames = self._pipeline.warm(
            {symbol: candles.between(0, seen) for symbol, candles in history.items()}
        )
        for symbol, frame in frames.items():
            newest = range(max(0, len(frame) - HISTORY_ROWS), len(frame))
            self._history[symbol].extend(frame.row(index) for index in newest)
        with self._ledger.transaction():
            self._ledger.set_missing_sources(missing_sources(self._pipeline.schema))
            for frame in frames.values():
                self._ledger.book_readings(readings_of(frame))
        self._aligner.skip_to(seen)
        live = self._await_first_minute()
        missing = closed_minutes(self._pipeline.symbols, backfill, seen, live.close_ts)
        live = Minute(live.close_ts, missing.pop(live.close_ts, {}) | live.candles)
        self._gaps = GapFiller(self._pipeline.symbols, backfill, live.close_ts)
        for ts in sorted(missing):
            self._take_minute(Minute(ts, missing[ts]), act=False)
        self._answer_the_deadman()
        self._take_minute(live, act=True)
        logger.info("warm: history to %d, live from %d", seen, live.close_ts)

    def _await_first_minute(self, patience_s: float = 180.0) -> Minute:
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            self._closed += self._messages(self._link.poll(200))
            if self._closed:
                return self._closed.pop(0)
        message = f"no closed candle of {', '.join(self._pipeline.symbols)} in {patience_s:g} s; does the venue run? crucible status"
        raise LinkError(message)

    def _answer_the_deadman(self) -> None:
        """Lift what the dead-man switch did while no arena was there.

        Only on the paper venue, and only if nothing else has moved the state since: elsewhere a
        person decides, with `crucible resume --operator NAME`.
        """
        state = self._link.snapshot(self.market_ts).state
        for event in self._link.replay(self._ledger.last_seq(), self.market_ts):
            self._book(event)
        if state != "REDUCE_ONLY" or self._ledger.state_reason() != "deadman":
            return
        if self._settings.execution.venue != "paper":
            logger.warning("the dead-man switch keeps entries off; to go on: %s", LET_GO_ON)
            return
        self._link.set_active("the arena, back after a silence", self.market_ts)

    # --- the loop ------------------------------------------------------------------------------

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Trade until told to stop.

        What is in memory by then is kept out of the collector's sight: a full collection walks through
        everything for a quarter of a second, and an order may be waiting.
        """
        gc.collect()
        gc.freeze()
        try:
            while not should_stop():
                self.step()
        finally:
            gc.unfreeze()

    def step(self, timeout_ms: int = 200) -> None:
        """Handle whatever has arrived, and the roster."""
        if (roster := self._roster.latest()) is not None:
            self._roster_due = roster
        # A seat's books are read from the ledger, which must hold them by then.
        if (roster := self._roster_due) is not None and not self._ledger.trouble:
            self._roster_due = None
            self._seats.take(roster, self.market_ts)
        if self._deadman_tripped:
            self._deadman_tripped = False
            try:
                self._answer_the_deadman()
            except LinkError as error:
                # Not tried again: an answer that is waited for keeps exits waiting.
                logger.error("%s; entries are kept off; to go on: %s", error, LET_GO_ON)
        patience = min(timeout_ms, ASKED_MS) if self._closed else timeout_ms
        self._closed += self._messages(self._link.poll(patience))
        while self._closed and (minutes := self._gaps.fill(self._closed[0])) is not None:
            del self._closed[0]
            for minute in minutes:
                self._take_minute(minute, act=minute is minutes[-1])
        self._beat()

    def close(self) -> None:
        """Write what is pending and close the ledger."""
        self._side.store_books(self._books)
        self._ledger.close()

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._last_heartbeat >= 1.0:
            self._last_heartbeat = now
            self._ledger.retry()
            request = self._link.request_id()
            commands: list[CommandMessage] = [Heartbeat(ts=self.market_ts, request_id=request)]
            commands += self._orders.unanswered(now, UNANSWERED_S)
            # Its sequence number shows whether the newest events have come through.
            commands.append(Snapshot(ts=self.market_ts, request_id=self._link.request_id()))
            try:
                for command in commands:
                    self._link.send(command)
            except LinkError as error:
                logger.error("%s", error)

    def _messages(self, messages: Sequence[object]) -> list[Minute]:
        """Book events and replies; give the minutes that closed."""
        minutes: list[Minute] = []
        for message in messages:
            if isinstance(message, CandleMessage | BookMessage) and not self._believes(message):
                continue
            if isinstance(message, CandleMessage):
                minutes += self._aligner.add(message.symbol, candle_of(message), message.close_ts)
            elif isinstance(message, BookMessage):
                self._books.add(message)
                minutes += self._aligner.advance(message.ts)
            elif isinstance(message, Ack | ErrorReply):
                self._answered(message)
            elif isinstance(message, SnapshotReply):
                if message.seq > self._ledger.last_seq():
                    self._catch_up()
            elif hasattr(message, "seq"):
                self._event(message)  # type: ignore[arg-type]
        return minutes

    def _believes(self, message: CandleMessage | BookMessage) -> bool:
        """Whether the market time of a message is believed; one that is not is named."""
        before = self._clock.now_ts
        if self._clock.admits(message.ts):
            return True
        logger.error(
            "%s: a message of market time %d is dropped: the newest before it is %d, and no other agrees yet",
            message.symbol,
            message.ts,
            before,
        )
        return False

    # --- events --------------------------------------------------------------------------------

    def _event(self, event: JournalEvent) -> None:
        """Book an event; one that skips ahead means that some were missed: ask for them."""
        if event.seq > self._ledger.last_seq() + 1:
            self._catch_up()
        else:
            self._book(event)

    def _catch_up(self) -> None:
        """Ask for the events that did not come through; the next second shows the gap again."""
        try:
            for missed in self._link.replay(self._ledger.last_seq(), self.market_ts):
                self._book(missed)
        except LinkError as error:
            logger.error("events after %d are missing: %s", self._ledger.last_seq(), error)

    def _book(self, event: JournalEvent) -> None:
        fresh = event.seq > self._ledger.last_seq()
        if fresh and isinstance(event, StateEvent) and event.reason == "deadman":
            self._deadman_tripped = True
        fill = self._ledger.book_event(event)
        if fresh and isinstance(event, FundingEvent) and event.agent in self.agents:
            amount = Decimal(event.amount)
            payment = Payment(event.agent, event.symbol, event.exec_ts, amount)
            self.agents[event.agent].pay(payment)
        if isinstance(event, OrderEvent):
            self._ledger.book_outcome(event.order.intent_id, event.order.status)
            self._orders.order_changed(event.order, self.agents)
        if fill is not None and isinstance(event, FillEvent):
            self._booked(fill)
            self._orders.filled(fill, self.agents)

    def _booked(self, fill: Fill) -> None:
        agent = self.agents.get(fill.agent)
        if agent is None:
            return
        try:
            trade = agent.apply_fill(fill)
            if trade is not None:
                agent.edge()  # measured now, so that no decision waits for it
        except Exception as error:  # noqa: BLE001 - the ledger has the fill; the others go on
            self._seats.quarantine(agent, error, self.market_ts)
            return
        if trade is not None:
            self._side.log(trade)

    def _answered(self, reply: Ack | ErrorReply) -> None:
        intent_id, problem = self._orders.answered(reply, self.agents)
        if intent_id is not None and problem is not None:
            self._ledger.book_outcome(intent_id, problem)
            logger.warning("intent %s: %s", intent_id, problem)

    # --- minutes -------------------------------------------------------------------------------

    def _take_minute(self, minute: Minute, *, act: bool) -> None:
        started = time.perf_counter()
        books = self._books.close(minute)
        served = books if self._settings.features.books else None
        rows = self._pipeline.update(minute.close_ts, minute.candles, served)
        for symbol, row in rows.items():
            self._history[symbol].append(row)
            self._prices[symbol] = Decimal(repr(minute.candles[symbol].close))
        # Whoever trades decides first, and every order of the minute leaves at once; until they have
        # arrived the processor is left to those who carry them. All else is done afterwards.
        failed = partial(self._seats.quarantine, ts=minute.close_ts)
        deciders = Deciders(self.agents, self._orders, self._instruments, self._settings, failed)
        shut = self._ledger.reported_trouble
        decisions = deciders.decisions("live", rows, minute, act=act, no_entries=shut)
        orders = self._send(decisions)
        self._decide_ms.append(1_000 * (time.perf_counter() - started))
        self._link.let_through(orders, LET_THROUGH_S)
        decisions += deciders.decisions("shadow", rows, minute, act=act)
        with self._ledger.transaction():
            attended = act and not self._gaps.reaches_over_a_hole(
                minute.close_ts, self._pipeline.warmup * MINUTE_MS
            )
            for agent, decision in decisions:
                self._record(agent, decision, attended=attended)
            self._pairs.take(self.agents, rows, minute)
            self._placebos.take(rows, minute)
            self._ledger.book_readings(map(reading_of, rows.values()))
            self._ledger.set_market_ts(minute.close_ts)
            if minute.close_ts % MARK_MS == 0:
                self._mark(minute.close_ts)
        self._seats.tidy(minute.close_ts)
        self.minutes += 1
        self._publish(minute.close_ts)

    def _send(self, decisions: Sequence[tuple[Agent, Decision]]) -> set[str]:
        """Send what was decided, one order right after the other; give the intents that left."""
        now = time.monotonic()
        commands = []
        for agent, found in decisions:
            if found.intent is None:
                continue
            request = self._link.request_id()
            try:
                command = self._orders.submit(agent, found.intent, found.ts, request, now)
            except Exception as error:  # noqa: BLE001 - the others' orders leave all the same
                self._orders.withdraw(agent)
                self._seats.quarantine(agent, error, found.ts)
            else:
                commands.append((agent, command))
        left = set()
        for agent, command in commands:
            try:
                self._link.send(command)
                left.add(command.intent_id)
            except LinkError as error:
                self._orders.withdraw(agent)
                agent.last_event = str(error)
                logger.error("%s: %s", agent.name, error)
        return left

    def _record(self, agent: Agent, decision: Decision, *, attended: bool) -> None:
        for fill in decision.shadow_fills:
            self._ledger.book_shadow_fill(fill)
        if (state := agent.execution.state()) is not None:
            self._ledger.keep_shadow(agent.name, state)
            for trade in agent.new_trades():
                self._side.log(trade)
        book(self._ledger, agent, decision, attended=attended)

    def _mark(self, ts: int) -> None:
        capital = self._settings.arena.capital_per_agent
        self._placebos.turn(self.agents, ts)
        marks = self._placebos.marks(ts)
        for agent in self.agents.values():
            equity = agent.equity(capital, self._prices.get(agent.strategy.symbol))
            if equity is not None:
                marks.append((agent.name, agent.mode, equity))
        self._ledger.book_equity(ts, marks)
        self._ledger.book_pairs(self._pairs.marks(ts))
        self._side.store_books(self._books)

    def _publish(self, ts: int) -> None:
        capital = self._settings.arena.capital_per_agent
        figures = {
            **timing(self.minutes, self._decide_ms),
            "refused": {**self._roster.refused},
            "quarantined": {**self._seats.quarantined},
            "registry_reachable": self._roster.reachable,
            "bad_frames": self._link.bad_frames,
            "late_candles": self._aligner.late,
            "times_refused": self._clock.refused,
            "candles_filled": self._gaps.filled,
            "minutes_unfilled": self._gaps.unfilled,
            "trouble": self._ledger.reported_trouble,
            "ledger_waiting": self._ledger.waiting,
        }
        agents, out = list(self.agents.values()), self._seats.kept_out()
        self._side.show(ts, agents, self._prices, capital, figures, out)
