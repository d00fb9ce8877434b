from __future__ import annotations

from dataclasses import dataclass

import pytest

from crucible.forge.evolution.run import ForgeRun
from crucible.forge.result import ForgeResult
from crucible.settings import ForgeSettings
from tests.support.markets import forge_run_of, make_market


@dataclass(frozen=True)
class Found:
    forge_run: ForgeRun
    result: ForgeResult


@pytest.fixture(scope="session")
def planted() -> dict[str, Found]:
    """One forge run of each kind on a market with a strong planted edge."""
    market = make_market(rows=24_000, seed=5, drift=0.001)
    settings = ForgeSettings(population=60, generations=4, trades_per_day=2)
    found = {}
    for kind in ("gp", "boosted"):
        forge_run = forge_run_of(kind, market, settings)
        found[kind] = Found(forge_run, forge_run.run())
    return found
