"""Once a market day, surely, every production agent is compared with its backtest on candles of lake and venue."""

from dataclasses import replace

import numpy as np
import pytest

from crucible.errors import StrategyError
from crucible.files import write_json
from crucible.ledger.ledger import Ledger
from crucible.ledger.parity import ParityDay
from crucible.lifecycle.checks import parity
from crucible.lifecycle.checks.parity import DAY_MS, compare_days, hindrance
from crucible.lifecycle.judgement import judge_all
from crucible.market.candles import CandleError, write_candles
from crucible.market.exchange import ExchangeError
from crucible.market.lake import Lake
from crucible.market.simulator import simulate
from crucible.operations.workspace import Workspace
from crucible.registry.errors import RegistryError
from crucible.registry.models import Version
from crucible.settings import FeatureSettings, Settings
from crucible.strategies.contract import Exits
from crucible.strategies.gp import GpStrategy
from crucible.vm.program import parse_program
from crucible.watchtower.parity import standing
from tests.support.contexts import context_of
from tests.support.factories import agent_row
from tests.support.live_trading import LiveTrading, Troubles

SYMBOLS = ("BTCUSDT", "ETHUSDT")
FIRST, SECOND, THIRD = "BTCUSDT-gp-1@1", "BTCUSDT-gp-2@1", "ETHUSDT-gp-1@4"
FEATURES = FeatureSettings(influence_window_days=1)
PROGRAM = ("trade", ("gt", "return_z_5", 0.8), ("lt", "return_z_15", -0.8))
OTHER_PROGRAM = ("trade", ("lt", "return_z_5", -0.8), ("gt", "return_z_15", 0.8))


class Registry:
    """Strategy files, some of which cannot be had now."""

    def __init__(self):
        self.files = {}
        self.asked = []

    def version(self, slot, version):
        return Version(slot, version, "run", {})

    def aliases(self, slot):
        return {"production": "4" if slot.startswith("ETH") else "1"}

    def strategy(self, version):
        self.asked.append(version.slot)
        file = self.files[version.slot]
        if isinstance(file, Exception):
            raise file
        return file


class Exchange:
    """Candles beyond the lake's end."""

    def __init__(self, candles):
        self.candles, self.asked, self.fault = candles, [], None

    def pages(self, symbol, start_ms, end_ms):
        self.asked.append(symbol)
        if self.fault is not None:
            raise self.fault
        if start_ms < end_ms and len(page := self.candles[symbol].between(start_ms, end_ms)):
            yield page


@pytest.fixture(scope="module")
def market():
    """Seven days and more of candles that end half an hour after midnight."""
    candles = simulate(SYMBOLS, minutes=8 * 1_440, seed=5)
    end = int(candles["BTCUSDT"].close_ts[-1]) // DAY_MS * DAY_MS
    return {symbol: own.between(0, end + 1_800_000) for symbol, own in candles.items()}, end


@pytest.fixture
def context(tmp_path, market):
    candles, end = market
    lake = Lake(tmp_path / "lake")
    lake.candles_folder.mkdir(parents=True)
    for symbol, own in candles.items():
        # The venue knows the last hours only.
        write_candles(own.between(0, end - 7_200_000), lake.path(symbol))
    run = Workspace.at(tmp_path).run("1")
    run.path.mkdir(parents=True)
    made = context_of(
        tmp_path,
        Settings(home=tmp_path, features=FEATURES),
        run=run,
        registry=Registry(),
        exchange=Exchange(candles),
    )
    write_json(made.workspace.configuration_file, {"symbols": list(SYMBOLS), "origin_ms": 0})
    return made


@pytest.fixture(scope="module")
def frames(market, tmp_path_factory):
    """What the arena served on the last day: features of all candles since its history began."""
    folder = tmp_path_factory.mktemp("arena")
    made = context_of(folder, Settings(home=folder, features=FEATURES))
    write_json(made.workspace.configuration_file, {"symbols": list(SYMBOLS), "origin_ms": 0})
    return made.pipeline().batch(market[0])


def strategy_of(name, schema_hash, program=PROGRAM):
    slot = name.partition("@")[0]
    exits = Exits(0.004, 0.006, 20)
    symbol = slot.partition("-")[0]
    return GpStrategy(slot, symbol, schema_hash, parse_program(program), exits)


