"""The terms of a condition are what a program with that condition sees."""

from __future__ import annotations

import numpy as np

from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.forge.genetic.terms import NOW, RECENT, TERMS, term_of, terms_at
from crucible.settings import MINUTE_MS
from crucible.strategies.contract import Exits
from crucible.strategies.gp import GpStrategy
from crucible.vm.program import parse_program

ROWS = 400


def frame_of(values):
    ts = (1 + np.arange(ROWS)) * MINUTE_MS
    return FeatureFrame("XUSDT", ts, values, FeatureSchema(("a", "b"), {}))


def test_every_term_holds_where_the_program_that_compares_it_buys():
    values = np.random.default_rng(1).normal(size=(ROWS, 2)).astype(np.float32).astype(np.float64)
    values[50, 1] = np.nan
    rows = np.arange(ROWS)
    frame = frame_of(values)
    held = terms_at(values, rows, [0, 1])
    assert held.shape == (ROWS, 2 * len(TERMS))
    for column in range(held.shape[1]):
        place, term = term_of(column, 2)
        name = "ab"[place]
        compared = name if term == NOW else [term, name, RECENT]
        for word, holds in (("gt", held[:, column] > 0.25), ("lt", held[:, column] < 0.25)):
            program = parse_program(["trade", [word, compared, 0.25], ["lt", "a", -99.0]])
            strategy = GpStrategy(
                "XUSDT-gp-1", "XUSDT", frame.schema.hash, program, Exits(0.1, 0.1, 10)
            )
            bought = strategy.signals(frame) == 1
            warm = slice(strategy.warmup, None)
            np.testing.assert_array_equal(
                bought[warm], holds[warm], err_msg=f"{word} {term} {name}"
            )


def test_a_term_at_some_rows_is_that_of_all_rows_there():
    values = np.random.default_rng(2).normal(size=(ROWS, 5))
    rows = np.array([3, 7, 8, 200, 399])
    whole = terms_at(values, np.arange(ROWS), [4, 0, 2])
    np.testing.assert_array_equal(terms_at(values, rows, [4, 0, 2]), whole[rows])


def test_nothing_before_the_first_candle_is_made_up():
    held = terms_at(np.ones((ROWS, 1)), np.arange(ROWS), [0])
    assert np.isnan(held[: RECENT - 1, 1:]).all()
    assert np.isfinite(held[RECENT - 1 :]).all()
