"""The figures of a report are what their definitions say, and what quantstats says of the same days."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from quantstats import stats

from crucible.forge.backtest.statistics import drawdown_curve
from crucible.ledger.trades import pair
from crucible.market.candles import Candles
from crucible.reports.daily import (
    FEWEST_DAYS,
    WINDOW_DAYS,
    days_of,
    max_drawdown,
    months_of,
    rolling_sharpe,
    sharpe,
    sortino,
    volatility,
    winning_days,
    worst_drawdowns,
)
from crucible.reports.equity import Prices, equity_at, hold_at
from crucible.reports.figures import figures_of, reasons_of
from crucible.reports.of_run import costs_of
from crucible.reports.subject import DAY_MS, QUARTER_MS, ClosedTrade, Costs, Subject, instants
from crucible.settings import MINUTE_MS
from crucible.walk_forward.figures import Path, annual_sharpe
from crucible.whereabouts import SOURCE
from tests.support.factories import fill

START = 20_089 * DAY_MS  # 2025-01-01
REFERENCE = SOURCE / "docs" / "reference"


def marks(days: int, seed: int = 5) -> list[tuple[int, Decimal]]:
    moves = np.random.default_rng(seed).normal(0.001, 0.02, days)
    equity = 50_000 * np.concatenate([[1.0], np.cumprod(1.0 + moves)])
    return [(START + n * DAY_MS, Decimal(repr(float(value)))) for n, value in enumerate(equity)]


def series(days) -> pd.Series:
    """Each return at the day that it was earned on."""
    index = pd.to_datetime(days.ts[:-1], unit="ms")
    return pd.Series(days.returns, index=index)


def subject(curve, **changes) -> Subject:
    usual = {
        "title": "Run 0001",
        "facts": [],
        "capital": curve[0][1],
        "first_ts": curve[0][0],
        "last_ts": curve[-1][0],
        "marks": curve,
        "hold": None,
        "hold_name": "BTCUSDT",
        "trades": [],
        "costs": Costs(Decimal(0), Decimal(0)),
    }
    return Subject(**{**usual, **changes})


def trade(profit: str, net_return: float, reason: str = "exit", held_min: int = 5) -> ClosedTrade:
    numbers = (Decimal(1), Decimal(100), Decimal(101), Decimal("0.1"), Decimal(0), Decimal(profit))
    return ClosedTrade("a@1", "BTCUSDT", 0, held_min * MINUTE_MS, *numbers, net_return, reason)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ratios_are_those_of_quantstats(seed: int):
    days = days_of(marks(200, seed))
    own, theirs = days.returns, series(days)
    year = {"periods": 365}
    assert sharpe(own) == pytest.approx(stats.sharpe(theirs, **year), rel=1e-12)
    assert sortino(own) == pytest.approx(stats.sortino(theirs, **year), rel=1e-12)
    assert volatility(own) == pytest.approx(stats.volatility(theirs, **year), rel=1e-12)
    assert winning_days(own) == pytest.approx(stats.win_rate(theirs), rel=1e-12)
    assert max_drawdown(days.equity) == pytest.approx(stats.max_drawdown(theirs), rel=1e-12)
    assert own.max() == pytest.approx(stats.best(theirs))
    assert own.min() == pytest.approx(stats.worst(theirs))


def test_the_rolling_sharpe_ratio_is_that_of_quantstats():
    days = days_of(marks(120))
    theirs = stats.rolling_sharpe(
        series(days), rolling_period=WINDOW_DAYS, periods_per_year=365
    ).dropna()
    own = rolling_sharpe(days)
    assert len(own) == len(theirs) == 120 - WINDOW_DAYS + 1
    assert [value for _, value in own] == pytest.approx(theirs.tolist(), rel=1e-12)
    # Ours stands at the midnight that ends the last day, theirs at that day.
    assert [ts - DAY_MS for ts, _ in own] == [int(at.timestamp() * 1000) for at in theirs.index]


def test_the_worst_drawdowns_are_those_of_quantstats():
    days = days_of(marks(250, 8))
    theirs = stats.drawdown_details(stats.to_drawdown_series(series(days)))
    theirs = theirs.sort_values("max drawdown").head(10)
    own = worst_drawdowns(days)
    assert [each.depth * 100 for each in own] == pytest.approx(theirs["max drawdown"].tolist())
    # The peak is the midnight at which the first day below it begins.
    peaks = [pd.Timestamp(each.peak_ts, unit="ms").strftime("%Y-%m-%d") for each in own]
    assert peaks == [str(start)[:10] for start in theirs["start"]]
    valleys = [
        pd.Timestamp(each.valley_ts - DAY_MS, unit="ms").strftime("%Y-%m-%d") for each in own
    ]
    assert valleys == [str(valley)[:10] for valley in theirs["valley"]]


def test_months_are_those_of_quantstats_where_they_are_whole():
    curve = marks(150)
    theirs = stats.monthly_returns(series(days_of(curve)), eoy=False).iloc[0].tolist()
    own = months_of(curve)
    assert [month.net_return for month in own] == pytest.approx(theirs[: len(own)])
    assert [month.name for month in own] == [f"2025-{n:02d}" for n in range(1, 6)]
    assert [month.is_whole for month in own] == [True] * 4 + [False]


def test_parts_of_days_are_in_the_curve_and_in_no_ratio():
    curve = marks(30)
    before, after = (START - QUARTER_MS, Decimal(1_000)), (curve[-1][0] + QUARTER_MS, Decimal(9))
    days = days_of([before, *curve, after])
    assert len(days) == 30
    assert days.returns.tolist() == days_of(curve).returns.tolist()
    found = {
        each.name: each.value for each in figures_of(subject([before, *curve, after])).headline
    }
    assert found["profit"] == Decimal(9) - Decimal(1_000)
    assert found["max_drawdown_within"] < found["max_drawdown"]


def test_a_midnight_that_is_missing_makes_no_day_of_two():
    curve = marks(30)
    del curve[10]
    assert len(days_of(curve)) == 19


@pytest.mark.parametrize("count", [0, 1, FEWEST_DAYS - 1, FEWEST_DAYS])
def test_too_few_days_give_no_ratio_and_say_so(count: int):
    figures = {each.name: each for each in figures_of(subject(marks(count))).headline}
    for name in ("sharpe", "sortino", "volatility", "winning_days"):
        figure = figures[name]
        if count < FEWEST_DAYS:
            assert figure.value is None
            assert figure.why == f"needs 20 whole days; there are {count}"
        else:
            assert figure.value is not None
            assert figure.why == ""
    assert (figures["max_drawdown"].value is None) == (count == 0)
    assert figures["win_rate"].why == "no trade was closed"


def test_days_that_do_not_vary_have_no_ratio():
    flat = [(START + n * DAY_MS, Decimal(100)) for n in range(40)]
    found = figures_of(subject(flat))
    assert {each.name: each.why for each in found.headline}[
        "sharpe"
    ] == "the days do not vary enough"
    assert found.rolling == []
    assert found.drawdowns == []


def test_equity_is_exact_and_values_what_is_open_at_the_newest_price():
    fills = [
        fill(1, "buy", "0.5", "100", "0.05", exec_ts=1_000),
        fill(2, "sell", "0.2", "110", "0.01", exec_ts=3 * MINUTE_MS + 1),
    ]
    candles = Candles(
        "BTCUSDT",
        np.array([0, MINUTE_MS]),
        *(np.array([99.0, 104.5]) for _ in range(4)),
        np.ones(2),
    )
    prices = {"BTCUSDT": Prices.of(candles, fills)}
    at = [0, 1_000, MINUTE_MS, 2 * MINUTE_MS, 4 * MINUTE_MS]
    paid = [(2 * MINUTE_MS, Decimal("0.125"))]
    found = dict(equity_at(at, Decimal(1_000), fills, paid, prices))
    bought = Decimal(1_000) - Decimal(50) - Decimal("0.05")
    assert found[0] == Decimal(1_000)
    assert found[1_000] == bought + Decimal(50)
    assert found[MINUTE_MS] == bought + Decimal("49.5")
    assert found[2 * MINUTE_MS] == bought - Decimal("0.125") + Decimal("52.25")
    sold = Decimal("22.00") - Decimal("0.01")
    assert found[4 * MINUTE_MS] == bought - Decimal("0.125") + sold + Decimal("33.0")
    # Flat, equity is the capital and the profit of the trades, to the last digit.
    flat = [*fills, fill(3, "sell", "0.3", "90", "0.0001", exec_ts=5 * MINUTE_MS)]
    (closed,) = pair(flat)[0]
    prices = {"BTCUSDT": Prices.of(candles, flat)}
    ((_, end),) = equity_at([6 * MINUTE_MS], Decimal(1_000), flat, [], prices)
    assert end == Decimal(1_000) + closed.pnl


def test_buy_and_hold_needs_prices_from_the_first_instant_on():
    candles = Candles(
        "BTCUSDT",
        np.arange(3) * MINUTE_MS,
        *(np.array([10.0, 11.0, 12.0]) for _ in range(4)),
        np.ones(3),
    )
    at = [MINUTE_MS, 3 * MINUTE_MS]
    assert hold_at(at, Decimal(100), {"BTCUSDT": candles}, {"BTCUSDT": 2}) == pytest.approx(
        [100.0, 120.0]
    )
    late = [-1, 3 * MINUTE_MS]
    assert hold_at(late, Decimal(100), {"BTCUSDT": candles}, {"BTCUSDT": 2}) is None
    assert hold_at(at, Decimal(100), {}, {"BTCUSDT": 2}) is None


def test_slippage_is_counted_against_the_close_that_was_decided_on():
    fills = [
        fill(1, "buy", "2", "101", "0.1", intent_id="entry"),
        fill(2, "sell", "2", "99", "0.1", intent_id="exit"),
        fill(3, "buy", "1", "100", "-0.05", intent_id="stop"),
    ]
    costs = costs_of(fills, Decimal(3), {"entry": Decimal(100), "exit": Decimal(100)})
    assert costs == Costs(Decimal("0.15"), Decimal(3), Decimal(4), 3, 2)
    assert costs_of(fills, Decimal(0), {}).slippage is None


def test_trades_are_counted_by_what_they_earned_and_why_they_ended():
    trades = [trade("2", 0.02), trade("-1", -0.01, "stop", 60), trade("0", 0.0, "stop", 10)]
    found = {
        each.name: each.value for each in figures_of(subject(marks(2), trades=trades)).headline
    }
    assert found["win_rate"] == pytest.approx(1 / 3)
    assert found["profit_factor"] == pytest.approx(2.0)
    assert found["mean_trade"] == pytest.approx(0.01 / 3)
    assert found["median_trade"] == 0.0
    assert found["median_held"] == 10 * MINUTE_MS
    assert found["longest_held"] == 60 * MINUTE_MS
    rows = reasons_of(trades)
    assert [(row.reason, row.trades, row.profit) for row in rows] == [
        ("stop", 2, Decimal(-1)),
        ("exit", 1, Decimal(2)),
    ]
    assert math.isclose(sum(row.share for row in rows), 1.0)


def test_every_quarter_of_an_hour_is_an_instant_however_long_the_span():
    for days in (3, 700, 3_000):
        last = START + 77 + days * DAY_MS
        found = instants(START + 77, last)
        assert found[0] == START + 77
        assert found[1:-1] == list(range(START + QUARTER_MS, last, QUARTER_MS))
        assert found[-1] == last
        midnights = [ts for ts in found if ts % DAY_MS == 0]
        assert midnights == list(range(START + DAY_MS, last, DAY_MS))


def test_a_drawdown_curve_falls_from_the_highest_so_far():
    assert drawdown_curve(np.array([1.0, 2.0, 1.0, 3.0])).tolist() == [0.0, 0.0, -0.5, 0.0]


def test_the_two_sharpe_ratios_of_a_walk_are_what_the_references_say():
    ts = START + np.arange(60 * 96 + 1) * QUARTER_MS
    profit = np.cumsum(np.random.default_rng(4).normal(0.0001, 0.004, len(ts)))
    profit -= profit[0]
    capital = Decimal(10_000)
    curve = [
        (int(at), capital + capital * Decimal(repr(float(each))))
        for at, each in zip(ts, profit, strict=True)
    ]
    equity = np.array([float(value) for _, value in curve])[::96]
    r = equity[1:] / equity[:-1] - 1
    of_report = {each.name: each.value for each in figures_of(subject(curve)).headline}["sharpe"]
    assert of_report == pytest.approx(r.mean() / r.std(ddof=1) * 365**0.5)

    last_of_day = [*profit[95::96], profit[-1]]  # the last midnight begins a day of its own
    d = np.diff(last_of_day, prepend=0.0)
    of_summary = annual_sharpe(Path("factory", ts, profit).days)
    assert of_summary == pytest.approx(d.mean() / d.std(ddof=1) * 365**0.5)
    assert of_summary != pytest.approx(of_report, rel=1e-3)

    for page, formula in (
        ("report.md", "| here, `sharpe` | `r = E(end) / E(begin) - 1`"),
        ("report.md", "`mean(d) / std(d) * sqrt(365)`"),
        ("walk-forward.md", "`mean(r) / std(r) * sqrt(365)`"),
        ("walk-forward.md", "`sharpe_annual` is `mean(d) / std(d) * sqrt(365)`"),
    ):
        assert formula in (REFERENCE / page).read_text()


def test_the_reference_defines_every_figure():
    text = (REFERENCE / "report.md").read_text()
    found = figures_of(subject(marks(30), hold=[1.0] * 31, hold_name="the symbols traded"))
    for each in found.headline:
        assert f"| `{each.name}` | {each.label} | {each.definition} |" in text
