"""Strategies that want what a test wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crucible.features.frame import FeatureRow
from crucible.settings import Slot
from crucible.strategies.contract import FORMAT, Exits
from crucible.vm.signals import Signal


@dataclass
class Scripted:
    """A strategy that says what it is told to say, one signal a row."""

    script: list[int]
    exits: Exits
    schema_hash: str
    kind: str = "gp"
    symbol: str = "BTCUSDT"
    at: int = 0

    def decide(self, _row: FeatureRow) -> Signal:
        self.at += 1
        return Signal(self.script[self.at - 1])


def strategy_file(slot: Slot, **changes: object) -> dict[str, Any]:
    """A small strategy file of a slot, with parts put in place of its own."""
    return {
        "format": FORMAT,
        "kind": "gp",
        "slot": slot.name,
        "symbol": slot.symbol,
        "schema_hash": "0" * 16,
        "features": ["x"],
        "exits": {"stop": 0.01, "target": 0.02, "timeout": 60},
        "program": ["trade", ["gt", ["mean", "x", 3], 0.5], ["lt", "x", -0.5]],
        **changes,
    }
