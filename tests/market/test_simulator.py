from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.market.candles import check, folder_hash
from crucible.market.simulator import Change, Leader, simulate

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 500), st.booleans(), st.floats(0, 0.3))
def test_simulated_candles_are_always_sound(
    seed: int, minutes: int, null: bool, gaps: float
) -> None:
    for symbol, own in simulate(SYMBOLS, minutes, seed, null=null, gap_share=gaps).items():
        check(own, symbol)
        assert own.symbol == symbol


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    one, same, other = (simulate(SYMBOLS, 500, seed, gap_share=0.01) for seed in (1, 1, 2))
    assert folder_hash(one) == folder_hash(same) != folder_hash(other)


def returns(minutes: int, seed: int, **options: object) -> np.ndarray:
    market = simulate(SYMBOLS, minutes, seed, **options)  # type: ignore[arg-type]
    return np.stack([np.log(own.close / own.open) for own in market.values()], axis=1)


def test_a_null_market_holds_nothing_to_predict() -> None:
    moves = returns(100_000, 3, null=True)
    for lag in (1, 2, 3):
        lagged = np.corrcoef(moves[:-lag].T, moves[lag:].T)[:3, 3:]
        assert np.abs(lagged).max() < 0.015
        squared = np.corrcoef((moves[:-lag] ** 2).T, (moves[lag:] ** 2).T)[:3, 3:]
        assert np.abs(squared).max() < 0.015


def test_a_planted_leader_explains_the_share_that_was_asked_for() -> None:
    moves = returns(200_000, 4, null=True, leader=Leader("ETHUSDT", lag=3, share=0.01))
    lagged = np.corrcoef(moves[:-3].T, moves[3:].T)[:3, 3:]
    assert lagged[1, 0] == pytest.approx(0.1, abs=0.01)
    assert lagged[1, 2] == pytest.approx(0.1, abs=0.01)
    assert np.abs(np.delete(lagged, 1, axis=0)).max() < 0.08
    assert abs(np.corrcoef(moves[:-2, 1], moves[2:, 0])[0, 1]) < 0.01


def test_planted_changes_do_what_they_say() -> None:
    changes = [Change("volatility", 5_000, 2_000, 3.0), Change("correlation", 8_000, 2_000, 0.0)]
    moves = returns(10_000, 5, null=True, changes=changes)
    ratio = moves[5_000:7_000].std(axis=0) / moves[:5_000].std(axis=0)
    assert ratio == pytest.approx([3, 3, 3], rel=0.1)
    pairs = np.corrcoef(moves[8_000:].T)[np.triu_indices(3, 1)]
    assert np.abs(pairs).max() < 0.1
    assert np.corrcoef(moves[:5_000].T)[0, 1] == pytest.approx(0.6, abs=0.05)
    crash = returns(2_000, 5, null=True, changes=[Change("flash", 1_000, 10, 0.05)])
    assert crash[1_000:1_010].sum(axis=0) == pytest.approx([-0.05] * 3, abs=0.02)


def test_a_market_has_regimes_and_jumps_unless_it_is_null() -> None:
    alive, null = returns(30_000, 6), returns(30_000, 6, null=True)

    def kurtosis(moves: np.ndarray) -> float:
        return float(np.mean((moves / moves.std(axis=0)) ** 4))

    assert kurtosis(alive) > 5
    assert kurtosis(null) == pytest.approx(3, abs=0.2)


def test_senseless_requests_are_refused() -> None:
    for bad in (
        {"minutes": 0},
        {"start_ms": 1},
        {"correlation": 1.5},
        {"leader": Leader("DOGEUSDT")},
    ):
        with pytest.raises(ValueError, match=r"minute|correlation|leader"):
            simulate(**({"symbols": SYMBOLS, "minutes": 10, "seed": 1} | bad))  # type: ignore[arg-type]
