"""Drawdowns are computed in three layers that cannot share a function; of the same equity they are the same."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from crucible.dashboard.curves import drawdown_path
from crucible.forge.backtest.statistics import drawdown_curve, max_drawdown
from crucible.watchtower.scorecard import drawdown


@pytest.mark.parametrize("seed", range(5))
def test_the_forge_the_watchtower_and_the_live_page_see_the_same_falls(seed: int):
    moves = np.random.default_rng(seed).normal(0.0, 0.02, 500)
    equity = np.concatenate([[1.0], np.cumprod(1.0 + moves)])
    falls = drawdown_curve(equity)
    shown = drawdown_path([Decimal(repr(value)) for value in equity.tolist()])
    assert shown == pytest.approx(falls.tolist(), abs=1e-12)
    assert drawdown(equity.tolist()) == -falls.min() == max_drawdown(equity)


def test_a_start_that_is_known_is_a_peak():
    equity = np.array([0.9, 1.2, 0.6])
    assert drawdown_curve(equity).tolist() == pytest.approx([0.0, 0.0, -0.5])
    assert drawdown_curve(equity, 1.0).tolist() == pytest.approx([-0.1, 0.0, -0.5])
