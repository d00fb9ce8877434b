"""The arena on the real Cerebellum and the real paper venue: what is decided is what is traded."""

import gc
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zmq

from crucible.arena.engine import Arena
from crucible.arena.execution import Seat
from crucible.arena.registry_watcher import Seated
from crucible.arena.status_file import ArenaFiles
from crucible.execution.cerebellum_link import Addresses, CerebellumLink
from crucible.features.pipeline import FeaturePipeline
from crucible.ledger.page_reader import PageReader
from crucible.ledger.reader import LedgerReader
from crucible.ledger.readings import FIGURES
from crucible.market.exchange import Exchange
from crucible.market.lake import Lake
from crucible.settings import FeatureSettings, Settings
from crucible.strategies.contract import Exits
from crucible.vm.signals import Signal
from crucible.watchtower.conduct import Conduct, Expected
from crucible.watchtower.parity import compare
from tests.support.disks import fill, mounted
from tests.support.polling import until
from tests.support.processes import (
    ORIGIN_MS,
    cerebellum_command,
    running,
    venue_command,
    write_keys,
)

SYMBOLS = ("BTCUSDT", "ETHUSDT")


class Metronome:
    """A strategy that buys and sells by the market's clock."""

    kind = "gp"
    warmup = 0

    def __init__(self, symbol: str, schema_hash: str, hold: int, exits: Exits) -> None:
        self.symbol, self.schema_hash, self.hold, self.exits = symbol, schema_hash, hold, exits

    def decide(self, row):
        phase = row.ts // 60_000 % (2 * self.hold)
        return Signal.BUY if phase == 0 else Signal.EXIT if phase == self.hold else Signal.HOLD

    def reset(self):
        pass


@dataclass
class RegistryWatcher:
    """A roster that says what the test wants."""

    seats: list[Seated] | None
    reachable: bool = True
    reported: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def refused(self):
        return {}

    def quarantine(self, slot, version, reason):
        self.reported.append((slot, version, reason))

    def latest(self):
        latest, self.seats = self.seats, None
        return latest


@dataclass
class Floor:
    """Everything that an arena stands on, restartable."""

    folder: Path
    addresses: Addresses
    exchange: Exchange
    settings: Settings

    def arena(self, roster: RegistryWatcher, link: CerebellumLink) -> Arena:
        pipeline = FeaturePipeline(SYMBOLS, FeatureSettings())
        files = ArenaFiles(
            self.folder / "ledger.sqlite",
            self.folder / "performance_log.jsonl",
            self.folder / "arena.json",
            self.folder / "lake",
        )
        instruments = {symbol: self.exchange.instrument(symbol) for symbol in SYMBOLS}
        arena = Arena(self.settings, link, pipeline, instruments, roster, files, seed=1)
        lake = Lake(self.folder / "lake")
        for symbol in SYMBOLS:
            end = self.exchange.closed_until(symbol)
            lake.refresh(self.exchange, symbol, ORIGIN_MS, end)
        arena.warm(
            lake.read_all(SYMBOLS),
            lambda symbol, start, end: list(self.exchange.pages(symbol, start, end)),
        )
        return arena

    def link(self) -> CerebellumLink:
        topics = tuple(f"{symbol}.{kind}" for symbol in SYMBOLS for kind in ("candle", "book"))
        return CerebellumLink(self.addresses, topics)


@pytest.fixture
def venue(tmp_path):
    keys = write_keys(tmp_path)
    command = venue_command(tmp_path, keys, ",".join(SYMBOLS), speed=240)
    with running(command, tmp_path / "log") as (_, venue):
        yield venue | {"keys": keys}


@contextmanager
def cerebellum(folder: Path, venue):
    command = cerebellum_command(folder, venue["keys"], ",".join(SYMBOLS), venue)
    with running(command, folder / "log") as (process, ready):
        addresses = Addresses(ready["commands"], ready["events"], ready["market"])
        yield process, Floor(folder, addresses, Exchange(venue["rest"]), Settings(home=folder))


@pytest.fixture
def floor(tmp_path, venue):
    with cerebellum(tmp_path, venue) as (_, floor):
        yield floor


