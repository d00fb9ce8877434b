"""The topological radar of the market; its columns are NaN until its evaluation is wired."""

from __future__ import annotations
from pathlib import Path
import numpy as np
from crucible.features.grid import Grid, Matrix
from crucible.settings import FeatureSettings

RADAR = (
    "radar_h1_l1",
    "radar_h1_l2",
    "radar_entropy_h0",
    "radar_entropy_h1",
    "radar_persistence_2",
    "radar_distance",
    "regime_change_detected",
    "radar_age",
)


class TopologicalRadar:
    def __init__(self, settings: FeatureSettings, assets: int, cache: Path | None = None) -> None:
        self.assets = assets
        self.carry = settings.radar_window

    def fresh(self):
        return {}

    def run(self, state, grid: Grid) -> Matrix:
        return np.full((len(grid.minutes), len(RADAR)), np.nan)
