from __future__ import annotations

import numpy as np
import pytest

from crucible.features.regime import (
    COOLDOWN,
    LONGEST,
    THRESHOLD,
    RegimeWatch,
    fuse,
    robust_deviations,
)
from crucible.features.technical import market_grid
from crucible.features.topology.radar import EMBEDDING, RADAR, TopologicalRadar
from crucible.market.simulator import Change, simulate
from crucible.settings import FeatureSettings

SYMBOLS = ["A", "B", "C", "D"]
DETECTED = RADAR.index("regime_change_detected")


def decisions(days: float, seed: int, changes: list[Change]) -> np.ndarray:
    settings = FeatureSettings()
    candles = simulate(SYMBOLS, int(days * 1_440), seed, null=True, changes=changes)
    grid = market_grid(candles, settings.radar_window + EMBEDDING)
    radar = TopologicalRadar(settings, 4)
    return radar.run(radar.fresh(), grid)[:, DETECTED]


def test_null_markets_seldom_raise_an_alarm() -> None:
    alarms, days = 0, 0.0
    for seed in (901, 902):
        reported = decisions(5, seed, [])
        known = np.isfinite(reported)
        assert not known[:1_500].any()
        alarms += int(((reported[1:] == 1) & (reported[:-1] != 1)).sum())
        days += known.sum() / 1_440
    print(f"false alarms a day on null markets: {alarms / days:.2f} over {days:.1f} days")
    assert alarms / days <= 1.0


def test_tripled_volatility_is_found_within_half_an_hour() -> None:
    starts = [1_440 + 300 + at * 600 for at in range(6)]
    changes = [Change("volatility", at, 120, 3.0) for at in starts]
    reported = decisions(4.2, 903, changes)
    delays = [np.flatnonzero(reported[at : at + 30] == 1) for at in starts]
    found = [int(delay[0]) for delay in delays if len(delay)]
    print(f"volatility x3: {len(found)} of {len(starts)} found, median delay {np.median(found)}")
    assert len(found) >= 5
    assert np.median(found) <= 20


def watch_scores(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> list[float]:
    """Decisions for given scores, one every five minutes."""
    watch = RegimeWatch(5, 8)
    state = watch.fresh()
    monkeypatch.setattr(watch, "_judge", lambda state, minute, values: (0.0, values[0]))
    evaluations = np.repeat(np.array(scores)[:, None], 8, axis=1)
    minutes = 5 * np.arange(1, len(scores) + 1)
    _, shown = watch.run(state, minutes, evaluations)
    return shown[:, -1].tolist()


def test_an_alarm_holds_through_a_dip_ends_in_time_and_rests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    high, dip = THRESHOLD + 1, THRESHOLD * 0.7
    assert watch_scores(monkeypatch, [0, high, dip, dip, 0, 0]) == [0, 1, 1, 1, 0, 0]
    long = watch_scores(monkeypatch, [high] * 80)
    assert sum(long[: LONGEST // 5 + 2]) == LONGEST // 5 + 1
    again = long.index(1, LONGEST // 5 + 2)
    assert again - (LONGEST // 5 + 1) == COOLDOWN // 5


def test_an_unknown_score_is_not_a_quiet_one(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = watch_scores(monkeypatch, [float("nan"), 0.0])
    assert np.isnan(reported[0])
    assert reported[1] == 0


def test_robust_deviations_ignore_unknown_values_and_outliers() -> None:
    generator = np.random.default_rng(1)
    reference = generator.standard_normal((2_000, 3))
    reference[:500, 1] = np.nan
    reference[:20, 0] = 1e9
    reference[:, 2] = 7
    found = robust_deviations(reference, np.array([3.0, 3.0, 8.0]))
    assert found[:2] == pytest.approx([3, 3], abs=0.25)
    assert np.isnan(found[2])
    assert np.isnan(robust_deviations(reference, np.array([np.nan] * 3))).all()


def test_the_score_grows_with_each_part_and_needs_volatility() -> None:
    calm = np.zeros(8)
    assert fuse(calm, 0.0) == 0
    louder, quieter, apart = calm.copy(), calm.copy(), calm.copy()
    louder[6], quieter[6], apart[7] = 3.0, -3.0, -3.0
    assert fuse(louder, 0.0) == fuse(apart, 0.0) == fuse(calm, 3.0) == 3
    assert fuse(quieter, 0.0) == 0
    louder[6] = np.nan
    assert np.isnan(fuse(louder, 0.0))
