"""Each evidence gate refuses what it is there to refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crucible.forge.backtest.engine import Market
from crucible.forge.candidates import Variant
from crucible.forge.validation.cross_validation import cross_validate, groups_of
from crucible.forge.validation.gates import Evidence, Material, judge
from crucible.forge.validation.policy import read_policy
from crucible.forge.validation.windows import cut
from crucible.settings import Costs, ForgeSettings
from crucible.strategies.contract import Exits
from crucible.strategies.gp import GpStrategy
from crucible.vm.program import parse_program
from tests.support.markets import make_market

ROWS = 30_000
EXITS = Exits(0.05, 0.05, 30)


@pytest.fixture(scope="module")
def sound() -> Evidence:
    """Evidence of a strategy that knows a strong planted edge: it passes every gate."""
    candles, frame = make_market(rows=ROWS, seed=5, drift=0.001)
    market = Market.of(candles, frame)
    program = parse_program(["trade", ["gt", "edge", 2.2], ["lt", "edge", -2.2]])
    strategy = GpStrategy("XUSDT-gp-1", "XUSDT", frame.schema.hash, program, EXITS)
    signals = strategy.signals(frame)
    windows = cut(ROWS, ForgeSettings())
    generator = np.random.default_rng(0)
    days = 17
    field = generator.normal(0.02, 0.005, (12, days))
    known = slice(windows.train.start, windows.validation.stop)
    groups = groups_of(known, windows.purge)
    return Evidence(
        strategy=strategy,
        signals=signals,
        variants=[Variant(signals, EXITS)] * 4,
        frame=frame,
        material=Material(market, windows, Costs(), 10),
        trials=1_000,
        effective=1_000,
        by_day=False,
        field=field,
        unseen=generator.normal(0.02, 0.01, (12, 40)),
        cross=cross_validate([generator.normal(0.02, 0.01, (12, 5)) for _ in groups]),
        seed=1,
    )


def traded(evidence: Evidence, **changes) -> Evidence:
    return replace(evidence, material=replace(evidence.material, **changes))


def failed(evidence: Evidence) -> set[str]:
    gates = judge(evidence, read_policy("strict"))
    assert [gate.name for gate in gates] == list(read_policy("strict").gates)
    return {gate.name for gate in gates if not gate.passed}


def test_a_strategy_that_knows_the_edge_passes_every_gate(sound):
    assert failed(sound) == set()


def test_too_many_trials_are_refused(sound):
    short = replace(sound, signals=rarely(sound.signals, 12), effective=10**15)
    assert "deflated_sharpe" in failed(short)


def test_a_loss_in_validation_is_refused(sound):
    signals = sound.signals.copy()
    rows = sound.material.windows.validation
    generator = np.random.default_rng(2)
    signals[rows] = generator.integers(0, 3, rows.stop - rows.start)
    assert "validation_return" in failed(replace(sound, signals=signals))


def test_an_edge_that_twice_the_costs_eat_is_refused(sound):
    refused = failed(traded(sound, costs=Costs(fee=0.004, slippage=0.0008)))
    assert "double_costs" in refused
    assert "validation_return" not in refused


def test_an_edge_of_one_candle_is_refused(sound):
    candles, frame = make_market(rows=ROWS, seed=6)
    opens = candles.open
    jump = np.flatnonzero(opens[2:] / opens[1:-1] > 1.0012)
    signals = np.full(ROWS, 2, np.int8)
    signals[jump] = 1
    market = Market.of(candles, frame)
    cheap = Costs(fee=0.0001, slippage=0)
    quick = replace(traded(sound, market=market, costs=cheap), signals=signals)
    refused = failed(quick)
    assert "one_candle_later" in refused
    assert "validation_return" not in refused


def test_parameters_that_must_not_move_are_refused(sound):
    nothing = Variant(np.zeros(ROWS, np.int8), EXITS)
    moved = [nothing, nothing, sound.variants[0], sound.variants[0]]
    assert failed(replace(sound, variants=moved)) == {"jitter"}


def test_the_best_of_a_field_of_noise_is_refused(sound):
    noise = np.random.default_rng(3).normal(-0.001, 0.01, (40, 17))
    assert failed(replace(sound, field=noise)) == {"overfitting"}


def test_finalists_no_better_than_cash_are_refused(sound):
    noise = np.random.default_rng(4).normal(-0.001, 0.01, (12, 40))
    assert failed(replace(sound, unseen=noise)) == {"superior"}


def test_a_path_that_loses_is_refused(sound):
    generator = np.random.default_rng(5)
    cross = cross_validate([generator.normal(-0.001, 0.01, (12, 5)) for _ in range(6)])
    assert failed(replace(sound, cross=cross)) == {"cross_validation"}


def test_what_could_not_be_measured_is_refused(sound):
    short = replace(sound, unseen=sound.unseen[:, :5], cross=cross_validate([]))
    assert failed(short) == {"superior", "cross_validation"}


def test_a_strategy_that_hardly_trades_is_refused(sound):
    assert {"trades_train"} <= failed(replace(sound, signals=rarely(sound.signals, 5)))


def test_burning_the_capital_in_costs_is_refused(sound):
    signals = np.tile(np.array([1, 2], np.int8), ROWS // 2)
    assert "costs_per_day" in failed(replace(sound, signals=signals))


def rarely(signals: np.ndarray, buys: int) -> np.ndarray:
    """Only the first few signals to buy, and every one to exit."""
    late = np.flatnonzero(signals == 1)[buys:]
    kept = signals.copy()
    kept[late] = 0
    return kept
