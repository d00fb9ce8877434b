from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.features.frame import FeatureFrame
from crucible.features.order_books.microstructure import BookMinutes
from crucible.features.pipeline import FeatureError, FeaturePipeline
from crucible.features.technical import technical_names, warmup
from crucible.market.candles import Candles
from crucible.market.simulator import simulate
from crucible.settings import MINUTE_MS, FeatureSettings
from crucible.testing.candles import markets

SYMBOLS = ["BTCUSDT", "ETHUSDT"]
SMALL = FeatureSettings(radar_window=20, radar_every=15)
TECHNICAL = technical_names(SMALL.timeframes)
WARMUP = warmup(SMALL.timeframes)


def replay(
    pipeline: FeaturePipeline,
    candles: dict[str, Candles],
    books: dict[str, BookMinutes] | None = None,
) -> dict[str, list[np.ndarray]]:
    """Feed candles minute by minute, as the live loop does."""
    from crucible.features.order_books.microstructure import BookMinute

    by_minute: dict[int, dict[str, int]] = {}
    for symbol, own in candles.items():
        for row, close_ts in enumerate(own.close_ts.tolist()):
            by_minute.setdefault(close_ts, {})[symbol] = row
    values: dict[str, list[np.ndarray]] = {symbol: [] for symbol in candles}
    for close_ts in sorted(by_minute):
        minute = {s: candles[s].candle(row) for s, row in by_minute[close_ts].items()}
        known = {}
        for symbol, own in (books or {}).items():
            row = int(np.searchsorted(own.ts, close_ts))
            if row < len(own.ts) and own.ts[row] == close_ts:
                known[symbol] = BookMinute(
                    close_ts,
                    float(own.skew[row]),
                    float(own.ofi[row]),
                    float(own.depth[row]),
                    int(own.seconds[row]),
                )
        rows = pipeline.update(close_ts, minute, known)
        assert set(rows) == set(minute)
        for symbol, row in rows.items():
            assert row.ts == close_ts
            values[symbol].append(row.values)
    return values


def same(frame: FeatureFrame, rows: list[np.ndarray]) -> bool:
    return frame.values.tobytes() == np.stack(rows).tobytes()


def recorded_books(candles: Candles, seed: int) -> BookMinutes:
    generator = np.random.default_rng(seed)
    keep = generator.random(len(candles)) < 0.8
    count = int(keep.sum())
    return BookMinutes(
        candles.close_ts[keep],
        generator.uniform(-1, 1, count),
        generator.standard_normal(count),
        generator.lognormal(0, 1, count),
        generator.integers(30, 61, count),
    )


def test_the_live_row_equals_history_bit_for_bit_after_gaps_and_with_books() -> None:
    candles = simulate(SYMBOLS, 2_400, seed=1, gap_share=0.01)
    books = {"BTCUSDT": recorded_books(candles["BTCUSDT"], 2)}
    frames = FeaturePipeline(SYMBOLS, SMALL).batch(candles, books)
    rows = replay(FeaturePipeline(SYMBOLS, SMALL), candles, books)
    for symbol in SYMBOLS:
        assert same(frames[symbol], rows[symbol])
    # Every block has said something, so the equality is not one of NaN with NaN.
    defined = np.isfinite(frames["BTCUSDT"].values).any(axis=0)
    silent = {n for n, d in zip(frames["BTCUSDT"].schema.names, defined, strict=True) if not d}
    assert silent == {"influence", "influence_in", "influence_age"}


@settings(max_examples=25, deadline=None)
@given(markets(max_minutes=120))
def test_the_live_row_equals_history_for_any_gaps(candles: dict[str, Candles]) -> None:
    frames = FeaturePipeline(SYMBOLS, SMALL).batch(candles)
    rows = replay(FeaturePipeline(SYMBOLS, SMALL), candles)
    for symbol in SYMBOLS:
        assert same(frames[symbol], rows[symbol])


def test_a_saved_state_continues_bit_for_bit(tmp_path: Path) -> None:
    candles = simulate(SYMBOLS, 1_800, seed=2, gap_share=0.005)
    cut = candles["BTCUSDT"].ts[1_500]
    early = {s: c.between(0, int(cut)) for s, c in candles.items()}
    late = {s: c.between(int(cut), 2**62) for s, c in candles.items()}
    first = FeaturePipeline(SYMBOLS, SMALL)
    first.warm(early)
    np.savez(tmp_path / "state.npz", **first.state())
    second = FeaturePipeline(SYMBOLS, SMALL)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as stored:
        second.restore(dict(stored))
    whole = FeaturePipeline(SYMBOLS, SMALL).batch(candles)
    for symbol, rows in replay(second, late).items():
        assert whole[symbol].values[-len(rows) :].tobytes() == np.stack(rows).tobytes()


def test_batch_leaves_the_live_state_alone() -> None:
    candles = simulate(SYMBOLS, 200, seed=3)
    pipeline = FeaturePipeline(SYMBOLS, SMALL)
    pipeline.warm(candles)
    before = pipeline.state()
    pipeline.batch(candles)
    for name, array in pipeline.state().items():
        assert array.tobytes() == before[name].tobytes()


