from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.features.order_books.microstructure import (
    BOOK_TIER,
    CANDLE_TIER,
    MINIMUM_SECONDS,
    NO_TIER,
    BookMinute,
    BookMinutes,
    BookSecond,
    Microstructure,
    OpenBookMinute,
)
from crucible.market.candles import Candles
from crucible.settings import MINUTE_MS
from crucible.testing.books import book_minute

CLOSE = 1_746_057_660_000


def second(at: int, skew: float = 0.5, ofi: float = 1.0) -> BookSecond:
    return BookSecond(CLOSE - MINUTE_MS + at * 1_000, skew, ofi, 10.0, 0.01, 3)


def test_a_minute_is_the_mean_skew_and_the_summed_flow_of_its_fresh_seconds() -> None:
    seconds = [second(at, 0.2 if at < 30 else 0.4) for at in range(60)]
    minute = book_minute(CLOSE, seconds)
    assert (minute.ts, minute.seconds, minute.tier) == (CLOSE, 60, 3)
    assert minute.skew == pytest.approx(0.3)
    assert minute.ofi == pytest.approx(60)
    assert minute.depth == pytest.approx(10)


def test_stale_repeated_and_foreign_seconds_do_not_count() -> None:
    stale = [second(at, math.nan, math.nan) for at in range(30)]
    fresh = [second(at) for at in range(30, 60)]
    foreign = [BookSecond(CLOSE, 1.0, 9.0, 10.0, 0.0, 1)]
    minute = book_minute(CLOSE, [*fresh[::-1], *stale, *fresh, *foreign])
    assert (minute.seconds, minute.ofi, minute.tier) == (30, 30.0, 0)
    empty = book_minute(CLOSE, stale)
    assert math.isnan(empty.skew)
    assert empty.tier == 0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 59),
            st.floats(-1, 1) | st.just(math.nan),
            st.floats(-9, 9) | st.just(math.nan),
        ),
        max_size=90,
    )
)
def test_a_minute_in_the_making_sums_what_a_finished_one_holds(
    seconds: list[tuple[int, float, float]],
) -> None:
    minute = OpenBookMinute()
    for at, skew, ofi in seconds:
        minute.add(second(at, skew, ofi))
    last = {at: (skew, ofi) for at, skew, ofi in seconds}
    whole = [(s, o) for s, o in last.values() if not math.isnan(s + o)]
    closed = minute.close(CLOSE)
    assert closed.seconds == len(whole)
    if whole:
        assert closed.skew == math.fsum(s for s, _ in whole) / len(whole)
        assert closed.ofi == math.fsum(o for _, o in whole)
        assert closed.depth == 10.0
    else:
        assert math.isnan(closed.ofi)


def test_books_join_on_the_exact_close_and_only_when_fresh_enough() -> None:
    enough, few = MINIMUM_SECONDS, MINIMUM_SECONDS - 1
    minutes = BookMinutes.of(
        [
            BookMinute(60_000, 0.1, 1.0, 5.0, enough),
            BookMinute(180_000, 0.3, 3.0, 5.0, few),
            BookMinute(240_000, 0.4, 4.0, 5.0, 60),
        ]
    )
    skew, ofi = minutes.at(np.array([60_000, 120_000, 180_000, 240_000, 300_000]))
    np.testing.assert_array_equal(skew, [0.1, np.nan, np.nan, 0.4, np.nan])
    np.testing.assert_array_equal(ofi, [1.0, np.nan, np.nan, 4.0, np.nan])


def pressures(returns: np.ndarray, flow: np.ndarray | None, volume: np.ndarray | None = None):
    """Pressure and tier of a series of standardised returns, with a fresh book every minute."""
    count = len(returns)
    ts = np.arange(1, count + 1, dtype=np.int64) * MINUTE_MS
    price = np.full(count, 1.0)
    size = np.full(count, 1.0) if volume is None else volume
    candles = Candles("BTCUSDT", ts - MINUTE_MS, price, price, price, price, size)
    books = None
    if flow is not None:
        zeros, full = np.zeros(count), np.full(count, 60, np.int64)
        books = BookMinutes(ts, zeros, flow, zeros + 1, full)
    block = Microstructure()
    standard = np.stack([returns, returns], axis=1)
    out = block.run(block.fresh(1), 0, candles, standard, books)
    return out[:, 1], out[:, 2]


N = 40_000


def shocks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.standard_normal(N), generator.standard_normal(N)


def coefficient(signal: np.ndarray, returns: np.ndarray) -> float:
    known = np.isfinite(signal[:-1])
    return float(np.corrcoef(signal[:-1][known], returns[1:][known])[0, 1])


def test_flow_that_predicts_nothing_has_almost_no_pressure() -> None:
    noise, flow = shocks(1)
    reverse = np.concatenate([[0.0], noise[:-1]])  # flow follows the return of a minute ago
    for name, series in {
        "null": flow,
        "contemporaneous only": noise + 0.5 * flow,
        "reverse causal": reverse + 0.5 * flow,
    }.items():
        pressure, tier = pressures(noise, series)
        quiet = np.nanmean(np.abs(pressure))
        print(f"{name}: mean |pressure| {quiet:.4f}, silent {np.mean(pressure == 0):.2f}")
        assert quiet < 0.02
        assert np.nanmean(pressure == 0) > 0.9
        assert set(np.unique(tier)) <= {NO_TIER, BOOK_TIER, CANDLE_TIER}


@pytest.mark.parametrize("sign", [1, -1])
def test_flow_that_leads_is_passed_on_with_its_sign(sign: int) -> None:
    noise, flow = shocks(2)
    returns = noise.copy()
    returns[1:] += sign * 0.15 * flow[:-1]
    pressure, tier = pressures(returns, flow)
    known = tier == BOOK_TIER
    passed = coefficient(np.where(known, pressure, np.nan), returns)
    naive = coefficient(np.where(known, sign * flow, np.nan), returns)
    print(f"IC of pressure {passed:.3f}, of the naive flow {naive:.3f}")
    assert passed >= 0.9 * naive > 0.1
    assert np.nanmax(np.abs(pressure)) < 1


def test_without_a_book_the_candles_speak_and_each_tier_has_its_own_sums() -> None:
    noise, flow = shocks(3)
    candle_only, tier = pressures(noise, None)
    assert set(np.unique(tier)) == {NO_TIER, CANDLE_TIER}
    assert np.array_equal(np.isnan(candle_only), tier == NO_TIER)
    late = flow.copy()
    late[: N // 2] = np.nan
    mixed, tiers = pressures(noise, late)
    assert mixed[: N // 2].tobytes() == candle_only[: N // 2].tobytes()
    # A new book speaks only once its own regression has evidence.
    switch = int(np.flatnonzero(tiers == BOOK_TIER)[0])
    assert N // 2 + 120 <= switch <= N // 2 + 140
    assert (tiers[switch:] == BOOK_TIER).all()


def test_unknown_returns_give_no_pressure_before_evidence() -> None:
    pressure, tier = pressures(np.full(500, np.nan), None)
    assert np.isnan(pressure).all()
    assert (tier == NO_TIER).all()
