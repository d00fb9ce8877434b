from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.strategies.contract import Exits
from crucible.strategies.gp import GpStrategy
from crucible.testing.programs import expressions, programs
from crucible.vm.interpreter import Lines, Runner, feature_lines
from crucible.vm.linear import compile_programs
from crucible.vm.program import OPERATORS, lookback, parse_program
from crucible.vm.signals import Signal

NAMES = ("a", "b", "c")
SCHEMA = FeatureSchema(NAMES, {})
EXITS = Exits(0.01, 0.02, 60)
NAN = float("nan")


def frame_of(*columns):
    values = np.column_stack([np.asarray(c, dtype=np.float64) for c in columns])
    names = NAMES[: values.shape[1]]
    ts = np.arange(1, len(values) + 1, dtype=np.int64) * 60_000
    return FeatureFrame("XUSDT", ts, values, FeatureSchema(names, {}))


def random_frame(seed, rows=300):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(rows, 3)).round(1)
    values[generator.random(values.shape) < 0.01] = np.nan
    return frame_of(*values.T)


def strategy_of(program, frame):
    return GpStrategy("XUSDT-gp-1", "XUSDT", frame.schema.hash, parse_program(program), EXITS)


def truth(condition, *columns):
    """Rows at which a condition is true, after its warm-up, by trading on it."""
    program = ["trade", condition, ["gt", 0, 1]]
    return strategy_of(program, frame_of(*columns)).signals(frame_of(*columns)) == 1


@settings(max_examples=60, deadline=None)
@given(programs(NAMES), st.integers(0, 2**32))
def test_one_row_at_a_time_gives_the_signals_of_history(program, seed):
    frame = random_frame(seed)
    strategy = strategy_of(program, frame)
    live = [strategy.decide(frame.row(i)) for i in range(len(frame))]
    assert strategy.signals(frame).tolist() == live
    strategy.reset()
    assert [strategy.decide(frame.row(i)) for i in range(50)] == live[:50]


@settings(max_examples=60, deadline=None)
@given(st.lists(programs(NAMES), min_size=1, max_size=6), st.integers(0, 2**32), st.data())
def test_signals_depend_on_neither_block_size_nor_the_other_programs(several, seed, data):
    frame = random_frame(seed)
    parsed = [parse_program(program) for program in several]
    linear = compile_programs(parsed)
    matrix = feature_lines(frame, linear.features).values
    runner = Runner(linear, block=data.draw(st.integers(1, 400)))
    cut = data.draw(st.integers(0, len(frame)))
    parts = [runner.run(Lines.of(part)) for part in np.split(matrix, [cut], axis=1)]
    together = np.concatenate(parts, axis=1)
    for program, signals in zip(several, together, strict=True):
        assert strategy_of(program, frame).signals(frame).tolist() == signals.tolist()


@settings(max_examples=60, deadline=None)
@given(programs(NAMES), st.integers(0, 2**32), st.integers(1, 299))
def test_a_future_row_never_changes_an_earlier_signal(program, seed, cut):
    frame = random_frame(seed)
    changed = frame.values.copy()
    changed[cut:] = random_frame(seed + 1).values[cut:] * 1e3
    other = FeatureFrame(frame.symbol, frame.ts, changed, frame.schema)
    strategy = strategy_of(program, frame)
    assert strategy.signals(frame)[:cut].tolist() == strategy.signals(other)[:cut].tolist()


@settings(max_examples=40, deadline=None)
@given(expressions(OPERATORS["gt"].returns, NAMES, 2), st.integers(0, 2**32), st.integers(1, 100))
def test_a_cold_start_equals_the_long_run_once_warm(condition, seed, start):
    if "ema" in str(condition):
        return  # An ema remembers the start below 32-bit precision for longer than any warm-up.
    frame = random_frame(seed, rows=700)
    strategy = strategy_of(["trade", condition, ["not", condition]], frame)
    late = FeatureFrame(frame.symbol, frame.ts[start:], frame.values[start:], frame.schema)
    warm = strategy.warmup
    assert (
        strategy.signals(late)[warm:].tolist() == strategy.signals(frame)[start + warm :].tolist()
    )