@settings(max_examples=40, deadline=None)
@given(markets(max_minutes=200), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_a_future_candle_never_changes_an_earlier_row(
    candles: dict[str, Candles], share: float, seed: int
) -> None:
    start = min(int(own.ts[0]) for own in candles.values())
    end = max(int(own.ts[-1]) for own in candles.values())
    cut = start + int(share * (end - start)) // MINUTE_MS * MINUTE_MS
    generator = np.random.default_rng(seed)
    changed = {symbol: perturb_after(own, cut, generator) for symbol, own in candles.items()}
    pipeline = FeaturePipeline(SYMBOLS, SMALL)
    true, other = pipeline.batch(candles), pipeline.batch(changed)
    for symbol in SYMBOLS:
        seen = candles[symbol].close_ts <= cut
        if symbol in true:
            assert (
                true[symbol].values[seen].tobytes() == other[symbol].values[: seen.sum()].tobytes()
            )


def perturb_after(own: Candles, cut: int, generator: np.random.Generator) -> Candles:
    late = own.close_ts > cut
    shock = np.where(late, np.exp(generator.normal(0, 0.1, len(own))), 1.0)
    # A later candle also disappears at times: absence must not leak either.
    keep = ~late | (generator.random(len(own)) < 0.9)
    if not keep.any():
        keep[0] = True
    return Candles(
        own.symbol,
        own.ts[keep],
        (own.open * shock)[keep],
        (own.high * shock * np.where(late, 1.1, 1.0))[keep],
        (own.low * shock / np.where(late, 1.1, 1.0))[keep],
        (own.close * shock)[keep],
        (own.volume * shock)[keep],
    )


def test_the_future_never_changes_a_day_old_row() -> None:
    candles = simulate(SYMBOLS, 2_400, seed=11, gap_share=0.004)
    cut = int(candles["BTCUSDT"].close_ts[2_200])
    changed = {s: perturb_after(c, cut, np.random.default_rng(1)) for s, c in candles.items()}
    pipeline = FeaturePipeline(SYMBOLS, SMALL)
    true, other = pipeline.batch(candles), pipeline.batch(changed)
    for symbol in SYMBOLS:
        seen = int((candles[symbol].close_ts <= cut).sum())
        assert true[symbol].values[:seen].tobytes() == other[symbol].values[:seen].tobytes()
        assert true[symbol].values[seen:].tobytes() != other[symbol].values[seen:].tobytes()


# With 11 the first aligned window holds 18 of its 20 minutes: enough, were it not a cold start.
@pytest.mark.parametrize("skip", [1, 11, 777, 1_003])
def test_a_cold_start_says_nothing_or_what_a_longer_run_says(skip: int) -> None:
    candles = simulate(SYMBOLS, 3_600, seed=4, gap_share=0.004)
    pipeline = FeaturePipeline(SYMBOLS, SMALL)
    start = int(candles["BTCUSDT"].ts[skip])
    long = pipeline.batch(candles)
    cold = pipeline.batch({s: c.between(start, 2**62) for s, c in candles.items()})
    names = pipeline.schema.names
    # These three remember for longer than a window: an alarm's cooldown and decaying sums.
    finite = [i for i, n in enumerate(names) if n not in MEMORY]
    for symbol in SYMBOLS:
        late = cold[symbol].values[:, finite]
        true = long[symbol].values[-len(late) :, finite]
        assert np.all(np.isnan(late) | (late == true))
        assert np.array_equal(late[2_000:], true[2_000:], equal_nan=True)


MEMORY = {"mce_pressure", "mce_tier", "regime_change_detected"}


def test_decaying_sums_forget_a_cold_start() -> None:
    candles = simulate(SYMBOLS, 9_000, seed=5)
    pipeline = FeaturePipeline(SYMBOLS, SMALL)
    long = pipeline.batch(candles)["BTCUSDT"].column("mce_pressure")
    cold = pipeline.batch({s: c[400:] for s, c in candles.items()})["BTCUSDT"]
    late = cold.column("mce_pressure")
    # Thirty half-lives later the difference is below a millionth.
    assert np.max(np.abs(late[-400:] - long[-400:])) < 1e-6


def test_every_technical_feature_is_defined_after_the_warm_up() -> None:
    candles = simulate(SYMBOLS, WARMUP + 40, seed=6)
    frame = FeaturePipeline(SYMBOLS, SMALL).batch(candles)["BTCUSDT"]
    technical = frame.values[:, : len(TECHNICAL)]
    assert np.isfinite(technical[WARMUP - 1 :]).all()
    assert np.isnan(technical[WARMUP - 2]).any()


def test_features_do_not_depend_on_the_unit_of_price_or_volume() -> None:
    candles = simulate(SYMBOLS, 1_700, seed=7)
    scaled = {
        s: Candles(
            s, c.ts, c.open * 4096, c.high * 4096, c.low * 4096, c.close * 4096, c.volume * 1024
        )
        for s, c in candles.items()
    }
    pipeline = FeaturePipeline(SYMBOLS, SMALL)
    one, other = pipeline.batch(candles), pipeline.batch(scaled)
    for symbol in SYMBOLS:
        np.testing.assert_allclose(
            one[symbol].values, other[symbol].values, rtol=1e-9, atol=1e-9, equal_nan=True
        )


def test_no_feature_is_ever_infinite_even_where_nothing_moves() -> None:
    ts = np.arange(1_600, dtype=np.int64) * MINUTE_MS
    flat = np.full(1_600, 3.0)
    still = {s: Candles(s, ts, flat, flat, flat, flat, np.zeros(1_600)) for s in SYMBOLS}
    frame = FeaturePipeline(SYMBOLS, SMALL).batch(still)["BTCUSDT"]
    assert not np.isinf(frame.values).any()
    assert np.isnan(frame.column("close_z_60")).all()
    assert frame.column("volatility_60")[-1] == 0
    assert np.isnan(frame.column("volatility_ratio")).all()


def test_a_symbol_without_its_candle_gets_no_row_and_disturbs_no_other() -> None:
    candles = simulate(SYMBOLS, 100, seed=8)
    pipeline = FeaturePipeline(SYMBOLS, SMALL)
    rows = pipeline.update(
        int(candles["ETHUSDT"].close_ts[0]), {"ETHUSDT": candles["ETHUSDT"].candle(0)}
    )
    assert set(rows) == {"ETHUSDT"}
    alone = pipeline.batch({"ETHUSDT": candles["ETHUSDT"]})
    assert set(alone) == {"ETHUSDT"}
    both = pipeline.batch(candles)["ETHUSDT"].values
    technical = slice(0, len(TECHNICAL))
    assert alone["ETHUSDT"].values[:, technical].tobytes() == both[:, technical].tobytes()


def test_one_symbol_alone_has_a_radar_too() -> None:
    candles = simulate(["BTCUSDT"], 1_700, seed=9)
    frame = FeaturePipeline(["BTCUSDT"], SMALL).batch(candles)["BTCUSDT"]
    assert np.isfinite(frame.column("radar_h1_l1")[-1])
    assert frame.column("regime_change_detected")[-1] in (0.0, 1.0)


def test_a_minute_is_taken_once_and_in_order() -> None:
    candles = simulate(SYMBOLS, 10, seed=10)["BTCUSDT"]
    pipeline = FeaturePipeline(SYMBOLS, SMALL)
    pipeline.update(int(candles.close_ts[5]), {"BTCUSDT": candles.candle(5)})
    for row in (5, 4):
        with pytest.raises(FeatureError, match="not after the last minute seen"):
            pipeline.update(int(candles.close_ts[row]), {"BTCUSDT": candles.candle(row)})
    with pytest.raises(FeatureError, match="does not close at"):
        pipeline.update(int(candles.close_ts[7]), {"BTCUSDT": candles.candle(6)})
    pipeline.update(int(candles.close_ts[6]), {"BTCUSDT": candles.candle(6)})


def test_what_cannot_be_served_is_refused_by_name() -> None:
    candles = simulate(["DOGEUSDT"], 10, seed=10)
    pipeline = FeaturePipeline(SYMBOLS, SMALL)
    with pytest.raises(FeatureError, match="DOGEUSDT is not served"):
        pipeline.batch(candles)
    with pytest.raises(FeatureError, match="each once"):
        FeaturePipeline(["A", "A"], SMALL)
    with pytest.raises(FeatureError, match="schema"):
        FeaturePipeline(["BTCUSDT"], SMALL).restore(pipeline.state())
    broken = pipeline.state()
    del broken["ring"]
    with pytest.raises(FeatureError, match="'ring' is missing"):
        pipeline.restore(broken)


def test_the_schema_hash_names_everything_that_decides_values() -> None:
    base = FeaturePipeline(SYMBOLS, SMALL).schema
    assert base.hash == FeaturePipeline(SYMBOLS, SMALL).schema.hash
    assert base.parameters["influence"] is None
    others = [
        FeaturePipeline(SYMBOLS[::-1], SMALL).schema,
        FeaturePipeline(SYMBOLS, FeatureSettings()).schema,
        FeaturePipeline(["BTCUSDT", "SOLUSDT"], SMALL).schema,
    ]
    assert len({base.hash, *(schema.hash for schema in others)}) == 4
    for name in ("volatility_ratio", "regime_change_detected", "influence", "mce_pressure"):
        assert name in base.names


def test_candles_of_two_ages_are_refused_before_a_table_of_all_minutes_between_is_made() -> None:
    held = simulate(SYMBOLS[:1], 200, seed=1)
    later = simulate(SYMBOLS[1:2], 200, seed=1, start_ms=4_000_000_000_000 // MINUTE_MS * MINUTE_MS)
    with pytest.raises(FeatureError, match=r"span 2620\d days .* BTCUSDT .* ETHUSDT .* leave out"):
        FeaturePipeline(SYMBOLS[:2], SMALL).batch(held | later)
