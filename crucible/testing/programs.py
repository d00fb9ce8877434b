"""Hypothesis strategies: random programs over given features."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from crucible.vm.program import OPERATORS, ValueType

WINDOWS = st.one_of(st.integers(2, 12), st.sampled_from((55, 240)))


# Drawing asks for the same ones over and over, and making a strategy costs more than drawing from it.
@cache
def expressions(kind: ValueType, features: tuple[str, ...], depth: int) -> st.SearchStrategy[Any]:
    """Random expressions of a type, as JSON values."""
    if kind is ValueType.WINDOW:
        return WINDOWS
    leaves = st.one_of(st.sampled_from(features), st.floats(-2, 2, allow_nan=False))
    if kind is not ValueType.BOOLEAN and depth <= 0:
        return leaves
    wanted = {kind} | ({ValueType.BOUNDED} if kind is ValueType.RATIO else set())
    names = [name for name, word in OPERATORS.items() if word.returns in wanted]
    if depth <= 0:
        names = ["gt", "lt", "cross_above", "cross_below"]
    built = st.sampled_from(names).flatmap(
        lambda name: st.tuples(
            st.just(name),
            *(expressions(part, features, depth - 1) for part in OPERATORS[name].arguments),
        ).map(list)
    )
    return st.one_of(leaves, built, built) if kind is ValueType.RATIO else built


def programs(features: tuple[str, ...], depth: int = 3) -> st.SearchStrategy[Any]:
    """Random whole programs, as JSON values."""
    rule = expressions(ValueType.BOOLEAN, features, depth)
    return st.tuples(st.just("trade"), rule, rule).map(list)