@pytest.mark.parametrize(
    "name", ["lag", "diff", "mean", "std", "lowest", "highest", "zscore", "rank"]
)
def test_rolling_operators_agree_with_their_definitions(name):
    x = np.random.default_rng(1).normal(size=60).astype(np.float32).astype(np.float64).round(1)
    w = 7
    window = np.lib.stride_tricks.sliding_window_view(x.astype(np.float32).astype(np.float64), w)
    newest = window[:, -1:]
    below = (window[:, :-1] < newest).sum(1) + 0.5 * (window[:, :-1] == newest).sum(1)
    spread = window.std(1)
    expected = {
        "lag": x[:-w],
        "diff": x[w:] - x[:-w],
        "mean": window.mean(1),
        "std": spread,
        "lowest": window.min(1),
        "highest": window.max(1),
        "zscore": (window[:, -1] - window.mean(1)) / spread,
        "rank": below / (w - 1),
    }[name]
    rows = 60 - len(expected)
    above = truth(["gt", [name, "a", w], "b"], x, np.r_[np.full(rows, -99.0), expected - 1e-5])
    below = truth(["lt", [name, "a", w], "b"], x, np.r_[np.full(rows, 99.0), expected + 1e-5])
    assert above[rows:].all()
    assert below[rows:].all()
    assert not above[:rows].any()


def test_an_ema_follows_its_recursion_and_waits_for_its_window():
    x = np.random.default_rng(2).normal(size=200)
    value, expected = x[0], []
    for v in x.astype(np.float32).astype(np.float64):
        value = v if not expected else value + 2 / 4 * (v - value)
        expected.append(value)
    above = truth(["gt", ["ema", "a", 3], "b"], x, np.array(expected) - 1e-5)
    warm = lookback(("gt", ("ema", "a", 3), "b")) - 1
    assert above[warm:].all()
    assert not above[:warm].any()


def values_of(expression, *columns, block=64):
    linear = compile_programs([expression])
    matrix = np.array([columns[NAMES.index(name)] for name in linear.features])
    lines = Lines.of(matrix.reshape(len(linear.features), len(columns[0])))
    return Runner(linear, block).run_values(lines)[0]


DEFINITIONS = {
    "mean": lambda window: window.mean(),
    "std": lambda window: window.std(),
    "lowest": lambda window: window.min(),
    "highest": lambda window: window.max(),
    "rank": lambda window: (
        ((window[:-1] < window[-1]).sum() + 0.5 * (window[:-1] == window[-1]).sum())
        / (len(window) - 1)
    ),
    "zscore": lambda window: (
        (window[-1] - window.mean()) / window.std() if window.min() < window.max() else np.nan
    ),
}


def slow_window(name, window):
    """A rolling operator over one window of exact doubles, from its definition."""
    return np.nan if np.isnan(window).any() else DEFINITIONS[name](window)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(tuple(DEFINITIONS)),
    st.integers(2, 240),
    st.integers(0, 2**32),
    st.integers(1, 500),
)
def test_every_window_of_every_length_has_the_value_of_its_definition(name, w, seed, block):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=600).round(generator.integers(0, 6)) * 10.0 ** generator.integers(
        -3, 6
    )
    x = (x + generator.choice([0, 1e5])).astype(np.float32).astype(np.float64)
    x[generator.random(600) < generator.choice([0, 0.002])] = np.nan
    found = values_of((name, "a", w), x, block=block)
    assert np.isnan(found[: w - 1]).all()
    expected = [slow_window(name, x[row - w + 1 : row + 1]) for row in range(w - 1, 600)]
    np.testing.assert_allclose(found[w - 1 :], expected, rtol=2e-6, atol=1e-30)


