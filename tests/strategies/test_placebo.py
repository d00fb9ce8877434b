"""A placebo enters at random, at its pace, and anybody can repeat what it did."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.errors import StrategyError
from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.strategies.contract import Exits
from crucible.strategies.placebo import Placebo
from crucible.vm.signals import Signal

SCHEMA = FeatureSchema(("x",), {})
MINUTE = 60_000


def placebo(**changes) -> Placebo:
    usual = {"symbol": "BTCUSDT", "exits": Exits(0.01, 0.02, 60), "gap": 20.0, "seed": 7, "life": 1}
    return Placebo(**{**usual, **changes})


def frame(first: int, rows: int) -> FeatureFrame:
    ts = (first + np.arange(rows)) * MINUTE
    return FeatureFrame("BTCUSDT", ts, np.full((rows, 1), np.nan), SCHEMA)


@given(st.integers(0, 2**40), st.integers(1, 50), st.floats(1.0, 500.0))
def test_who_is_made_anew_decides_the_same_at_the_same_minutes(first, life, gap):
    rows = frame(first, 40)
    one = placebo(life=life, gap=gap)
    again = Placebo.from_json(one.to_json())
    assert again == one
    assert [again.decide(rows.row(place)) for place in range(20, 40)] == list(
        one.signals(rows)[20:]
    )


@pytest.mark.parametrize("change", [{"life": 2}, {"seed": 8}, {"symbol": "ETHUSDT"}])
def test_another_life_seed_or_symbol_enters_at_other_minutes(change):
    rows = frame(30_000_000, 2_000)
    ours, theirs = placebo().signals(rows), placebo(**change).signals(rows)
    both = np.count_nonzero((ours == Signal.BUY) & (theirs == Signal.BUY))
    assert both < 20  # 5 are expected by chance, 100 enter


@pytest.mark.parametrize("gap", [2.0, 20.0, 300.0])
def test_over_many_minutes_it_enters_once_in_a_gap(gap):
    rows = 30_000
    signals = placebo(gap=gap).signals(frame(29_000_000, rows))
    assert set(np.unique(signals)) <= {Signal.HOLD, Signal.BUY}
    expected = rows / gap
    error = math.sqrt(expected * (1 - 1 / gap))
    assert abs(np.count_nonzero(signals) - expected) < 4 * error


def test_what_trades_more_often_than_once_a_minute_enters_at_every_minute():
    assert set(placebo(gap=0.5).signals(frame(0, 500))) == {Signal.BUY}


@pytest.mark.parametrize("gap", [0.0, -1.0, math.nan, math.inf])
def test_no_gap_that_is_no_pace_makes_a_placebo(gap):
    with pytest.raises(StrategyError, match="must be a number above 0"):
        placebo(gap=gap)


@pytest.mark.parametrize("change", [{}, {"gap": "often"}, {"exits": None}, {"life": math.inf}])
def test_values_that_describe_none_are_refused_and_named(change):
    values = {**placebo().to_json(), **change} if change else {}
    with pytest.raises(StrategyError, match="describes no placebo"):
        Placebo.from_json(values)
