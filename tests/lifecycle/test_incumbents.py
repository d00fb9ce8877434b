from __future__ import annotations

import numpy as np
import pytest

from crucible.errors import StrategyError
from crucible.lifecycle.forge_runs import Job
from crucible.lifecycle.incumbents import incumbent_names, incumbents_of
from crucible.registry.errors import RegistryError
from crucible.registry.models import Active, Version
from crucible.settings import Slot
from crucible.strategies.contract import Exits
from crucible.strategies.gp import GpStrategy
from tests.support.markets import SMALL, make_market


class Held:
    """A registry of a few versions."""

    def __init__(self, held):
        self.held = held

    def active(self, slots):
        names = {slot.name for slot in slots}
        return [
            Active("production", Version(slot, number, "run", {}))
            for slot, number in self.held
            if slot in names
        ]

    def version(self, slot, number):
        if (slot, number) not in self.held:
            message = f"{slot} has no version {number}"
            raise RegistryError(message)
        return Version(slot, number, "run", {})

    def strategy(self, version):
        document = self.held[version.slot, version.version]
        if document is None:
            message = f"{version.slot}: no strategy file"
            raise StrategyError(message)
        return document


def agent(slot, schema):
    program = ("trade", ("gt", "edge", 1.0), ("lt", "edge", -1.0))
    return GpStrategy(slot, "XUSDT", schema, program, Exits(0.02, 0.03, 30))


def test_the_living_earn_what_their_registered_strategies_do_on_the_same_candles():
    from crucible.forge.backtest.engine import Market, backtest

    candles, frame = make_market()
    own = agent("XUSDT-gp-1", frame.schema.hash)
    registry = Held(
        {
            ("XUSDT-gp-1", "3"): own.to_json(),
            ("XUSDT-gp-2", "1"): agent("XUSDT-gp-2", "0" * len(frame.schema.hash)).to_json(),
            ("XUSDT-gp-3", "7"): None,
            ("YUSDT-gp-1", "1"): own.to_json(),
        }
    )
    slots = [Slot.parse(f"XUSDT-gp-{n}") for n in (3, 2, 1)] + [Slot.parse("YUSDT-gp-1")]
    names = incumbent_names(registry, slots, "XUSDT")
    assert names == ["XUSDT-gp-1/3", "XUSDT-gp-2/1", "XUSDT-gp-3/7"]
    incumbents, left_out = incumbents_of(registry, names, candles, frame, SMALL)
    assert incumbents.names == ("XUSDT-gp-1/3",)
    assert "made with feature schema" in left_out["XUSDT-gp-2/1"]
    assert "no strategy file" in left_out["XUSDT-gp-3/7"]
    test = backtest(own.signals(frame), Market.of(candles, frame), own.exits, SMALL.costs)
    np.testing.assert_array_equal(incumbents.returns[:, 0], test.daily_returns)
    assert incumbents.days.tolist() == [0, 1, 2, 3, 4]


def test_a_version_that_is_gone_ends_the_attempt_by_name():
    candles, frame = make_market()
    with pytest.raises(RegistryError, match="XUSDT-gp-1 has no version 3"):
        incumbents_of(Held({}), ["XUSDT-gp-1/3"], candles, frame, SMALL)


def test_a_retry_is_beside_the_same_living(tmp_path):
    job = Job("XUSDT-gp-1", 1, 60_000, "run", 0, ["XUSDT-gp-2/1"])
    job.write(tmp_path)
    assert Job.read(tmp_path) == job
