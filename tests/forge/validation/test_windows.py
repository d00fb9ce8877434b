"""Windows, purges, limits and wanted trades, for any length of history."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crucible.forge.backtest.engine import ForgeError
from crucible.forge.exits import (
    STOPS,
    TARGETS,
    TIMEOUTS,
    moved_exits,
    random_exits,
    timeouts_within,
    widest,
)
from crucible.forge.validation.windows import (
    LONGEST_TIMEOUT,
    cut,
    fewest_in_validation,
    fewest_trades,
    limits_for,
)
from crucible.settings import ForgeSettings
from crucible.strategies.contract import Exits
from crucible.strategies.gp import GpStrategy
from crucible.strategies.load import load_strategy
from crucible.vm.program import parse_program

ROWS = st.integers(2_000, 2_000_000)


@given(ROWS)
def test_windows_are_in_order_apart_by_the_purge_and_leave_nine_tenths_of_the_rows(rows):
    windows = cut(rows, ForgeSettings())
    train, validation, sealed = windows.spans().values()
    assert train.start == 0
    assert sealed.stop == rows
    assert validation.start - train.stop == sealed.start - validation.stop == windows.purge
    spans = windows.spans().values()
    assert all(span.stop - span.start >= windows.purge for span in spans)
    assert sum(span.stop - span.start for span in spans) >= 0.9 * rows


@given(ROWS)
def test_a_purge_covers_the_longest_lookback_and_the_longest_doubled_holding_time(rows):
    limits = limits_for(rows)
    assert cut(rows, ForgeSettings()).purge >= limits.lookback + 2 * limits.timeout
    assert 1 <= limits.lookback <= 1_500
    assert TIMEOUTS[0] <= limits.timeout <= LONGEST_TIMEOUT
    assert timeouts_within(limits.timeout)[-1] <= limits.timeout


@given(ROWS, st.integers(1, 10_000))
@example(3_640, 10)
@example(74_999, 1)
def test_more_rows_never_allow_less(rows, more):
    shorter, longer = limits_for(rows), limits_for(rows + more)
    assert longer.timeout >= shorter.timeout
    assert longer.lookback >= shorter.lookback
    assert fewest_trades(rows + more, 10) >= fewest_trades(rows, 10)
    assert fewest_in_validation(rows + more) >= fewest_in_validation(rows)


def test_fourteen_months_of_minutes_allow_ten_days_in_a_position():
    assert limits_for(14 * 30 * 1_440 + 7_200).timeout == 10 * 1_440
    assert limits_for(40_000).timeout < 1_440


@given(ROWS)
def test_enough_trades_are_a_number_for_statistics_and_not_so_many_a_day(rows):
    assert 10 <= fewest_trades(rows, 10) <= 30
    assert 1 <= fewest_in_validation(rows) <= 10
    # Two years in which somebody trades 0.3 times a day are enough, and a week of ten trades is.
    assert fewest_trades(630_000, 10) <= 0.3 * 438


def test_a_history_too_short_to_forge_on_is_refused_with_what_is_needed():
    with pytest.raises(
        ForgeError, match="1999 candles are too few to forge on; give at least 2000"
    ):
        cut(1_999, ForgeSettings(), "XUSDT")


@given(st.integers(1, 20_000))
def test_nobody_is_drawn_who_holds_for_longer_than_allowed(longest):
    for _ in range(20):
        exits = random_exits(longest)
        assert exits.timeout <= max(longest, 1)
    assert widest(60).stop < widest(4_320).stop


def test_long_holders_are_drawn_with_the_wide_stops_that_go_with_them():
    drawn = [random_exits(14_400) for _ in range(2_000)]
    long = [exits for exits in drawn if exits.timeout > 480]
    assert 0.25 < len(long) / len(drawn) < 0.42
    assert min(exits.stop for exits in long) > 0.01
    assert np.median([exits.target for exits in long]) >= 0.04


def test_every_exit_that_is_drawn_or_moved_can_be_loaded_again():
    generator = np.random.default_rng(1)
    for stop, target, timeout in product(STOPS, TARGETS, TIMEOUTS):
        moved = moved_exits(Exits(stop, target, timeout), generator)
        for exits in (Exits(stop, target, timeout), moved):
            program = parse_program(["trade", ["gt", "a", 0.0], ["lt", "a", 0.0]])
            strategy = GpStrategy("XUSDT-gp-1", "XUSDT", "0" * 16, program, exits)
            assert load_strategy(strategy.to_json()).exits == exits
