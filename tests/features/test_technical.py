from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crucible.features.higher import HIGHER
from crucible.features.pipeline import FeaturePipeline
from crucible.features.technical import MINUTE_NAMES, TechnicalState, technical_names, warmup
from crucible.market.candles import Candles, read_candles
from crucible.market.simulator import simulate
from crucible.market.timeframes import PREFIXES
from crucible.settings import FeatureSettings
from crucible.testing.higher_candles import higher_candles

EXACT = {"rtol": 1e-8, "atol": 1e-9}


def technical(candles: Candles, timeframes: tuple[int, ...] = (15, 60)) -> dict[str, np.ndarray]:
    names = technical_names(timeframes)
    values = np.empty((len(candles), len(names)))
    TechnicalState.fresh(1, timeframes).run(0, candles, values)
    return {name: values[:, at] for at, name in enumerate(names)}


@pytest.fixture(scope="module")
def walk() -> Candles:
    return simulate(["BTCUSDT"], 6_000, seed=31)["BTCUSDT"]


def test_minute_features_agree_with_an_independent_computation(walk: Candles) -> None:
    frame = pd.DataFrame({n: getattr(walk, n) for n in ("open", "high", "low", "close", "volume")})
    change = np.log(frame.close).diff()
    before = frame.close.shift()
    true_range = np.maximum(frame.high, before) - np.minimum(frame.low, before)
    day = change.rolling(1440).std()

    def position(width: int) -> pd.Series:
        top, bottom = frame.high.rolling(width).max(), frame.low.rolling(width).min()
        return (2 * frame.close - top - bottom) / (top - bottom)

    def z(column: pd.Series, width: int) -> pd.Series:
        rolling = column.rolling(width)
        return (column - rolling.mean()) / rolling.std()

    def strength(width: int) -> pd.Series:
        return change.rolling(width).sum() / change.abs().rolling(width).sum()

    def average_price(width: int) -> pd.Series:
        typical = (frame.high + frame.low + frame.close) / 3
        return (typical * frame.volume).rolling(width).sum() / frame.volume.rolling(width).sum()

    def flow(width: int) -> pd.Series:
        signed = np.sign(change) * frame.volume
        return signed.rolling(width).sum() / frame.volume.rolling(width).sum()

    mean = {w: frame.close.rolling(w).mean() for w in (15, 20, 60, 240)}
    expected = {
        "return_1": change,
        "return_5": np.log(frame.close / frame.close.shift(5)),
        "return_z_5": np.log(frame.close / frame.close.shift(5))
        / (change.rolling(240).std() * np.sqrt(5)),
        "return_z_240": np.log(frame.close / frame.close.shift(240)) / (day * np.sqrt(240)),
        "volatility_60": change.rolling(60).std(),
        "volatility_ratio_15_60": change.rolling(15).std() / change.rolling(60).std(),
        "volatility_ratio": change.rolling(60).std() / day,
        "range_ratio_60": np.sqrt(
            (np.log(frame.high / frame.low) ** 2).rolling(60).mean() / (4 * np.log(2))
        )
        / change.rolling(60).std(),
        "efficiency_60": change.rolling(60).sum().abs() / change.abs().rolling(60).sum(),
        "rsi_14": strength(14),
        "rsi_60": strength(60),
        "atr_14": true_range.rolling(14).mean() / frame.close,
        "atr_ratio_14_240": true_range.rolling(14).mean() / true_range.rolling(240).mean(),
        "bollinger_20": (frame.close - mean[20]) / (2 * frame.close.rolling(20).std()),
        "bollinger_width_20": 4 * frame.close.rolling(20).std() / mean[20],
        "close_z_60": z(frame.close, 60),
        "close_z_240": z(frame.close, 240),
        "trend_15_60": (mean[15] - mean[60]) / true_range.rolling(60).mean(),
        "trend_60_240": (mean[60] - mean[240]) / true_range.rolling(240).mean(),
        "position_60": position(60),
        "position_1440": position(1440),
        "distance_high_1440": np.log(frame.close / frame.high.rolling(1440).max())
        / (day * np.sqrt(1440)),
        "distance_low_1440": np.log(frame.close / frame.low.rolling(1440).min())
        / (day * np.sqrt(1440)),
        "distance_vwap_60": np.log(frame.close / average_price(60))
        / (change.rolling(60).std() * np.sqrt(60)),
        "distance_vwap_1440": np.log(frame.close / average_price(1440)) / (day * np.sqrt(1440)),
        "volume_z_60": z(frame.volume, 60),
        "volume_z_1440": z(frame.volume, 1440),
        "volume_ratio_15_240": np.log(
            frame.volume.rolling(15).mean() / frame.volume.rolling(240).mean()
        ),
        "flow_15": flow(15),
        "flow_60": flow(60),
        "body": (frame.close - frame.open) / (frame.high - frame.low),
        "upper_shadow": (frame.high - frame[["open", "close"]].max(axis=1))
        / (frame.high - frame.low),
        "lower_shadow": (frame[["open", "close"]].min(axis=1) - frame.low)
        / (frame.high - frame.low),
        "candle_range": (frame.high - frame.low) / true_range.rolling(60).mean(),
        "day_sin": np.sin(2 * np.pi * (walk.close_ts // 60_000 % 1440) / 1440),
        "day_cos": np.cos(2 * np.pi * (walk.close_ts // 60_000 % 1440) / 1440),
    }
    ours = technical(walk)
    for name, values in expected.items():
        np.testing.assert_allclose(
            ours[name][1_441:], np.asarray(values)[1_441:], err_msg=name, **EXACT
        )
    covered = set(expected) | {"return_z_1", "return_z_15", "return_z_60"}
    assert set(MINUTE_NAMES) - covered == {"skew_60", "autocorrelation_60"}


def test_skew_and_autocorrelation_follow_their_definitions(walk: Candles) -> None:
    ours = technical(walk)
    change = np.diff(np.log(walk.close), prepend=np.nan)
    for row in (2_000, 3_333, 5_999):
        window = change[row - 59 : row + 1]
        spread, mean = window.std(ddof=1), window.mean()
        skew = np.mean((window - mean) ** 3) / spread**3
        lagged = (np.sum(window[1:] * window[:-1]) - 59 * mean**2) / 59 / spread**2
        assert ours["skew_60"][row] == pytest.approx(skew, rel=1e-6)
        assert ours["autocorrelation_60"][row] == pytest.approx(lagged, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("timeframe", PREFIXES)
def test_higher_features_are_those_of_the_last_closed_higher_candle(timeframe: int) -> None:
    start = warmup([timeframe])
    walk = simulate(["BTCUSDT"], start + max(4_500, 12 * timeframe), seed=31)["BTCUSDT"]
    aligned = higher_candles(walk, [timeframe])
    higher, index = aligned.higher[timeframe], aligned.index[timeframe]
    ours = technical(walk, (timeframe,))
    close = pd.Series(higher.close)
    change = np.log(close).diff()
    top, bottom = pd.Series(higher.high).rolling(20).max(), pd.Series(higher.low).rolling(20).min()
    volume = pd.Series(higher.volume)
    spread = change.rolling(20).std()
    mean = close.rolling(20).mean()
    ranges = (pd.Series(higher.high) - pd.Series(higher.low)).rolling(20).mean()
    expected = {
        "return_z_1": change / spread,
        "return_z_4": np.log(close / close.shift(4)) / (2 * spread),
        "rsi_14": change.rolling(14).sum() / change.abs().rolling(14).sum(),
        "bollinger_20": (close - mean) / (2 * close.rolling(20).std()),
        "position_20": (2 * close - top - bottom) / (top - bottom),
        "trend_5_20": (close.rolling(5).mean() - mean) / ranges,
        "volume_z_20": (volume - volume.rolling(20).mean()) / volume.rolling(20).std(),
    }
    assert set(expected) == set(HIGHER)
    for name, values in expected.items():
        seen = np.append(values, np.nan)[index]
        np.testing.assert_allclose(
            ours[f"{PREFIXES[timeframe]}_{name}"][start:], seen[start:], err_msg=name, **EXACT
        )


def test_no_technical_feature_predicts_a_random_walk() -> None:
    walk = simulate(["BTCUSDT"], 300_000, seed=33, null=True)["BTCUSDT"]
    following = np.diff(np.log(walk.close))
    worst = {}
    timeframes = tuple(PREFIXES)
    for name, values in technical(walk, timeframes).items():
        feature = values[:-1]
        known = np.isfinite(feature)
        assert known[warmup(timeframes) :].mean() > 0.99
        worst[name] = abs(np.corrcoef(feature[known], following[known])[0, 1])
    name = max(worst, key=worst.__getitem__)
    print(f"largest |IC| of {len(worst)} features: {name} {worst[name]:.4f}")
    assert worst[name] < 0.01


def test_a_lag_that_meets_a_gap_is_unknown_and_a_window_tolerates_it(walk: Candles) -> None:
    keep = np.ones(len(walk), dtype=bool)
    keep[3_000] = False
    rows = np.flatnonzero(keep)
    gapped = Candles(
        walk.symbol,
        walk.ts[rows],
        walk.open[rows],
        walk.high[rows],
        walk.low[rows],
        walk.close[rows],
        walk.volume[rows],
    )
    ours, whole = technical(gapped), technical(walk)
    after = 3_000  # row of the minute behind the gap
    assert np.isnan(ours["return_1"][after])
    assert np.isnan(ours["return_5"][after + 4])
    assert ours["return_5"][after + 5] == whole["return_5"][after + 6]
    assert np.isfinite(ours["volatility_60"][after : after + 60]).all()
    # The day's volatility touches the whole day behind the gap; then nothing remembers it.
    assert ours["volatility_ratio"][after + 5] != whole["volatility_ratio"][after + 6]
    for name in ours:
        assert np.array_equal(ours[name][after + 1_500 :], whole[name][after + 1_501 :]), name


def test_real_candles_give_finite_features(shared_data: Path) -> None:
    folder = shared_data / "candles" / "binance-um-2025-05"
    ours = technical(read_candles(folder / "BTCUSDT-1m.parquet")[:20_000])
    for name, values in ours.items():
        assert not np.isinf(values).any(), name
        assert np.isfinite(values[1_441:]).mean() > 0.99, name


def test_every_feature_is_described_in_the_reference() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "features.md"
    text = page.read_text()
    every = FeatureSettings(timeframes=tuple(PREFIXES))
    names = FeaturePipeline(["BTCUSDT"], every).schema.names
    missing = [n for n in names if f"`{n}`" not in text and n not in higher_names(text)]
    assert missing == []


def higher_names(text: str) -> set[str]:
    """The blocks of higher candles share one table, with their prefixes named above it."""
    named = [prefix for prefix in PREFIXES.values() if f"`{prefix}_`" in text]
    return {f"{p}_{n}" for p in named for n in HIGHER if f"| `{n}` |" in text}


def test_compiled_code_is_never_older_than_a_file_it_is_made_of(monkeypatch) -> None:
    import inspect

    from crucible.features import technical as module

    before = module._sources()
    held = [cell.cell_contents for cell in module.technical_steps.py_func.__closure__]
    assert before in held
    true = inspect.getsource
    for helper in (module.rings, module.higher, module.mtfa, module.timeframes):
        monkeypatch.setattr(
            inspect, "getsource", lambda m, h=helper: true(m) + ("#" if m is h else "")
        )
        assert module._sources() != before
