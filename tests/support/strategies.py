"""Strategies that want what a test wants."""

from __future__ import annotations

from dataclasses import dataclass

from crucible.features.frame import FeatureRow
from crucible.strategies.contract import Exits
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
