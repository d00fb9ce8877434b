"""Features of four-hour and daily candles: a setting that adds columns and changes no other value."""

from __future__ import annotations

import numpy as np
import pytest

from crucible.features.frame import FeatureFrame
from crucible.features.pipeline import FeaturePipeline
from crucible.features.rings import SHORTEST, ring_length
from crucible.features.technical import TechnicalState, technical_names, warmup
from crucible.market.candles import Candles
from crucible.market.simulator import START_MS, simulate
from crucible.market.timeframes import PREFIXES, minutes_until_known
from crucible.settings import MINUTE_MS, FeatureSettings, SettingsError, changed

SYMBOLS = ["BTCUSDT", "ETHUSDT"]
EVERY = (15, 60, 240, 1_440)
ALL = FeatureSettings(timeframes=EVERY, radar_window=20, radar_every=240)
WARM = warmup(EVERY)


@pytest.fixture(scope="module")
def market() -> dict[str, Candles]:
    """Two symbols over the warm-up and six days more, with gaps of their own."""
    return simulate(SYMBOLS, WARM + 6 * 1_440, seed=41, gap_share=0.002)


@pytest.fixture(scope="module")
def history(market: dict[str, Candles]) -> dict[str, FeatureFrame]:
    return FeaturePipeline(SYMBOLS, ALL).batch(market)


def technical(candles: Candles, timeframes: tuple[int, ...] = EVERY, length: int = 0) -> np.ndarray:
    values = np.empty((len(candles), len(technical_names(timeframes))))
    TechnicalState.fresh(1, timeframes, length).run(0, candles, values)
    return values


def test_every_timeframe_has_a_prefix_and_the_default_names_are_what_they_were() -> None:
    assert tuple(PREFIXES) == EVERY
    plain = FeaturePipeline(SYMBOLS, FeatureSettings())
    assert FeatureSettings().timeframes == (15, 60)
    assert len(plain.schema.names) == 69
    assert plain.warmup == 1_441
    more = FeaturePipeline(SYMBOLS, FeatureSettings(timeframes=EVERY))
    added = [name for name in more.schema.names if name not in plain.schema.names]
    assert {name.partition("_")[0] for name in added} == {"h4", "d1"}
    assert [name for name in more.schema.names if name not in added] == list(plain.schema.names)
    assert more.schema.hash != plain.schema.hash
    assert more.warmup == 22 * 1_440 - 1


def test_a_timeframe_more_changes_no_other_value(
    market: dict[str, Candles], history: dict[str, FeatureFrame]
) -> None:
    few = ALL.model_copy(update={"timeframes": (15, 60)})
    plain = FeaturePipeline(SYMBOLS, few).batch(market)
    for symbol in SYMBOLS:
        for name in plain[symbol].schema.names:
            ours, theirs = history[symbol].column(name), plain[symbol].column(name)
            assert ours.tobytes() == theirs.tobytes(), name


def test_the_length_of_the_ring_changes_no_value(market: dict[str, Candles]) -> None:
    own = market["BTCUSDT"]
    assert ring_length(minutes_until_known(EVERY)) == 32_768
    assert ring_length(minutes_until_known((15, 60))) == SHORTEST
    assert technical(own).tobytes() == technical(own, length=70_000).tobytes()
    few = own[:6_000]
    assert technical(few, (15, 60)).tobytes() == technical(few, (15, 60), 9_000).tobytes()


def test_live_rows_equal_history_bit_for_bit_with_every_timeframe(
    market: dict[str, Candles], history: dict[str, FeatureFrame]
) -> None:
    pipeline = FeaturePipeline(SYMBOLS, ALL)
    cut = int(market["BTCUSDT"].ts[WARM - 500])
    pipeline.warm({symbol: own.between(0, cut) for symbol, own in market.items()})
    live: dict[str, list[np.ndarray]] = {symbol: [] for symbol in SYMBOLS}
    late = {symbol: own.between(cut, 2**62) for symbol, own in market.items()}
    minutes = np.unique(np.concatenate([own.close_ts for own in late.values()]))
    for close_ts in minutes[:4_000].tolist():
        rows = pipeline.update(
            close_ts,
            {
                symbol: own.candle(int(np.searchsorted(own.close_ts, close_ts)))
                for symbol, own in late.items()
                if close_ts in own.close_ts
            },
        )
        for symbol, row in rows.items():
            live[symbol].append(row.values)
    for symbol, rows in live.items():
        first = len(market[symbol]) - len(late[symbol])
        expected = history[symbol].values[first : first + len(rows)]
        assert expected.tobytes() == np.stack(rows).tobytes()
        assert np.isfinite(expected[-1, : len(technical_names(EVERY))]).all()


