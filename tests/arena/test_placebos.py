"""Placebos in the arena: who begins, who ends, and that nobody notices them but the ledger."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.arena.agent import Agent
from crucible.arena.alignment import Minute
from crucible.arena.engine import Arena
from crucible.arena.execution import Seat
from crucible.arena.gaps import GapFiller
from crucible.arena.shadow.placebos import Placebos
from crucible.arena.status_file import ArenaFiles
from crucible.execution.messages import CandleMessage
from crucible.ledger.ledger import Ledger
from crucible.settings import Settings
from crucible.strategies.contract import Exits
from crucible.vm.signals import Signal
from tests.support.factories import agent_row, instrument
from tests.support.walks import Column, stage

QUARTER = 900_000
NAME = "BTCUSDT-placebo-1@1"
SECOND = "BTCUSDT-placebo-1@2"


def agent(slot="BTCUSDT-gp-1", role="production", gap=12.0, exits=None, version="1") -> Agent:
    seat = Seat(slot, version, role, proven=False, edge=None, gap=gap)
    return Agent(seat, Column(exits or Exits(0.01, 0.015, 20), symbol=slot.partition("-")[0]))


class Floor:
    """A ledger, a market without a hole, and placebos that can be made anew at any minute."""

    def __init__(self, folder, seed=1, rows=1_200, symbols=("BTCUSDT",), on=True, name="ledger"):
        self.market = stage(seed, rows)
        self.ledger = Ledger(folder / f"{name}.sqlite")
        self.settings = Settings(home=folder, watchtower={"placebos": on})
        self.symbols, self.prices, self.agents = symbols, {}, {}
        self.restart()

    def restart(self, seed=3, **changes) -> None:
        instruments = {symbol: instrument("0.00001", "0") for symbol in self.symbols}
        chosen = self.settings.model_copy(update=changes)
        self.placebos = Placebos(chosen, instruments, self.ledger, self.prices, seed)

    def seat(self, one: Agent, since_ts=0) -> None:
        self.agents[one.name] = one
        row = agent_row(one.name, one.seat.role, since_ts=since_ts, symbol=one.strategy.symbol)
        self.ledger.seat(row)

    def minute(self, number: int) -> int:
        """Take the `number`-th minute; its market time is one minute after the one before."""
        ts = (number + 1) * 60_000
        row, candle = self.market.frame.row(number), self.market.candles.candle(number)
        rows = {name: replace(row, symbol=name, ts=ts) for name in self.symbols}
        candles = {name: replace(candle, ts=ts - 60_000) for name in self.symbols}
        self.prices.update(dict.fromkeys(self.symbols, Decimal(repr(candle.close))))
        self.placebos.take(rows, Minute(ts, candles))
        if ts % QUARTER == 0:
            self.placebos.turn(self.agents, ts)
            self.ledger.book_equity(ts, self.placebos.marks(ts))
        self.ledger.set_market_ts(ts)
        return ts

    def minutes(self, first: int, stop: int) -> None:
        for number in range(first, stop):
            self.minute(number)

    def placebo_rows(self):
        return [row for row in self.ledger.agents() if row.role == "placebo"]


@pytest.fixture
def floor(tmp_path):
    made = Floor(tmp_path)
    yield made
    made.ledger.close()


def test_it_has_exits_and_pace_of_the_newest_production_agent_and_stands_in_the_ledger(floor):
    floor.seat(agent(gap=50.0), since_ts=5)
    floor.seat(agent("BTCUSDT-gp-2", gap=7.0, exits=Exits(0.02, 0.03, 44)), since_ts=9)
    floor.seat(agent("BTCUSDT-gp-3", role="challenger", gap=3.0), since_ts=11)
    failed = agent("BTCUSDT-gp-4", gap=3.0)
    failed.quarantined = "it raised"
    floor.seat(failed, since_ts=12)
    floor.minutes(0, 400)
    (row,) = floor.placebo_rows()
    assert (row.agent, row.slot, row.version) == (NAME, "BTCUSDT-placebo-1", "1")
    assert (row.kind, row.proven, row.since_ts, row.until_ts) == ("placebo", False, QUARTER, None)
    strategy = floor.placebos.lives["BTCUSDT"].strategy
    assert (strategy.gap, strategy.exits) == (7.0, Exits(0.02, 0.03, 44))
    fills = floor.ledger.fills(NAME)
    assert len(fills) > 10
    assert {fill.mode for fill in fills} == {"shadow"}
    assert {fill.intent_id for fill in fills} == {""}
    marks = floor.ledger.equity(NAME, mode="shadow")
    assert [ts for ts, _ in marks] == list(range(QUARTER, 400 * 60_000 + 1, QUARTER))
    assert marks[0][1] == floor.settings.arena.capital_per_agent


@pytest.mark.parametrize("role", ["production", "challenger"])
def test_where_the_pace_is_not_known_or_nobody_is_in_production_none_begins(floor, role):
    floor.seat(agent("BTCUSDT-gp-2", role="challenger", gap=7.0), since_ts=1)
    floor.seat(agent(role=role, gap=None if role == "production" else 7.0), since_ts=2)
    floor.minutes(0, 200)
    assert floor.placebo_rows() == []
    assert floor.placebos.marks(10**15) == []


def run_with_restarts(folder, name, market_seed, restarts):
    floor = Floor(folder, market_seed, rows=300, name=name)
    try:
        floor.seat(agent(gap=5.0))
        for number in range(300):
            if number in restarts:
                floor.restart()
                # History brings some minutes once more.
                floor.minutes(max(0, number - 4), number)
            floor.minute(number)
        return floor.ledger.fills(NAME), floor.ledger.equity(NAME)
    finally:
        floor.ledger.close()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 50), st.sets(st.integers(16, 299), max_size=4))
def test_a_restart_at_any_minute_changes_no_fill_and_no_mark(tmp_path_factory, seed, restarts):
    folder = tmp_path_factory.mktemp("restarts")
    whole = run_with_restarts(folder, "whole", seed, set())
    assert len(whole[0]) > 5
    assert run_with_restarts(folder, "restarted", seed, restarts) == whole


def verdict(floor, ts, judgement, name=NAME):
    floor.ledger.book_verdict(
        ts, name, name[-1], judgement, "", {"role": "placebo", "gain_evidence": 6.5}
    )


@pytest.mark.parametrize("judgement", ["promote", "cull"])
def test_a_verdict_ends_a_life_at_the_next_quarter_and_the_next_begins_with_other_entries(
    floor, judgement
):
    floor.seat(agent(gap=5.0))
    floor.minutes(0, 301)
    verdict(floor, 18 * QUARTER, "keep")
    verdict(floor, 19 * QUARTER, judgement)
    floor.minutes(301, 314)
    assert floor.placebos.lives["BTCUSDT"].agent.name == NAME
    floor.minutes(314, 600)
    first, second = floor.placebo_rows()
    assert (first.agent, first.until_ts) == (NAME, 21 * QUARTER)
    assert (second.agent, second.since_ts, second.until_ts) == (SECOND, 21 * QUARTER, None)
    held = sum(fill.signed_qty for fill in floor.ledger.fills(NAME))
    assert held == 0
    assert floor.ledger.fills(SECOND)
    lived = {life.agent: (life.verdict, life.evidence) for life in floor.ledger.placebo_lives()}
    assert lived == {NAME: (judgement, 6.5), SECOND: ("", 1.0)}
    assert floor.ledger.waiting_verdicts() == []
    floor.restart()
    floor.minutes(600, 610)
    assert floor.placebos.lives["BTCUSDT"].agent.name == SECOND


def test_what_one_raises_ends_its_life_alone_and_the_next_begins(tmp_path, monkeypatch, caplog):
    floor = Floor(tmp_path, symbols=("BTCUSDT", "ETHUSDT"))
    floor.seat(agent(gap=5.0))
    floor.seat(agent("ETHUSDT-gp-1", gap=5.0))
    floor.minutes(0, 200)
    decide = Agent.decide_and_execute

    def failing(self, row, candle, context):
        done = decide(self, row, candle, context)
        if self.name == NAME and row.ts >= 201 * 60_000:
            message = "torn"
            raise ArithmeticError(message)
        return done

    monkeypatch.setattr(Agent, "decide_and_execute", failing)
    floor.minutes(200, 400)
    rows = {row.agent: row for row in floor.placebo_rows()}
    assert rows.keys() == {NAME, SECOND, "ETHUSDT-placebo-1@1"}
    assert rows[NAME].until_ts == 201 * 60_000
    assert rows[SECOND].since_ts == 14 * QUARTER
    assert rows["ETHUSDT-placebo-1@1"].until_ts is None
    assert sum(fill.signed_qty for fill in floor.ledger.fills(NAME)) == 0
    assert "the placebo of BTCUSDT failed" in caplog.text
    floor.ledger.close()


def test_a_life_whose_state_is_gone_ends_at_the_restart_and_the_next_begins(floor):
    floor.seat(agent(gap=5.0))
    floor.minutes(0, 100)
    floor.ledger._db.execute("DELETE FROM meta WHERE key LIKE 'shadow:%'")
    floor.restart()
    floor.minutes(100, 200)
    assert [row.until_ts is None for row in floor.placebo_rows()] == [False, True]


def test_switched_off_none_begins_and_those_under_way_end(tmp_path):
    floor = Floor(tmp_path, on=False)
    floor.seat(agent(gap=5.0))
    floor.minutes(0, 100)
    assert floor.placebo_rows() == []
    on = {"watchtower": floor.settings.watchtower.model_copy(update={"placebos": True})}
    floor.restart(**on)
    floor.minutes(100, 200)
    assert [row.until_ts for row in floor.placebo_rows()] == [None]
    floor.restart()
    floor.minutes(200, 300)
    (row,) = floor.placebo_rows()
    assert row.until_ts == 201 * 60_000
    assert sum(fill.signed_qty for fill in floor.ledger.fills(NAME)) == 0
    floor.ledger.close()


class Link:
    """A way to Cerebellum that carries nothing."""

    bad_frames = 0

    def let_through(self, *_):
        pass


class Pipeline:
    """Features that are given."""

    symbols, warmup = ("BTCUSDT",), 1_440

    def update(self, ts, candles, books):
        return {"BTCUSDT": replace(self.row, ts=ts)}


class Roster:
    """A roster that says nothing."""

    refused: dict = {}  # noqa: RUF012
    reachable = True


@pytest.fixture
def arena(tmp_path):
    """A real arena on a way to Cerebellum that carries nothing, with a challenger and a production agent that hold."""
    files = ArenaFiles(*(tmp_path / name for name in ("l.sqlite", "log", "status", "lake")))
    made = Arena(
        Settings(home=tmp_path), Link(), Pipeline(), {"BTCUSDT": instrument()}, Roster(), files
    )
    made._gaps = GapFiller(Pipeline.symbols, lambda *_: [], 0)
    for one in (agent("BTCUSDT-gp-2", "challenger"), agent()):
        one.strategy.decide = lambda _: Signal.HOLD
        made._ledger.seat(agent_row(one.name, one.seat.role))
        made.agents[one.name] = one
    yield made
    made.close()


def take(arena, market, number, *, act=True):
    """Give the arena the candle of one minute."""
    arena._pipeline.row = market.frame.row(number)
    candle = replace(market.candles.candle(number), ts=number * 60_000)
    arena._take_minute(Minute((number + 1) * 60_000, {"BTCUSDT": candle}), act=act)


def test_the_arena_keeps_what_a_challenger_and_its_incumbents_copy_returned(arena):
    market = stage(1, 60)
    challenger = agent("BTCUSDT-gp-1", "challenger", version="2")
    challenger.strategy.decide = lambda _: Signal.BUY
    arena.agents[challenger.name] = challenger
    for number in range(60):
        take(arena, market, number)
    marks = arena._ledger.pair_marks(challenger.name, "BTCUSDT-gp-1@1", 10**15)
    assert [mark.ts // 60_000 for mark in marks] == [15, 30, 45, 60]
    assert any(mark.challenger_return for mark in marks)
    # The incumbent's signal is to hold.
    assert not any(mark.incumbent_return or mark.incumbent_holds for mark in marks)


def test_the_arena_attends_where_it_can_act_and_remembers_no_hole(arena):
    market, name = stage(1, 60), "BTCUSDT-gp-1@1"
    arena._pipeline.warmup = 20
    for number in range(10):
        take(arena, market, number, act=number >= 5)
    arena._gaps.hole_ts = 11 * 60_000
    for number in range(10, 40):
        take(arena, market, number)
    stretches = arena._ledger.attendance(0, 10**15)[name]
    assert [(s.first_ts // 60_000, s.last_ts // 60_000) for s in stretches] == [(6, 10), (31, 40)]


def test_the_arena_drops_a_message_of_a_far_time_and_goes_on_with_those_after_it(arena):
    def message(number):
        ts = number * 60_000
        values = {
            "open": "1",
            "high": "1",
            "low": "1",
            "close": "1",
            "volume": "1",
            "turnover": "1",
        }
        return CandleMessage(
            ts=ts + 60_000, symbol="BTCUSDT", open_ts=ts, close_ts=ts + 60_000, **values
        )

    minutes = arena._messages([message(1), message(10**6), message(2), message(3)])
    assert [minute.close_ts // 60_000 for minute in minutes] == [2, 3, 4]
    assert arena.market_ts == 4 * 60_000
    assert arena._clock.refused == 1


def test_the_arena_asks_a_placebo_after_everybody_else_and_shows_it_to_nobody(arena, monkeypatch):
    market = stage(1, 60)
    asked: list[str] = []
    decide = Agent.decide_and_execute
    monkeypatch.setattr(
        Agent,
        "decide_and_execute",
        lambda self, *given: (asked.append(self.seat.role), decide(self, *given))[1],
    )
    for number in range(60):
        asked.clear()
        take(arena, market, number)
        placebos = ["placebo"] if number >= 15 else []
        assert asked == ["production", "challenger", *placebos]
    assert set(arena.agents) == {"BTCUSDT-gp-1@1", "BTCUSDT-gp-2@1"}
    assert "placebo" not in arena._side._files.status.read_text()
    assert arena._ledger.equity(NAME, mode="shadow")