@pytest.mark.parametrize("name", ["min", "max", "add", "mul"])
def test_a_missing_value_stays_missing_in_either_order(name):
    x, y = np.array([NAN, 1.0, NAN, 2.0]), np.array([1.0, NAN, NAN, 3.0])
    for first, second in (("a", "b"), ("b", "a")):
        found = values_of((name, first, second), x, y)
        assert np.isnan(found[:3]).all()
        assert not np.isnan(found[3])


@settings(max_examples=100, deadline=None)
@given(expressions(OPERATORS["add"].returns, NAMES, 3), st.integers(0, 2**32), st.integers(1, 400))
def test_numbers_are_the_same_bits_for_any_block(expression, seed, block):
    expression = parse_program(["trade", ["gt", expression, 0], ["gt", 0, 1]])[1][1]
    columns = random_frame(seed).values.T
    np.testing.assert_array_equal(
        values_of(expression, *columns, block=block), values_of(expression, *columns, block=1024)
    )


def test_constants_beside_operators_change_nothing():
    x = np.random.default_rng(3).normal(size=100)
    half = np.full(100, 0.5)
    for name in ("add", "sub", "mul", "div", "min", "max"):
        for first, second in (("a", 0.5), (0.5, "a"), (0.5, 0.5)):
            laid_out = ["b" if part == 0.5 else part for part in (first, second)]
            np.testing.assert_array_equal(
                values_of((name, first, second), x, half), values_of((name, *laid_out), x, half)
            )
    for name in ("gt", "lt", "cross_above", "cross_below"):
        for first, second in (("a", 0.5), (0.5, "a")):
            laid_out = ["b" if part == 0.5 else part for part in (first, second)]
            assert (
                truth([name, first, second], x, half) == truth([name, *laid_out], x, half)
            ).all()


def test_crossing_needs_the_row_before():
    above = truth(["cross_above", "a", 0], [1, 1, -1, 0, 0.1, 0.2])
    assert above.tolist() == [False, False, False, False, True, False]
    below = truth(["cross_below", "a", 0], [-1, 1, 0, -1, -2, 1])
    assert below.tolist() == [False, False, False, True, False, False]


def test_an_unknown_value_never_buys_whatever_stands_around_it():
    column = [NAN, 1.0]
    for condition in (
        ["gt", "a", 0],
        ["lt", "a", 0],
        ["not", ["gt", "a", 0]],
        ["not", ["lt", "a", 5]],
        ["gt", ["if", ["gt", "a", 0], 1, 1], 0],
        ["gt", ["max", "a", 9], 0],
        ["lt", ["min", 9, "a"], 10],
    ):
        assert not truth(condition, column)[0], condition


def test_what_is_known_decides_where_it_can():
    assert truth(["or", ["gt", "a", 0], ["gt", "b", 0]], [NAN], [1.0])[0]
    assert truth(["not", ["and", ["gt", "a", 0], ["gt", "b", 0]]], [NAN], [-1.0])[0]


def test_infinite_features_are_missing():
    assert not truth(["gt", "a", 0], [np.inf])[0]
    assert not truth(["gt", "a", 0], [1e300])[0]


def test_exit_wins_where_both_are_true():
    frame = frame_of([1.0])
    signals = strategy_of(["trade", ["gt", "a", 0], ["gt", "a", 0]], frame).signals(frame)
    assert signals.tolist() == [Signal.EXIT]


def test_a_constant_window_has_no_z_score():
    assert not truth(["not", ["gt", ["zscore", "a", 5], 0]], [0.1] * 20).any()


def test_shared_subtrees_are_computed_once():
    shared = ("gt", ("mean", "a", 240), 0.0)
    one = compile_programs([("trade", shared, ("not", shared))])
    two = compile_programs([("trade", shared, ("not", shared)), ("trade", ("not", shared), shared)])
    assert len(two.code) == len(one.code) + 1
    assert (two.tails, two.cells) == (one.tails, one.cells)