@pytest.fixture
def ledger(context):
    with Ledger(context.run.ledger) as opened:
        yield opened


@pytest.fixture
def traded(context, ledger, market, frames):
    """A day that some agents traded, the last one by another file than the registry's."""

    def trade(*names, other=""):
        candles, end = market
        for name in names:
            symbol = name.partition("-")[0]
            frame, own = frames[symbol], candles[symbol]
            rows = slice(int(np.searchsorted(frame.ts, end - DAY_MS)), None)
            day = replace(frame, ts=frame.ts[rows], values=frame.values[rows])
            document = strategy_of(name, frame.schema.hash).to_json()
            context.registry.files[name.partition("@")[0]] = document
            program = OTHER_PROGRAM if name == other else PROGRAM
            trading = LiveTrading(
                ledger, name, strategy_of(name, frame.schema.hash, program), Troubles(away=0.02)
            )
            trading.seat(end - DAY_MS - 1)
            trading.trade(own[rows], day)
        ledger.set_market_ts(end + 60_000)
        return end

    return trade


def test_production_agents_do_what_their_backtest_does_on_features_computed_anew(
    context, ledger, traded
):
    end = traded(FIRST, THIRD)
    days = compare_days(context, ledger)
    assert [(day.agent, day.ts) for day in days] == [(FIRST, end), (THIRD, end)]
    for day in days:
        assert day.disagreements == ()
        assert day.score == 1.0
        assert day.compared > 40
        assert day.fills > 20
        assert ledger.parity(day.agent, 0, end) == [day]


def test_a_day_is_compared_once_however_often_the_turn_is_repeated(context, ledger, traded):
    end = traded(FIRST)
    assert len(compare_days(context, ledger)) == 1
    context.registry.asked.clear()
    context.exchange.asked.clear()
    for later in (end + 900_000, end + DAY_MS - 1):
        ledger.set_market_ts(later)
        assert compare_days(context, ledger) == []
    # Nothing is even looked at.
    assert context.registry.asked == context.exchange.asked == []


def test_a_day_that_ended_while_no_watchtower_ran_is_compared_by_the_next_turns(
    context, ledger, traded
):
    end = traded(FIRST)
    ledger.set_market_ts(end + 3 * DAY_MS + 60_000)
    [day] = compare_days(context, ledger)
    assert (day.agent, day.ts, day.score) == (FIRST, end, 1.0)
    # It had also begun the day after it.
    assert [day.ts for day in compare_days(context, ledger)] == [end + DAY_MS]
    assert compare_days(context, ledger) == []


def test_a_turn_that_is_killed_in_between_is_done_to_its_end_by_the_next(
    context, ledger, traded, monkeypatch
):
    end = traded(FIRST, SECOND)
    book = Ledger.book_parity

    def killed(own, day):
        if day.agent == SECOND:
            raise KeyboardInterrupt
        return book(own, day)

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "book_parity", killed)
        with pytest.raises(KeyboardInterrupt):
            compare_days(context, ledger)
    assert [day.agent for day in compare_days(context, ledger)] == [SECOND]
    for name in (FIRST, SECOND):
        assert [day.score for day in ledger.parity(name, 0, end)] == [1.0]


@pytest.mark.parametrize("fault", [StrategyError("no file"), RegistryError("not now"), {}])
def test_what_fails_for_one_agent_keeps_no_other_from_being_compared_and_is_tried_again(
    context, ledger, traded, caplog, fault
):
    traded(FIRST, SECOND)
    sound = context.registry.files["BTCUSDT-gp-1"]
    context.registry.files["BTCUSDT-gp-1"] = fault
    assert [day.agent for day in compare_days(context, ledger)] == [SECOND]
    assert f"{FIRST} is compared with its backtest at the next turn" in caplog.text
    context.registry.files["BTCUSDT-gp-1"] = sound
    assert [day.agent for day in compare_days(context, ledger)] == [FIRST]


def test_one_whose_comparison_fails_keeps_no_other_from_being_compared(
    context, ledger, traded, monkeypatch
):
    traded(FIRST, SECOND)
    decisions = Ledger.decisions
    monkeypatch.setattr(
        Ledger, "decisions", lambda own, name: decisions(own, name) if name != FIRST else 1 / 0
    )
    assert [day.agent for day in compare_days(context, ledger)] == [SECOND]


