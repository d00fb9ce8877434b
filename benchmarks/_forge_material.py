"""What benchmarks/forge.py works on: a market, trees, evolved programs, signals; all from seeds."""

from __future__ import annotations

import random
from copy import deepcopy

import numpy as np
from scipy.signal import lfilter

from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.forge.backtest.engine import REGIME, VOLATILITY, Market
from crucible.forge.backtest.population import FeatureTable, evaluate_programs
from crucible.forge.genetic.genome import Genome, Thresholds, fits
from crucible.forge.genetic.operators import toolbox
from crucible.market.candles import Candles
from crucible.settings import MINUTE_MS, Costs
from crucible.strategies.contract import Exits
from crucible.vm.program import OPERATORS, Expression, ValueType

COSTS = Costs()
EXITS = Exits(0.004, 0.006, 240)
SMALL = 20_000
GENERATIONS = 12
LONGEST = 1_500
LONGEST_HELD = 480
BINARY = ("add", "sub", "mul", "div", "min", "max")


def market_of(rows: int, features: int) -> tuple[FeatureFrame, Market]:
    """A random walk with a little to find, and features that wander at different speeds."""
    generator = np.random.default_rng(1)
    names = (*(f"f{i}" for i in range(features - 2)), REGIME, VOLATILITY)
    values = np.empty((rows, features))
    for column in range(features - 2):
        memory = (0.0, 0.9, 0.99)[column % 3]
        noise = generator.normal(size=rows)
        values[:, column] = lfilter([1], [1, -memory], noise) * np.sqrt(1 - memory**2)
    values[:, -2] = generator.random(rows) < 0.001
    values[:, -1] = np.exp(generator.normal(0, 0.3, rows))
    drift = np.zeros(rows)
    drift[1:] = 2e-4 * np.tanh(values[:-1, 1])
    close = 100 * np.exp(np.cumsum(generator.normal(0, 6e-4, rows) + drift - drift.mean()))
    start = np.r_[100, close[:-1]]
    high = np.maximum(start, close) * (1 + np.abs(generator.normal(0, 2e-4, rows)))
    low = np.minimum(start, close) * (1 - np.abs(generator.normal(0, 2e-4, rows)))
    ts = np.arange(rows, dtype=np.int64) * MINUTE_MS
    candles = Candles("XUSDT", ts, start, high, low, close, np.ones(rows))
    frame = FeatureFrame("XUSDT", candles.close_ts, values, FeatureSchema(names, {}))
    return frame, Market.of(candles, frame)


def trees(count: int, features: int, seed: int) -> list[list[object]]:
    """Random trees, half grown and half full, of depth 3 to 6; a fifth of the leaves constants."""
    draw = random.Random(seed)

    def leaf() -> object:
        if draw.random() < 0.2:
            return float(np.float32(draw.uniform(-2, 2)))
        return f"x{draw.randrange(features)}"

    def grow(depth: int, *, full: bool) -> object:
        if depth == 0 or (not full and draw.random() < 0.15):
            return leaf()
        if draw.random() < 0.1:
            part = grow(depth - 1, full=full)
            return part if isinstance(part, float) else ["abs", part]
        while True:
            parts = [grow(depth - 1, full=full), grow(depth - 1, full=full)]
            # Nobody writes an operator of two constants.
            if not all(isinstance(part, float) for part in parts):
                return [draw.choice(BINARY), *parts]

    made: list[list[object]] = []
    while len(made) < count:
        tree = grow(3 + len(made) % 4, full=len(made) % 2 == 0)
        # No single leaves, and no tree twice.
        if isinstance(tree, list) and len(str(tree)) > 30 and tree not in made:
            made.append(tree)
    return made


def evolved(
    frame: FeatureFrame, market: Market, count: int, seed: int
) -> tuple[list[Expression], list[Exits]]:
    """Programs after some generations on the newest candles of a small part of the market.

    Selection is by tournament on net return, which makes families, as evolution does.
    """
    part = slice(0, SMALL)
    small = FeatureFrame(frame.symbol, frame.ts[part], frame.values[part], frame.schema)
    table = FeatureTable(small)
    field = Market.of(market.candles[part], small)
    state = random.getstate()
    random.seed(seed)
    box = toolbox(Thresholds.of(small, part), LONGEST_HELD)

    def lawful(genome: Genome) -> bool:
        return fits(genome, LONGEST) and not _idle(genome.tree_expression)

    population: list[Genome] = []
    while len(population) < count:
        genome = box.genome()
        if lawful(genome):
            population.append(genome)
    for _ in range(GENERATIONS):
        outcomes = evaluate_programs(
            [genome.program for genome in population],
            [genome.exits for genome in population],
            table,
            field,
            COSTS,
            part,
        )
        worth = np.where(outcomes.trades >= 20, outcomes.net_return, -1.0)
        for genome, value in zip(population, worth, strict=True):
            genome.fitness.values = (value,) * len(genome.fitness.weights)
        children: list[Genome] = []
        while len(children) < count:
            pair = [
                deepcopy(population[max(random.sample(range(count), 3), key=worth.__getitem__)])
                for _ in range(2)
            ]
            family = box.mate(*pair) if random.random() < 0.7 else pair
            if random.random() < 0.3:
                family = [box.mutate(family[0])[0], family[1]]
            children.extend(child for child in family if lawful(child))
        population = children[:count]
    random.setstate(state)
    return [genome.program for genome in population], [genome.exits for genome in population]


def _idle(expression: Expression) -> bool:
    """Whether some operator reads constants alone: other engines have no column for that."""
    if not isinstance(expression, tuple):
        return False
    kinds = OPERATORS[expression[0]].arguments
    numbers = [
        part
        for part, kind in zip(expression[1:], kinds, strict=True)
        if kind in (ValueType.RATIO, ValueType.BOUNDED)
    ]
    if numbers and not any(isinstance(part, (str, tuple)) for part in numbers):
        return True
    return any(_idle(part) for part in expression[1:])


def sparse_signals(strategies: int, rows: int) -> np.ndarray:
    """Some two thousand buys and as many exits a strategy, at random rows."""
    generator = np.random.default_rng(9)
    signals = np.zeros((strategies, rows), np.int8)
    for line in signals:
        line[generator.choice(rows, 2_600, replace=False)] = 1
        line[generator.choice(rows, 2_600, replace=False)] = 2
    return signals
