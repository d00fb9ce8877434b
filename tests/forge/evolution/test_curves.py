"""Overfitting by the length of the search is seen, and ends it where that is asked for."""

from __future__ import annotations

import math

import pytest

from crucible.forge.evolution.curves import TRAIN, VALIDATION, ending, overfits
from crucible.forge.evolution.islands import Islands
from tests.support.markets import SMALL, forge_run_of, make_market


def table(train, validation):
    return [
        {"generation": number, TRAIN: fit, VALIDATION: held}
        for number, (fit, held) in enumerate(zip(train, validation, strict=True))
    ]


def test_training_that_rises_while_validation_falls_is_overfitting():
    falling = table([1, 2, 3, 4, 5], [0.5, 1.0, 0.8, 0.4, 0.1])
    assert overfits(falling, 3)
    assert not overfits(falling[:4], 3)
    assert "after generation 4" in ending(falling, 3)


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        ([1, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.4, 0.5]),
        ([5, 5, 5, 5, 5], [0.5, 0.4, 0.3, 0.2, 0.1]),
        ([1, 2, 3, 4, 5], [None, None, None, 0.2, 0.1]),
    ],
)
def test_a_search_that_still_learns_or_fits_no_more_goes_on(train, validation):
    assert not overfits(table(train, validation), 3)
    assert ending(table(train, validation), 3) == ""


def test_without_patience_no_search_ends_early():
    assert not overfits(table([1, 2, 3], [3, 2, 1]), 0)


def test_every_generation_tells_its_finalists_in_training_and_in_validation():
    result = forge_run_of(market=make_market(rows=20_000, seed=5, drift=0.001)).run()
    rows = result.generations
    assert all(row[TRAIN] is not None and row[VALIDATION] is not None for row in rows)
    assert all(math.isfinite(row[TRAIN]) for row in rows)


def test_a_search_with_patience_ends_early_and_says_so():
    settings = SMALL.model_copy(update={"generations": 30, "patience": 2})
    result = forge_run_of(market=make_market(rows=20_000), settings=settings).run()
    assert result.generations[-1]["generation"] < 30
    assert result.ended.startswith("ended after generation")
    assert result.lineage()["ended_early"] == result.ended


def test_islands_end_early_together(monkeypatch):
    forge_run = forge_run_of(settings=SMALL.model_copy(update={"islands": 2, "generations": 9}))
    monkeypatch.setattr(forge_run, "ending", lambda table: "ended" if len(table) > 2 else "")
    assert Islands(forge_run).run().generations[-1]["generation"] == 2
