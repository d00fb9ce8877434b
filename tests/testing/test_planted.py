from __future__ import annotations

import numpy as np
import pytest

from crucible.forge.backtest.engine import DAY_MS, Market, backtest
from crucible.market.candles import check
from crucible.settings import Costs
from crucible.testing.planted import OTHER, RULES, SLOW_RULES, TRADED, permuted, planted

MINUTES = 60 * 1_440


@pytest.mark.parametrize("rule", RULES)
def test_whoever_knows_the_rule_earns_before_costs_and_nobody_without_it(rule):
    earned = {}
    planted_edge, minutes = (0.06, 6 * MINUTES) if rule in SLOW_RULES else (0.006, MINUTES)
    for edge in (0.0, planted_edge):
        market = planted(rule, minutes, 3, edge)
        candles = check(market.candles[TRADED], rule)
        rows = len(candles)
        table = Market(candles, np.zeros(rows, bool), np.ones(rows), candles.ts // DAY_MS)
        test = backtest(market.oracle, table, market.exits, Costs(fee=0, slippage=0))
        assert len(test.trades) > 20
        earned[edge] = float(test.trades.net_return.mean())
    assert earned[planted_edge] > planted_edge / 2
    assert abs(earned[0.0]) < planted_edge / 3


def test_the_same_seed_gives_the_same_market_and_another_another():
    first, again, other = (planted("leader", MINUTES, seed, 0.004) for seed in (4, 4, 5))
    assert first.request.tolist() == again.request.tolist()
    assert first.candles[TRADED].data_hash() == again.candles[TRADED].data_hash()
    assert first.candles[TRADED].data_hash() != other.candles[TRADED].data_hash()


def test_shuffled_minutes_keep_their_shapes_and_company_and_go_nowhere():
    market = planted("reversion", MINUTES, 6, 0.004).candles
    null = permuted(market, 1)
    for symbol in (TRADED, OTHER):
        check(null[symbol], symbol)
        before, after = (np.log(c[symbol].close / c[symbol].open) for c in (market, null))
        np.testing.assert_allclose(np.sort(before - before.mean()), np.sort(after), atol=1e-9)
        assert null[symbol].close[-1] / null[symbol].open[0] == pytest.approx(1)
    moves = [np.log(null[s].close / null[s].open) for s in (TRADED, OTHER)]
    assert np.corrcoef(*moves)[0, 1] > 0.3
    assert abs(np.corrcoef(moves[0][1:], moves[0][:-1])[0, 1]) < 0.02


def test_an_unknown_rule_is_named():
    with pytest.raises(ValueError, match="'magic' is not one of reversion"):
        planted("magic", MINUTES, 1, 0.001)
