from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from crucible.features.topology.rips import SMALL, giotto_diagrams, persistence, small_diagrams

SEEDS = st.integers(0, 2**32 - 1)


def cloud(seed: int, points: int, dimensions: int, kind: str) -> np.ndarray:
    generator = np.random.default_rng(seed)
    if kind == "ring":
        angle = generator.uniform(0, 2 * np.pi, points)
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return ring + generator.normal(0, 0.1, ring.shape)
    if kind == "grid":  # equal points and equal distances, as prices on ticks give them
        return generator.integers(-2, 3, (points, dimensions)).astype(float)
    return generator.standard_t(3, (points, dimensions))


def single(points: np.ndarray) -> np.ndarray:
    differences = points[:, None, :] - points[None, :, :]
    return np.sqrt((differences**2).sum(axis=2)).astype(np.float32)


def ordered(diagram: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, ...]:
    deaths, (birth, death) = diagram
    lasting = death > birth
    order = np.lexsort((death[lasting], birth[lasting]))
    return np.sort(deaths[deaths > 0]), birth[lasting][order], death[lasting][order]


@settings(max_examples=500, deadline=None)
@given(SEEDS, st.integers(2, SMALL), st.integers(1, 6), st.sampled_from(["tails", "grid", "ring"]))
def test_components_and_loops_are_those_of_giotto_to_the_last_bit(
    seed: int, points: int, dimensions: int, kind: str
) -> None:
    distances = single(cloud(seed, points, dimensions, kind))
    ours, theirs = small_diagrams(distances), giotto_diagrams(distances)
    for own, other in zip(ordered(ours), ordered(theirs), strict=True):
        np.testing.assert_array_equal(own, other)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(2, SMALL + 10), st.sampled_from(["tails", "grid", "ring"]))
def test_the_order_of_the_points_and_the_size_of_the_cloud_change_no_bit(
    seed: int, points: int, kind: str
) -> None:
    first = cloud(seed, points, 3, kind)
    shuffled = np.random.default_rng(seed).permutation(first)
    for ours, theirs in zip(persistence(first), persistence(shuffled), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # Far copies of one point turn a small cloud into a large one: one component more, no loop.
    far = np.repeat(first[:1] + 1e4, SMALL + 1, axis=0)
    connected, loops = persistence(np.concatenate([first, far]))
    np.testing.assert_array_equal(connected[:-1], persistence(first)[0])
    np.testing.assert_array_equal(loops, persistence(first)[1])


def test_one_point_and_equal_points_have_no_shape() -> None:
    for same in (np.zeros((1, 2)), np.ones((5, 3)), np.ones((SMALL + 1, 3))):
        connected, loops = persistence(same)
        assert len(connected) == len(loops) == 0
