from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crucible.features.grid import Grid
from crucible.features.technical import market_grid
from crucible.features.topology.radar import (
    EMBEDDING,
    EVALUATION,
    TTL,
    TopologicalRadar,
    evaluate_window,
    landscape_norms,
    persistence_entropy,
)
from crucible.features.topology.rips import persistence
from crucible.market.simulator import simulate
from crucible.settings import FeatureSettings

SYMBOLS = ["A", "B", "C", "D"]
SETTINGS = FeatureSettings()
CARRY = SETTINGS.radar_window + EMBEDDING


def test_norms_and_entropies_match_giotto_tda() -> None:
    from gtda.diagrams import Amplitude, PersistenceEntropy
    from gtda.homology import VietorisRipsPersistence

    generator = np.random.default_rng(1)
    cloud = generator.standard_normal((60, 4))
    diagrams = VietorisRipsPersistence(homology_dimensions=(0, 1)).fit_transform(cloud[None])
    entropy = PersistenceEntropy().fit_transform(diagrams)[0]
    connected, loops = persistence(cloud)
    assert persistence_entropy(connected) == pytest.approx(entropy[0], abs=1e-4)
    assert persistence_entropy(loops) == pytest.approx(entropy[1], abs=1e-4)
    for order, ours in zip((1, 2), landscape_norms(loops), strict=True):
        parameters = {"p": order, "n_layers": 60, "n_bins": 2_000}
        theirs = Amplitude(metric="landscape", metric_params=parameters).fit_transform(diagrams)
        assert ours == pytest.approx(theirs[0, 1], rel=2e-3)


def test_a_circle_is_one_long_loop() -> None:
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    connected, loops = persistence(circle)
    assert len(connected) == 59
    assert loops.max() > 1.5
    assert persistence_entropy(loops[:1]) == 0
    assert np.isnan(persistence_entropy(loops[:0]))
    assert landscape_norms(np.array([2.0])) == (1.0, pytest.approx(np.sqrt(2 / 3)))


def test_a_window_with_too_many_unknown_minutes_says_nothing() -> None:
    window = np.random.default_rng(2).standard_normal((60, 4)) * 1e-3
    some, many = window.copy(), window.copy()
    some[:6, 0] = np.nan
    many[:7, 1] = np.nan
    assert np.isfinite(evaluate_window(some)).all()
    assert np.isnan(evaluate_window(many)).all()
    still = window.copy()
    still[:, 2] = 0
    assert np.isnan(evaluate_window(still)).all()


def test_the_shapes_do_not_depend_on_an_assets_own_volatility() -> None:
    window = np.random.default_rng(3).standard_normal((60, 4)) * 1e-3
    louder = window * np.array([1.0, 8.0, 0.25, 2.0])
    np.testing.assert_allclose(evaluate_window(window)[:5], evaluate_window(louder)[:5], rtol=1e-5)


def grid(minutes: int, seed: int) -> Grid:
    return market_grid(simulate(SYMBOLS, minutes, seed, null=True), CARRY)


def test_evaluations_stand_on_aligned_closes_and_are_held_with_their_age() -> None:
    own = grid(200, 4)
    radar = TopologicalRadar(SETTINGS, 4)
    values = radar.run(radar.fresh(), own)
    age = values[:, -1]
    known = np.isfinite(age)
    assert known.any()
    assert np.array_equal(age[known], own.minutes[known] % 5)
    direct = radar.evaluate(own, own.minutes[own.minutes % 5 == 0][-1:])
    assert np.array_equal(values[-1, :5], direct[0, :5])


def test_a_value_past_its_time_to_live_is_gone_but_its_age_is_told() -> None:
    own = grid(400, 5)
    silent = own.returns.copy()
    silent[own.row(int(own.minutes[200])) :, 0] = np.nan
    radar = TopologicalRadar(SETTINGS, 4)
    values = radar.run(radar.fresh(), Grid(own.minutes, own.start, silent, own.standard))
    age = values[:, -1]
    late = age > TTL
    assert late.any()
    assert np.isnan(values[late, :-1]).all()
    held = np.isfinite(age) & ~late
    assert np.isfinite(values[held, :5]).all()


def test_whole_days_come_from_the_cache_bit_for_bit(tmp_path: Path, monkeypatch) -> None:
    own = grid(1_440 * 2, 6)
    minutes = own.aligned(20)[4:]
    settings = FeatureSettings(radar_every=20)
    plain = TopologicalRadar(settings, 4).evaluate(own, minutes)
    cached = TopologicalRadar(settings, 4, tmp_path)
    assert cached.evaluate(own, minutes).tobytes() == plain.tobytes()
    assert len(list(tmp_path.iterdir())) == 1  # one of the two days is whole
    calls = []

    def count(window: np.ndarray, *, embedded: bool) -> np.ndarray:
        calls.append(window)
        return evaluate_window(window, embedded=embedded)

    monkeypatch.setattr("crucible.features.topology.radar.evaluate_window", count)
    assert cached.evaluate(own, minutes).tobytes() == plain.tobytes()
    assert len(calls) == len(minutes) - 72
    changed = own.returns.copy()
    changed[-100] *= 1.0001
    other = Grid(own.minutes, own.start, changed, own.standard)
    assert cached.evaluate(other, minutes).tobytes() != plain.tobytes()


def test_names_and_evaluations_agree_in_number() -> None:
    radar = TopologicalRadar(SETTINGS, 4)
    assert radar.evaluate(grid(100, 7), np.empty(0, np.int64)).shape == (0, len(EVALUATION))
