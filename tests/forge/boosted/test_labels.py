from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.forge.backtest.engine import Market, backtest
from crucible.forge.boosted.labels import label, uniqueness
from crucible.settings import Costs
from crucible.strategies.contract import Exits
from crucible.strategies.exit_reasons import ExitReason
from tests.support.markets import make_market

COSTS = Costs()


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 1_000),
    st.sampled_from((0.0005, 0.002, 0.01)),
    st.sampled_from((0.0005, 0.002, 0.01)),
    st.integers(1, 40),
    st.booleans(),
)
def test_a_label_is_what_the_backtest_earns(seed, stop, target, timeout, charged):
    candles, frame = make_market(rows=120, seed=seed)
    rates = np.full(120, np.nan)
    rates[::8] = 0.001
    market = Market.of(candles, frame, rates if charged else None)
    market.regime[:] = False
    exits = Exits(stop, target, timeout)
    labels = label(market, exits, COSTS, slice(10, 110))
    for row in range(0, 100, 7):
        signals = np.zeros(120, np.int8)
        signals[10 + row] = 1
        trades = backtest(signals, market, exits, COSTS, slice(10, 110)).trades
        if len(trades) == 0 or trades.reason[0] == ExitReason.END.code:
            assert not labels.known[row]
        else:
            assert labels.net_return[row] == pytest.approx(trades.net_return[0], abs=1e-12)
            assert candles.ts[10 + labels.end[row]] == trades.exit_ts[0]


def test_a_label_never_looks_beyond_its_span():
    candles, frame = make_market(rows=300)
    market = Market.of(candles, frame)
    before = label(market, Exits(0.002, 0.002, 20), COSTS, slice(0, 200))
    candles.close[200:] *= 2
    candles.high[200:] *= 2
    after = label(market, Exits(0.002, 0.002, 20), COSTS, slice(0, 200))
    np.testing.assert_array_equal(before.net_return, after.net_return)


def test_a_label_that_shares_its_time_weighs_less():
    end = np.array([2, 2, 0, 4, 0, 0])
    # Row 0 lives at 1 and 2, row 1 at 2 only, row 3 alone at 4.
    np.testing.assert_allclose(uniqueness(end, np.array([0, 1, 3])), [0.75, 0.5, 1])


def test_a_label_that_was_not_drawn_takes_no_weight_from_others():
    end = np.array([2, 2, 0, 4, 0, 0])
    np.testing.assert_allclose(uniqueness(end, np.array([0, 3])), [1, 1])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1_000), st.integers(1, 60))
def test_drawn_labels_weigh_as_the_definition_says(seed, count):
    generator = np.random.default_rng(seed)
    end = np.minimum(np.arange(80) + generator.integers(1, 20, 80), 79)
    drawn = np.sort(generator.choice(79, count, replace=False))
    alive = [[row < t <= end[row] for t in range(80)] for row in drawn]
    together = np.sum(alive, axis=0)
    expected = [np.mean(1 / together[lives]) for lives in alive]
    np.testing.assert_allclose(uniqueness(end, drawn), expected)
