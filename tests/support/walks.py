"""Candles, features, births and strategies for walk-forwards that need no forge run."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from crucible.arena.agent import Agent
from crucible.arena.execution import SimulatedExecution
from crucible.features.frame import FeatureFrame, FeatureRow, FeatureSchema
from crucible.ledger.trades import Fill, Payment
from crucible.market.candles import Candles
from crucible.market.funding import Funding
from crucible.settings import ArenaSettings, Costs
from crucible.strategies.contract import Exits
from crucible.vm.signals import Signal, Signals
from crucible.walk_forward.births import Birth
from crucible.walk_forward.life import Life, Stage
from tests.support.factories import torn_walk

SCHEMA = FeatureSchema(("regime_change_detected", "volatility_ratio", "signal"), {})
SLOT = "BTCUSDT-gp-1"


@dataclass
class Column:
    """A strategy that does what a column of its features names, turned round where asked."""

    exits: Exits
    column: str = "signal"
    shift: int = 0
    kind: str = "gp"
    symbol: str = "BTCUSDT"
    schema_hash: str = SCHEMA.hash
    warmup: int = 0

    @property
    def features(self) -> tuple[str, ...]:
        return (self.column,)

    def signals(self, frame: FeatureFrame) -> Signals:
        return ((frame.column(self.column) + self.shift) % 3).astype(np.int8)

    def decide(self, row: FeatureRow) -> Signal:
        return Signal(int(row[self.column] + self.shift) % 3)

    def reset(self) -> None:
        pass

    def to_json(self) -> dict[str, Any]:
        return {"stop": self.exits.stop, "shift": self.shift}


def stage(
    seed: int, count: int, *, drift: float = 0.0, settled: int = 0, busy: float = 0.3
) -> Stage:
    """A torn random walk with signals and changes of regime drawn at random, and funding at some minutes."""
    random = np.random.default_rng(seed)
    candles: Candles = torn_walk(random, count, drift)
    regime = (random.random(count) < 0.03).astype(float)
    volatility = random.choice([np.nan, 0.3, 0.9, 1.4, 5.0], count)
    signal = random.choice([0.0, 1.0, 2.0], count, p=[1 - busy, busy * 0.7, busy * 0.3])
    values = np.column_stack([regime, volatility, signal])
    frame = FeatureFrame("BTCUSDT", candles.close_ts, values, SCHEMA)
    last = int(candles.ts[-1]) // 60_000
    minutes = np.sort(random.choice(last, min(settled, last), replace=False))
    funding = Funding(
        "BTCUSDT", minutes.astype(np.int64) * 60_000, random.normal(0, 0.001, len(minutes))
    )
    return Stage.of(candles, frame, funding, ArenaSettings(), Costs())


def birth(number: int, known_until_ts: int, gap: float | None = None, **strategy: Any) -> Birth:
    """A version that was registered, unproven; `strategy` is what `strategy_of` makes one of."""
    return Birth(SLOT, number, known_until_ts, "candidate", 10, 10.0, strategy, None, gap)


def strategy_of(document: dict[str, Any]) -> Column:
    """Make the strategy of a birth."""
    values = {"stop": 0.01, "target": 0.015, "timeout": 20, "shift": 0} | document
    return Column(Exits(values["stop"], values["target"], values["timeout"]), shift=values["shift"])


def every_minute(
    life: Life, market: Stage, first: int, stop: int
) -> tuple[Agent, list[Fill], list[tuple[int, Decimal]]]:
    """Step the agent of a life through every minute, its strategy asked at each, nothing left out.

    The marks are before funding.
    """
    agent = Agent(life.agent.seat, strategy_of(life.birth.strategy))
    agent.execution = SimulatedExecution(agent.name, "1", "BTCUSDT", life.agent.mode)
    rates = market.funding.at(market.candles.ts)
    marks: list[tuple[int, Decimal]] = []
    fills: list[Fill] = []
    for row in range(first, stop):
        if rates[row] and agent.book.qty and life.role == "production":
            amount = Decimal(repr(float(rates[row]))) * agent.book.cost
            agent.pay(Payment(agent.name, "BTCUSDT", int(market.candles.ts[row]), amount))
        done = agent.decide_and_execute(
            market.frame.row(row), market.candles.candle(row), market.context
        )
        fills += done.shadow_fills
        price = Decimal(repr(float(market.candles.close[row])))
        paid = sum((payment.amount for payment in agent.payments), Decimal(0))
        marks.append((int(market.frame.ts[row]), agent.equity(Decimal(10_000), price) + paid))
    return agent, fills, marks
