"""A strategy's file as something that can be computed again: its features, every node of its program, its signal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crucible.errors import StrategyError
from crucible.features.frame import FeatureFrame
from crucible.features.pipeline import FeaturePipeline
from crucible.forge.lookahead.search import Columns, Evaluate, Market, Values
from crucible.forge.reporting.description import sentence
from crucible.strategies.boosted import BoostedStrategy
from crucible.strategies.contract import Strategy
from crucible.strategies.gp import GpStrategy
from crucible.vm.interpreter import Runner, feature_lines
from crucible.vm.linear import compile_programs
from crucible.vm.program import OPERATORS, Expression, ValueType

LONGEST_NAME = 120


def evaluation(strategy: Strategy, pipeline: FeaturePipeline) -> Evaluate:
    """Make a strategy into what `find_leaks` computes.

    Parameters
    ----------
    strategy : Strategy
    pipeline : FeaturePipeline
        Of the schema that the strategy was made for, and of every symbol of the candles.

    Raises
    ------
    StrategyError
        If the features have another schema.
    """

    def evaluate(market: Market) -> Columns:
        frame = pipeline.batch(market)[strategy.symbol]
        values: dict[str, Values] = {
            f"feature {name}": frame.column(name) for name in strategy.features
        }
        if isinstance(strategy, GpStrategy):
            values |= _nodes(strategy, frame)
        elif isinstance(strategy, BoostedStrategy):
            values["probability"] = strategy.probabilities(frame)
        values["signal"] = strategy.signals(frame).astype(np.float64)
        return Columns(market[strategy.symbol].ts, values)

    return evaluate


def nodes_of(program: Expression) -> Iterator[Expression]:
    """Give every operator of a program but the root, inner ones first, each once."""
    seen: set[Expression] = set()

    def inner(expression: Expression) -> Iterator[Expression]:
        if not isinstance(expression, tuple):
            return
        for part in expression[1:]:
            yield from inner(part)
        if expression not in seen and expression[0] != "trade":
            seen.add(expression)
            yield expression

    yield from inner(program)


def _nodes(strategy: GpStrategy, frame: FeatureFrame) -> dict[str, Values]:
    nodes = list(nodes_of(strategy.program))
    if not nodes:
        return {}
    # A condition as a number: 1 where it is true, 0 where it is not, missing where that is not known.
    numeric = [("if", node, 1.0, 0.0) if _is_condition(node) else node for node in nodes]
    program = compile_programs(numeric)
    found = Runner(program).run_values(feature_lines(frame, program.features))
    names: dict[str, Values] = {}
    for node, values in zip(nodes, found, strict=True):
        name = f"node {sentence(node)}"
        short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."
        key = short if short not in names else f"{short} ({len(names)})"
        names[key] = values.astype(np.float64)
    return names


def _is_condition(node: Expression) -> bool:
    if not isinstance(node, tuple):
        message = f"{node!r} is no operator"
        raise StrategyError(message)
    return OPERATORS[node[0]].returns is ValueType.BOOLEAN
