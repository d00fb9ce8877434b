"""Figures of a walk-forward and their errors."""

import numpy as np
import pytest

from crucible.market.candles import Candles
from crucible.settings import Costs
from crucible.walk_forward.figures import DAY_MS, Path, annual_sharpe, by_month, figures, held

QUARTERS = np.arange(0, 400 * DAY_MS, 15 * 60_000, dtype=np.int64)


def path(name, daily):
    """A path that earns each day's part at the day's end."""
    day = QUARTERS // DAY_MS
    sums = np.cumsum(daily)
    ends = np.append(np.diff(day) > 0, True)
    profit = np.where(ends, sums[day], np.concatenate([[0.0], sums])[day])
    return Path(name, QUARTERS, profit)


def test_days_add_up_to_the_profit():
    daily = np.random.default_rng(1).normal(0.001, 0.01, 400)
    one = path("one", daily)
    assert one.days == pytest.approx(daily)
    assert one.profit[-1] == pytest.approx(daily.sum())


def test_the_error_of_independent_days_is_that_of_the_textbook():
    daily = np.random.default_rng(2).normal(0.001, 0.01, 400)
    found = figures(path("one", daily), path("none", np.zeros(400)), seed=3)
    assert found["net_return_error"] == pytest.approx(daily.std() * 20, rel=0.2)
    # Of a Sharpe ratio of days: the root of one over the days (Lo 2002), here for a year.
    assert found["sharpe_annual_error"] == pytest.approx((365 / 400) ** 0.5, rel=0.25)
    assert found["factory_ahead"] == pytest.approx(-daily.sum())


def test_days_that_hang_together_have_a_larger_error_than_independent_ones():
    shocks = np.random.default_rng(4).normal(0, 0.01, 400)
    daily = np.convolve(shocks, np.ones(6))[:400]
    found = figures(path("one", daily), path("none", np.zeros(400)), seed=3)
    assert found["net_return_error"] > 1.5 * daily.std() * 20


def test_the_same_seed_gives_the_same_errors():
    daily = np.random.default_rng(5).normal(0, 0.01, 400)
    one, none = path("one", daily), path("none", np.zeros(400))
    assert figures(one, none, seed=1) == figures(one, none, seed=1)
    assert figures(one, none, seed=1) != figures(one, none, seed=2)


def test_few_days_and_days_that_do_not_vary_have_no_error():
    few = Path("few", QUARTERS[: 96 * 5], np.linspace(0, 0.1, 96 * 5))
    assert figures(few, few, seed=1)["net_return_error"] is None
    flat = path("flat", np.zeros(400))
    found = figures(flat, flat, seed=1)
    assert (found["sharpe_annual"], found["sharpe_annual_error"]) == (None, None)
    assert np.isnan(annual_sharpe(np.zeros(5)))


def test_who_holds_pays_for_both_sides():
    ts = np.arange(3, dtype=np.int64) * 60_000
    price = np.array([100.0, 110.0, 121.0])
    candles = Candles("BTCUSDT", ts, price, price, price, price, price)
    found = held(candles, candles.close_ts, Costs(fee=0.001, slippage=0.001))
    assert found == pytest.approx([0.0, 1.1 * 0.998 / 1.002 - 1, 1.21 * 0.998 / 1.002 - 1])


def test_drawdown_is_of_the_highest_equity_so_far():
    one = Path("one", QUARTERS[:4], np.array([0.0, 0.25, 0.0, 0.1]))
    assert one.drawdown == pytest.approx(0.2)


def test_months_add_up_to_the_profit():
    daily = np.random.default_rng(6).normal(0, 0.01, 400)
    months = by_month(path("one", daily))
    assert [name for name, _ in months][:2] == ["1970-01", "1970-02"]
    assert months[0][1] == pytest.approx(daily[:31].sum())
    assert sum(value for _, value in months) == pytest.approx(daily.sum())
