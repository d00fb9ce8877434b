"""Predictive influence between assets; NaN until a trained mapper is given."""

from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from crucible.features.grid import Grid, Matrix
from crucible.settings import FeatureSettings

INFLUENCE = ("influence", "influence_in", "influence_age")


@dataclass(frozen=True)
class InfluenceArrays:
    hash: str


class InfluenceMapper:
    def __init__(
        self, settings: FeatureSettings, symbols: int, arrays: InfluenceArrays | None
    ) -> None:
        self.carry = 8

    def fresh(self):
        return {}

    def run(self, state, grid: Grid) -> Matrix:
        return np.full((len(grid.minutes), grid.returns.shape[1], len(INFLUENCE)), np.nan)