def test_one_candle_at_a_time_equals_history_from_the_first_candle_on() -> None:
    own = simulate(["BTCUSDT"], WARM + 1_500, seed=42, gap_share=0.002)["BTCUSDT"]
    state = TechnicalState.fresh(1, EVERY)
    row = np.empty((1, len(technical_names(EVERY))))
    live = np.empty((len(own), row.shape[1]))
    for at in range(len(own)):
        state.run(0, own[at : at + 1], row)
        live[at] = row[0]
    assert live.tobytes() == technical(own).tobytes()


@pytest.mark.parametrize("skip", [1, 719, 1_441])
def test_a_cold_start_equals_a_longer_run_once_it_is_warm(
    market: dict[str, Candles], skip: int
) -> None:
    own = market["ETHUSDT"]
    long, cold = technical(own), technical(own[skip:])
    true = long[skip:]
    assert np.all(np.isnan(cold) | (cold == true))
    warm = int(np.searchsorted(own.ts[skip:], own.ts[skip] + WARM * MINUTE_MS))
    assert warm < len(cold)
    assert np.array_equal(cold[warm:], true[warm:], equal_nan=True)


@pytest.mark.parametrize("timeframes", [(240,), (15, 60, 240), EVERY])
@pytest.mark.parametrize("after", [0, 1, 777])
def test_every_technical_feature_is_defined_after_the_warm_up_whenever_it_begins(
    timeframes: tuple[int, ...], after: int
) -> None:
    last = warmup(timeframes)
    day = START_MS // (1_440 * MINUTE_MS) * 1_440 * MINUTE_MS
    own = simulate(["A"], last + 300, seed=43, start_ms=day + after * MINUTE_MS)["A"]
    values = technical(own, timeframes)
    assert np.isfinite(values[last - 1 :]).all()
    if after == 1:  # the latest of all: it has just missed the opening of a candle
        assert np.isnan(values[last - 2]).any()


def test_the_future_never_changes_a_row_of_any_timeframe(
    market: dict[str, Candles], history: dict[str, FeatureFrame]
) -> None:
    # In the middle of a four-hour and of a daily candle.
    cut = int(market["BTCUSDT"].close_ts[WARM + 2_000]) // (1_440 * MINUTE_MS) * 1_440 * MINUTE_MS
    cut += 700 * MINUTE_MS
    changed_later = {}
    for symbol, own in market.items():
        shock = np.where(own.close_ts > cut, 1.3, 1.0)
        prices = [getattr(own, name) * shock for name in ("open", "high", "low", "close")]
        changed_later[symbol] = Candles(symbol, own.ts, *prices, own.volume * shock**3)
    other = FeaturePipeline(SYMBOLS, ALL).batch(changed_later)
    for symbol in SYMBOLS:
        seen = int((market[symbol].close_ts <= cut).sum())
        true, moved = history[symbol].values, other[symbol].values
        assert true[:seen].tobytes() == moved[:seen].tobytes()
        for name in ("h4_return_z_1", "d1_return_z_1"):
            column = history[symbol].schema.column(name)
            assert not np.array_equal(true[seen:, column], moved[seen:, column], equal_nan=True)


def test_a_saved_state_continues_bit_for_bit_with_every_timeframe(
    market: dict[str, Candles], history: dict[str, FeatureFrame]
) -> None:
    cut = int(market["BTCUSDT"].ts[WARM])
    first, second = FeaturePipeline(SYMBOLS, ALL), FeaturePipeline(SYMBOLS, ALL)
    first.warm({symbol: own.between(0, cut) for symbol, own in market.items()})
    second.restore(first.state())
    rest = second.warm({symbol: own.between(cut, 2**62) for symbol, own in market.items()})
    for symbol, frame in rest.items():
        assert frame.values.tobytes() == history[symbol].values[-len(frame) :].tobytes()


def test_candles_that_do_not_reach_over_the_warm_up_are_named() -> None:
    candles = simulate(SYMBOLS, WARM, seed=44)
    pipeline = FeaturePipeline(SYMBOLS, ALL)
    assert pipeline.unwarmed(candles) == []
    short = {"BTCUSDT": candles["BTCUSDT"], "ETHUSDT": candles["ETHUSDT"][1:]}
    (line,) = pipeline.unwarmed(short)
    assert line.startswith(f"ETHUSDT: its candles reach over {WARM - 1} minutes")
    assert "take the longest out of features.timeframes" in line
    assert FeaturePipeline(SYMBOLS, FeatureSettings()).unwarmed(short) == []


@pytest.mark.parametrize(
    ("timeframes", "fault"),
    [
        ((60, 15), "ascending, each once"),
        ((15, 15), "ascending, each once"),
        ((), "ascending, each once"),
        ((15, 30), "15, 60, 240 or 1440"),
        ((15, 10_080), "15, 60, 240 or 1440"),
    ],
)
def test_other_timeframes_are_refused_by_name(timeframes: tuple[int, ...], fault: str) -> None:
    with pytest.raises(SettingsError, match=fault) as caught:
        changed(FeatureSettings(), "features", timeframes=timeframes)
    assert "features.timeframes" in str(caught.value)