def seated(symbol: str, number: int, role: str, schema_hash: str, hold: int = 3) -> Seated:
    seat = Seat(f"{symbol}-gp-{number}", "1", role, proven=False, edge=None)
    return Seated(seat, Metronome(symbol, schema_hash, hold, Exits(0.05, 0.05, 600)))


def run_until(arena: Arena, done, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        arena.step(50)
    assert done(), f"not reached in {seconds} s at market time {arena.market_ts}"


def schema_hash() -> str:
    return FeaturePipeline(SYMBOLS, FeatureSettings()).schema.hash


def test_decisions_become_fills_and_every_book_agrees(floor):
    schema = schema_hash()
    roster = RegistryWatcher(
        [
            seated("BTCUSDT", 1, "production", schema),
            seated("BTCUSDT", 2, "production", schema, hold=2),
            seated("ETHUSDT", 1, "production", schema),
            seated("ETHUSDT", 2, "challenger", schema),
        ]
    )
    with floor.link() as link:
        arena = floor.arena(roster, link)
        agents = arena.agents
        run_until(arena, lambda: len(agents) == 4)
        run_until(
            arena,
            lambda: all(len(agent.trades) >= 2 for agent in agents.values()),
        )
        roster.seats = []  # everybody leaves, and positions are closed
        run_until(arena, lambda: not agents)
        arena.close()

        # The venue tells its balance apart from its fills and after them. Once flat, it has moved by
        # exactly the sum of the cash flows.
        def settled():
            snapshot = link.snapshot(arena.market_ts)
            moved = Decimal(snapshot.venue.wallet) - Decimal(100_000)
            return snapshot if moved == Decimal(snapshot.totals.cash) else None

        snapshot = until(settled, lambda: link.snapshot(arena.market_ts), seconds=40, pause=0.05)
    assert all(Decimal(position.qty) == 0 for position in snapshot.positions)
    with LedgerReader(floor.folder / "ledger.sqlite") as ledger:
        live = [fill for fill in ledger.fills() if fill.mode == "live"]
        assert len(live) == snapshot.totals.fills
        assert sum(fill.fee for fill in live) == Decimal(snapshot.totals.fees)
        assert sum(fill.cash for fill in live) == Decimal(snapshot.totals.cash)
        shadow = [fill for fill in ledger.fills() if fill.mode == "shadow"]
        assert len(shadow) >= 4
        assert {fill.agent for fill in shadow} == {"ETHUSDT-gp-2@1"}


def test_a_full_disk_stops_entries_and_no_exit_and_the_books_are_whole_again(floor, tmp_path):
    with mounted(tmp_path / "disk", "16m") as disk, floor.link() as link:
        agent_of = seated("BTCUSDT", 1, "production", schema_hash())
        shadow = seated("ETHUSDT", 1, "challenger", schema_hash())
        roster = RegistryWatcher([agent_of, shadow])
        arena = replace(floor, folder=disk).arena(roster, link)
        run_until(arena, lambda: agent_of.seat.agent in arena.agents)
        agent = arena.agents[agent_of.seat.agent]
        run_until(arena, lambda: agent.trades)
        run_until(arena, lambda: agent.book.qty > 0 and agent.execution.in_flight is None)
        filler = fill(disk)

        closed = len(agent.trades)
        run_until(arena, lambda: len(agent.trades) > closed and agent.execution.in_flight is None)
        assert "full" in arena._ledger.trouble
        minutes = arena.minutes
        while arena.minutes < minutes + 8:  # more than a whole round of its metronome
            arena.step(50)
            assert agent.book.qty == 0
            assert agent.execution.in_flight is None
        assert len(agent.trades) == closed + 1
        # A cull waits for the books, and nothing is opened meanwhile.
        roster.seats = []
        arena.step(50)
        assert agent.seat.role == "production"

        filler.unlink()
        run_until(arena, lambda: not arena.agents)
        assert arena._ledger.trouble == ""
        arena.close()
        snapshot = link.snapshot(arena.market_ts)
        with LedgerReader(disk / "ledger.sqlite") as ledger:
            live = [fill for fill in ledger.fills() if fill.mode == "live"]
            assert len(live) == snapshot.totals.fills
            assert sum(fill.cash for fill in live) == Decimal(snapshot.totals.cash)
            reported = {row["reason"] for row in ledger.decisions(agent_of.seat.agent)}
            assert "exit" in reported
        assert json.loads((disk / "arena.json").read_text())["trouble"] == ""


def test_whoever_trades_decides_before_whoever_only_shadows(floor):
    schema = schema_hash()
    seats = [
        seated("BTCUSDT", 2, "challenger", schema),
        seated("BTCUSDT", 1, "production", schema),
        seated("ETHUSDT", 1, "production", schema),
    ]
    asked: dict[int, list[str]] = {}
    for one in seats:
        decide = one.strategy.decide
        one.strategy.decide = lambda row, role=one.seat.role, decide=decide: (
            asked.setdefault(row.ts, []).append(role),
            decide(row),
        )[1]
    with floor.link() as link:
        arena = floor.arena(RegistryWatcher(seats), link)
        run_until(arena, lambda: arena.agents)
        asked.clear()
        agents = arena.agents.values()
        run_until(arena, lambda: all(agent.trades for agent in agents))
        arena.close()
    assert len(asked) >= 4
    assert set(map(tuple, asked.values())) == {("production", "production", "challenger")}


def test_the_collector_does_not_walk_through_what_was_there_while_orders_wait(tmp_path):
    files = ArenaFiles(*(tmp_path / name for name in ("l.sqlite", "log", "status", "lake")))
    pipeline = FeaturePipeline(SYMBOLS, FeatureSettings())
    with zmq.Context() as nobody:  # its loop ends before it listens
        arena = Arena(Settings(home=tmp_path), nobody, pipeline, {}, RegistryWatcher(None), files)
        kept = []
        arena.run(lambda: bool(kept.append(gc.get_freeze_count()) or True))
        arena.close()
    assert kept[0] > 10_000
    assert gc.get_freeze_count() == 0


class Failing(Metronome):
    """Wants to buy, and raises at a decision after it was armed."""

    def __init__(self, symbol: str, schema_hash: str, after: int, error: Exception) -> None:
        super().__init__(symbol, schema_hash, 1, Exits(0.05, 0.05, 600))
        self.after, self.error, self.armed, self.asked = after, error, False, 0

    def decide(self, row):
        self.asked += self.armed
        if self.asked >= self.after:
            raise self.error
        return Signal.BUY


def failing(symbol: str, number: int, role: str, after: int, error: Exception) -> Seated:
    seat = Seat(f"{symbol}-gp-{number}", "1", role, proven=False, edge=None)
    return Seated(seat, Failing(symbol, schema_hash(), after, error))


def test_whoever_raises_is_closed_and_kept_out_while_the_others_trade_on(floor):
    schema = schema_hash()
    sound = [
        seated("BTCUSDT", 1, "production", schema),
        seated("ETHUSDT", 2, "challenger", schema),
    ]
    holder = failing("BTCUSDT", 2, "production", 10, RecursionError("too deep"))
    shadow = failing("ETHUSDT", 3, "challenger", 10, OverflowError("1e400"))
    stillborn = failing("ETHUSDT", 4, "production", 1, MemoryError())
    stillborn.strategy.armed = True  # fails on history already
    bad = [holder, shadow, stillborn]
    names = [one.seat.agent for one in bad]
    others = [one.seat.agent for one in sound]
    roster = RegistryWatcher([*sound, *bad])
    with floor.link() as link:
        arena = floor.arena(roster, link)
        agents = arena.agents
        run_until(arena, lambda: set(agents) == {*others, *names[:2]})
        run_until(arena, lambda: all(agents[name].book.qty > 0 for name in names[:2]))
        holder.strategy.armed = shadow.strategy.armed = True
        before = arena.minutes
        run_until(arena, lambda: set(agents) == set(others))
        assert arena.minutes - before >= 10
        # The roster still wants all of them: whoever failed is not seated again.
        trades = {name: len(agents[name].trades) for name in others}
        roster.seats = [*sound, *bad]
        run_until(arena, lambda: all(len(agents[name].trades) > trades[name] for name in others))
        assert set(agents) == set(others)
        status = json.loads((floor.folder / "arena.json").read_text())
        held = {p.agent for p in link.snapshot(arena.market_ts).positions if Decimal(p.qty) != 0}
        # Taken off the roster and put back, as by a person who has seen to it: tried once more.
        holder.strategy.armed, holder.strategy.asked = False, 0
        for roster.seats in (sound, [*sound, holder]):
            run_until(arena, lambda: roster.seats is None)
        assert names[0] in agents
        arena.close()
    assert shadow.strategy.asked == 10
    assert not held & set(names)
    reasons = ["RecursionError: too deep", "OverflowError: 1e400", "MemoryError: "]
    assert status["quarantined"] == dict(zip(names, reasons, strict=True))
    assert sorted(roster.reported) == sorted(
        (one.seat.slot, "1", reason) for one, reason in zip(bad, reasons, strict=True)
    )
    with LedgerReader(floor.folder / "ledger.sqlite") as ledger:
        for name in names[:2]:
            fills = ledger.fills(name)
            assert sum(fill.qty if fill.side == "buy" else -fill.qty for fill in fills) == 0
            assert fills[-1].reason == "quarantined"
        for name, reason in zip(names, reasons, strict=True):
            reported = [row for row in ledger.decisions(name) if row["action"] == "quarantine"]
            assert [row["reason"] for row in reported] == [reason]


def test_a_candle_that_history_and_the_stream_both_bring_is_taken_once(floor):
    with floor.link() as link:
        # Minutes close, and wait in the subscription, before the lake is filled past them.
        time.sleep(2.0)
        arena = floor.arena(RegistryWatcher([]), link)
        first = arena.market_ts
        run_until(arena, lambda: arena.minutes >= 3)
        assert arena.market_ts > first
        arena.close()


def test_an_arena_that_was_away_finds_its_position_again_and_closes_it(floor):
    schema = schema_hash()
    production = seated("BTCUSDT", 1, "production", schema, hold=20)
    name = production.seat.agent
    with floor.link() as link:
        arena = floor.arena(RegistryWatcher([production]), link)
        # A market order may fill in parts: the position is whole when the order has ended.
        run_until(
            arena,
            lambda: (
                name in arena.agents
                and arena.agents[name].book.qty > 0
                and arena.agents[name].execution.in_flight is None
            ),
        )
        held = arena.agents[name].book.qty
        arena.close()
    with floor.link() as link:
        arena = floor.arena(RegistryWatcher([production]), link)
        run_until(arena, lambda: name in arena.agents)
        assert arena.agents[name].book.qty in {held, Decimal(0)}
        run_until(arena, lambda: len(arena.agents[name].trades) >= 1)
        trade = arena.agents[name].trades[0]
        assert trade.qty == held
        arena.close()


def test_a_stop_protects_a_position_while_the_arena_is_dead(floor):
    schema = schema_hash()
    seat = Seat("BTCUSDT-gp-1", "1", "production", proven=False, edge=None)
    tight = Metronome("BTCUSDT", schema, 500, Exits(0.0005, 0.0005, 600))
    with floor.link() as link:
        arena = floor.arena(RegistryWatcher([Seated(seat, tight)]), link)
        tight.decide = lambda row: Signal.BUY
        run_until(arena, lambda: seat.agent in arena.agents)
        run_until(arena, lambda: arena.agents[seat.agent].book.qty > 0)
        arena.close()
    with floor.link() as link:
        until(
            lambda: all(Decimal(position.qty) == 0 for position in link.snapshot().positions),
            "the stop",
            seconds=60,
            pause=0.1,
        )
        reasons = {e.reason for e in link.replay(0) if type(e).__name__ == "FillEvent"}
    assert reasons & {"stop", "take_profit"}


def test_an_arena_whose_cerebellum_was_away_sees_every_minute_once_and_decides_on(tmp_path, venue):
    seen = []
    seat = seated("BTCUSDT", 1, "production", schema_hash())
    decide = seat.strategy.decide
    seat.strategy.decide = lambda row: (seen.append(row.ts), decide(row))[1]
    with cerebellum(tmp_path, venue) as (process, floor), floor.link() as link:
        arena = floor.arena(RegistryWatcher([seat]), link)
        run_until(arena, lambda: seat.seat.agent in arena.agents)
        warmed = len(seen)
        run_until(arena, lambda: len(seen) >= warmed + 3)
        process.kill()
        process.wait()
        time.sleep(1.5)  # six market minutes
        with cerebellum(tmp_path, venue):
            killed_at = arena.market_ts
            run_until(arena, lambda: arena.market_ts > killed_at and arena.agents)
            trades = len(arena.agents[seat.seat.agent].trades)
            run_until(arena, lambda: len(arena.agents[seat.seat.agent].trades) > trades)
            arena.close()
    assert [after - before for before, after in pairwise(seen)] == [60_000] * (len(seen) - 1)
    figures = json.loads((tmp_path / "arena.json").read_text())
    assert figures["candles_filled"] >= 2 * 3
    assert figures["minutes_unfilled"] == 0


def test_what_arena_cerebellum_and_venue_do_together_is_what_the_backtest_does(floor):
    seats = [
        seated("BTCUSDT", 1, "production", schema_hash(), hold=2),
        seated("ETHUSDT", 1, "production", schema_hash(), hold=5),
    ]
    # This one is closed by its levels and its deadline before it would leave by itself.
    seats[1].strategy.exits = Exits(0.0008, 0.0008, 2)
    with floor.link() as link:
        arena = floor.arena(RegistryWatcher(list(seats)), link)
        run_until(arena, lambda: len(arena.agents) == 2)
        run_until(arena, lambda: all(len(agent.trades) >= 8 for agent in arena.agents.values()), 90)
        arena.close()
    until = arena.market_ts // 60_000 * 60_000
    lake = Lake(floor.folder / "lake")
    for symbol in SYMBOLS:
        lake.refresh(floor.exchange, symbol, ORIGIN_MS, until)
    candles = lake.read_all(SYMBOLS)
    frames = FeaturePipeline(SYMBOLS, FeatureSettings()).batch(candles)
    with LedgerReader(floor.folder / "ledger.sqlite") as ledger:
        attendance = ledger.attendance(0, until)
        for one in seats:
            name, own = one.seat.agent, candles[one.strategy.symbol]
            frame = frames[own.symbol]
            signals = [one.strategy.decide(frame.row(row)) for row in range(len(frame))]
            expected = Expected(
                own,
                np.array(signals, np.int8),
                frame.column("regime_change_detected") == 1.0,
                frame.column("volatility_ratio"),
                one.strategy.exits,
                floor.settings.forge.costs.slippage,
            )
            conduct = Conduct(ledger.decisions(name), ledger.fills(name), attendance[name])
            day = compare(name, conduct, expected, 0, until)
            assert day.disagreements == ()
            assert day.score == 1.0
            assert day.compared >= 14
            assert day.fills >= 12


def test_each_closed_minute_has_one_reading_of_each_symbol_over_a_restart_without_any_agent(floor):
    for _ in range(2):
        with floor.link() as link:
            arena = floor.arena(RegistryWatcher([]), link)
            run_until(arena, lambda arena=arena: arena.minutes >= 3)
            arena.close()
    with PageReader(floor.folder / "ledger.sqlite") as ledger:
        lake, until = Lake(floor.folder / "lake"), ledger.market_ts()
        for symbol in SYMBOLS:
            lake.refresh(floor.exchange, symbol, ORIGIN_MS, until)
        frames = FeaturePipeline(SYMBOLS, FeatureSettings()).batch(lake.read_all(SYMBOLS))
        for symbol, frame in frames.items():
            steps = ledger.readings(symbol, 0, 60_000)
            assert [step.ts + 60_000 for step in steps] == frame.ts.tolist()
            assert {step.minutes for step in steps} == {1}
            for name in FIGURES:
                recorded = np.array([getattr(step, name) for step in steps], np.float64)
                np.testing.assert_array_equal(recorded, frame.column(name), name)
            changed = frame.column("regime_change_detected")
            known = [step.regime_minutes == 1 for step in steps]
            assert known == np.isfinite(changed).tolist()
            assert [step.regime_change_detected for step in steps] == (changed == 1.0).tolist()
            assert any(known)
            assert not all(known)
        assert set(ledger.missing_sources()) == {"influence_in", "mce_skew"}