@pytest.mark.parametrize("fault", [ExchangeError("away"), CandleError("a bad row")])
def test_while_the_venue_is_away_nothing_is_booked_and_the_next_turn_tries_again(
    context, ledger, traded, fault
):
    end = traded(FIRST)
    context.exchange.fault = fault
    assert compare_days(context, ledger) == []
    assert ledger.parity(FIRST, 0, end) == []
    context.exchange.fault = None
    assert [day.score for day in compare_days(context, ledger)] == [1.0]


def test_candles_that_come_late_are_waited_for_and_those_that_never_come_are_left_out(
    context, ledger, traded
):
    end = traded(FIRST)
    known = context.exchange.candles
    context.exchange.candles = {name: own.between(0, end - 600_000) for name, own in known.items()}
    assert compare_days(context, ledger) == []
    ledger.set_market_ts(end + parity.PATIENCE_MS)
    [day] = compare_days(context, ledger)
    assert day.score == 1.0
    assert day.compared > 40


def test_an_agent_that_trades_another_file_is_culled_at_the_next_judgement_and_no_other_is(
    context, ledger, traded
):
    end = traded(FIRST, SECOND, other=SECOND)
    compare_days(context, ledger)
    found = {one.row.agent: one for one in judge_all(context, ledger, end, {})}
    assert found[FIRST].verdict.judgement == "keep"
    assert found[FIRST].card.parity == 1.0
    assert found[SECOND].verdict.judgement == "cull"
    assert found[SECOND].verdict.reason.startswith("broken parity: ")
    assert found[SECOND].card.parity_departure in found[SECOND].verdict.reason
    # What was known a quarter of an hour before says nothing of that day.
    before = {one.row.agent: one for one in judge_all(context, ledger, end - 900_000, {})}
    assert {one.card.parity for one in before.values()} == {None}


def test_features_of_live_books_cannot_be_computed_anew_and_whoever_reads_them_is_not_judged(
    context, ledger, traded, frames
):
    schema = frames["BTCUSDT"].schema
    plain = strategy_of(FIRST, schema.hash)
    reads = strategy_of(FIRST, schema.hash, ("trade", ("gt", "mce_skew", 0.5), ("gt", 0, 1)))
    served = FEATURES.model_copy(update={"books": True})
    assert hindrance(plain, schema, served) == hindrance(reads, schema, FEATURES) == ""
    assert "mce_skew, which were served of live order books" in hindrance(reads, schema, served)
    assert "made with feature schema" in hindrance(strategy_of(FIRST, "x"), schema, FEATURES)
    end = traded(FIRST)
    context.registry.files["BTCUSDT-gp-1"] = strategy_of(FIRST, "0" * 16).to_json()
    [day] = compare_days(context, ledger)
    assert (day.score, day.compared) == (None, 0)
    assert "made with feature schema 0000" in day.reason
    assert ledger.parity(FIRST, 0, end) == [day]


def test_whoever_decided_nothing_and_whoever_only_shadows_is_not_compared(context, ledger, market):
    ledger.seat(agent_row(FIRST))
    ledger.seat(agent_row(SECOND, "challenger"))
    assert compare_days(context, ledger) == []
    ledger.set_market_ts(market[1])
    assert compare_days(context, ledger) == []
    assert context.registry.asked == []


def test_a_score_is_of_as_few_of_the_newest_days_as_hold_decisions_enough():
    def day(number, compared, equal, departure=""):
        kept = (departure,) if departure else ()
        return ParityDay("a", number * DAY_MS, compared, equal, disagreements=kept)

    assert standing([]).score is None
    found = standing([day(1, 50, 0, "old"), day(2, 12, 11, "two"), day(3, 9, 8, "three")])
    assert (found.decisions, found.departure) == (21, "three")
    assert found.score == pytest.approx(19 / 21)
    # Nobody is judged by what it did a month ago.
    assert standing([day(1, 50, 0, "old"), day(31, 4, 4)]).decisions == 4
    assert standing([day(2, 0, 0), day(3, 0, 0)]).score is None
