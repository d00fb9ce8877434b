from __future__ import annotations

import numpy as np

from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.forge.evolution.run import ForgeRun
from crucible.market.candles import Candles
from crucible.settings import MINUTE_MS, ForgeSettings, Slot

NAMES = ("edge", "noise_1", "noise_2", "noise_3", "regime_change_detected", "volatility_ratio")
SMALL = ForgeSettings(population=24, generations=2, trades_per_day=2)


def make_market(rows=6_000, seed=0, drift=0.0, start=0):
    """Candles and features; a high `edge` is followed by half an hour of drift up, a low one by drift down."""
    generator = np.random.default_rng(seed)
    edge = generator.normal(size=rows)
    calm = np.zeros(rows)
    for row in np.flatnonzero(edge > 2.2):
        calm[row + 1 : row + 31] = drift
    for row in np.flatnonzero(edge < -2.2):
        calm[row + 1 : row + 31] = -drift
    steps = generator.normal(0, 0.0006, rows) + calm
    closes = 100 * np.exp(np.cumsum(steps))
    opens = np.r_[100, closes[:-1]]
    highs = np.maximum(opens, closes) * 1.0002
    lows = np.minimum(opens, closes) * 0.9998
    ts = (start + np.arange(rows)) * MINUTE_MS
    candles = Candles("XUSDT", ts, opens, highs, lows, closes, np.ones(rows))
    values = np.column_stack(
        [
            edge,
            *generator.normal(size=(3, rows)),
            generator.random(rows) < 0.001,
            np.exp(generator.normal(0, 0.3, rows)),
        ]
    )
    values[:50, 1] = np.nan
    frame = FeatureFrame("XUSDT", candles.close_ts, values, FeatureSchema(NAMES, {}))
    return candles, frame


def forge_run_of(kind="gp", market=None, settings=SMALL, seed=1, **options):
    candles, frame = market or make_market()
    return ForgeRun(
        Slot(symbol="XUSDT", kind=kind, number=1), candles, frame, settings, seed, **options
    )
