from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.forge.backtest import population
from crucible.forge.backtest.engine import Market, backtest
from crucible.forge.backtest.population import FeatureTable, evaluate_programs
from crucible.settings import Costs
from crucible.strategies.contract import Exits
from crucible.strategies.gp import GpStrategy
from crucible.testing.programs import programs
from crucible.vm.graph import Graph
from crucible.vm.program import parse_program
from tests.support.markets import NAMES, make_market

CANDLES, FRAME = make_market(rows=5_000, seed=3)
MARKET = Market.of(CANDLES, FRAME)
TABLE = FeatureTable(FRAME)
SPAN = slice(3_100, 4_700)
COSTS = Costs()
EXITS = st.builds(
    Exits, st.sampled_from((0.001, 0.01)), st.sampled_from((0.001, 0.02)), st.integers(1, 60)
)
MEMBERS = st.lists(st.tuples(programs(NAMES), EXITS), min_size=1, max_size=6)


def outcomes_of(members, **options):
    return evaluate_programs(
        [parse_program(program) for program, _ in members],
        [exits for _, exits in members],
        TABLE,
        MARKET,
        COSTS,
        SPAN,
        **options,
    )


def assert_same(some, others):
    for field in fields(some):
        np.testing.assert_array_equal(getattr(some, field.name), getattr(others, field.name))


@settings(max_examples=60, deadline=None)
@given(MEMBERS, st.integers(1, 3_000), st.integers(1, 4))
def test_outcomes_depend_on_neither_block_size_nor_threads(members, block, threads):
    expected = outcomes_of(members, threads=1)
    worth = population.WORTH_A_THREAD
    population.WORTH_A_THREAD = 1
    try:
        assert_same(outcomes_of(members, block=block, threads=threads), expected)
    finally:
        population.WORTH_A_THREAD = worth


def test_threads_trade_signals_that_another_computed(monkeypatch):
    dear = ("zscore", ("rank", NAMES[0], 240), 200)
    program = ("trade", ("gt", dear, 0.5), ("lt", dear, 0.0))
    members = [(program, Exits(0.001 + 0.0001 * i, 0.02, 20 + i)) for i in range(60)]
    expected = outcomes_of(members, threads=1)
    monkeypatch.setattr(population, "WORTH_A_THREAD", 1)
    for threads in (2, 3):
        assert_same(outcomes_of(members, threads=threads), expected)


@settings(max_examples=60, deadline=None)
@given(MEMBERS)
def test_an_outcome_does_not_depend_on_the_rest_of_the_population(members):
    together = outcomes_of(members)
    for index, member in enumerate(members):
        alone = outcomes_of([member])
        for field in fields(alone):
            np.testing.assert_array_equal(
                getattr(alone, field.name)[0], getattr(together, field.name)[index]
            )


@settings(max_examples=40, deadline=None)
@given(MEMBERS)
def test_a_population_earns_what_its_strategies_earn_alone(members):
    together = outcomes_of(members)
    for index, (program, exits) in enumerate(members):
        if "ema" in str(program):
            continue  # An ema remembers the start, below 32-bit precision.
        strategy = GpStrategy(
            "XUSDT-gp-1", "XUSDT", FRAME.schema.hash, parse_program(program), exits
        )
        alone = backtest(strategy.signals(FRAME), MARKET, exits, COSTS, SPAN)
        assert together.trades[index] == len(alone.trades)
        assert together.net_return[index] == alone.equity[-1] - 1
        np.testing.assert_array_equal(together.daily[index], alone.daily_returns)


def test_a_population_of_nobody_has_no_outcomes():
    assert len(outcomes_of([]).trades) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(programs(NAMES), min_size=1, max_size=12), st.integers(1, 5))
def test_parts_hold_every_program_once(several, parts):
    graph = Graph([parse_program(program) for program in several])
    split = graph.split(range(len(several)), parts)
    assert sorted(index for part in split for index in part) == list(range(len(several)))
    assert len(split) <= parts
