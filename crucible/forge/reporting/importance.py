"""Which features a strategy listens to, measured by shuffling one after the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crucible.features.frame import FeatureFrame
from crucible.forge.backtest.engine import Market, backtest
from crucible.forge.evolution.run import ForgeRun
from crucible.forge.result import ForgeResult, Importance
from crucible.settings import Costs
from crucible.strategies.boosted import BoostedStrategy
from crucible.strategies.contract import Strategy
from crucible.strategies.gp import GpStrategy

REPEATS = 2
MOST_FEATURES = 20


def with_importance(result: ForgeResult, forge_run: ForgeRun) -> ForgeResult:
    """Measure the importance of the candidate's features on the validation window.

    The hold-out window stays shut.
    """
    if result.candidate is None:
        return result
    measured = permutation_importance(
        result.candidate,
        forge_run.frame,
        forge_run.market,
        forge_run.settings.costs,
        forge_run.windows.validation,
        forge_run.seed,
    )
    return replace(result, importance=measured)


def permutation_importance(
    strategy: Strategy,
    frame: FeatureFrame,
    market: Market,
    costs: Costs,
    rows: slice,
    seed: int,
) -> tuple[Importance, ...]:
    """Shuffle each feature over a span of rows and see what the strategy does then.

    Features that move together share their importance: shuffling one leaves the others.

    Parameters
    ----------
    strategy : Strategy
    frame : FeatureFrame
        n rows of its schema.
    market : Market
        n rows.
    costs : Costs
    rows : slice
    seed : int
        Same seed, same figures.

    Returns
    -------
    tuple of Importance
        Of the features it reads, at most 20 (a classifier's by gain), most signals changed first.
    """
    first, last, _ = rows.indices(len(frame))
    start = max(0, first - strategy.warmup)
    part = replace(frame, ts=frame.ts[start:last], values=frame.values[start:last])
    before = strategy.signals(part)[first - start :]
    earned = _earned(strategy, before, market, costs, slice(first, last))
    generator = np.random.default_rng([seed, 3])
    found = []
    for name in features_read(strategy):
        column = frame.schema.column(name)
        changed, returns = [], []
        for _ in range(REPEATS):
            values = part.values.copy()
            values[:, column] = generator.permutation(values[:, column])
            after = strategy.signals(replace(part, values=values))[first - start :]
            changed.append(float((after != before).mean()))
            returns.append(_earned(strategy, after, market, costs, slice(first, last)))
        found.append(Importance(name, float(np.mean(changed)), earned - float(np.mean(returns))))
    return tuple(sorted(found, key=lambda each: (-each.signals_changed, each.feature)))


def features_read(strategy: Strategy) -> list[str]:
    """Name the features that a strategy reads; of a classifier, those that weigh most."""
    if isinstance(strategy, BoostedStrategy):
        return list(strategy.importance())[:MOST_FEATURES]
    assert isinstance(strategy, GpStrategy)
    return list(strategy.features)[:MOST_FEATURES]


def _earned(
    strategy: Strategy, signals: object, market: Market, costs: Costs, rows: slice
) -> float:
    """Net return of signals that begin at the span's first row."""
    whole = np.zeros(len(market), np.int8)
    whole[rows] = np.asarray(signals, np.int8)
    return float(backtest(whole, market, strategy.exits, costs, rows).equity[-1] - 1)
