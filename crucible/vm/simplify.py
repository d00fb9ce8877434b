"""A program without what can never matter: constants folded, dead branches cut, repeated conditions said once.

The simplified program gives the same signals once the original is warm. The Forge simplifies every candidate before it is
tried, so that its size is that of what matters; a version that was registered unsimplified trades as it is, and is read simplified.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from crucible.vm.interpreter import Lines, Runner
from crucible.vm.linear import compile_programs
from crucible.vm.program import OPERATORS, Expression, ValueType, joined_parts

NEVER, ALWAYS = ("lt", 0.0, 0.0), ("gt", 1.0, 0.0)
"""The shortest conditions that are never and always true: the language has no constants of truth."""

_FOLDED = frozenset({"add", "sub", "mul", "div", "min", "max", "abs", "neg", "squash"})
_KEPT_BY_WINDOWS = frozenset({"lag", "lowest", "highest"})
_OPPOSITE = {"gt": "lt", "lt": "gt"}
_INFINITE = (-math.inf, math.inf)


def simplify(program: Expression) -> Expression:
    """Give the simplest program found with the same signals.

    Parameters
    ----------
    program : tuple
        As `parse_program` returns it: ``("trade", buy, exit)``.

    Returns
    -------
    tuple
        A rule that can never speak is `NEVER`, one that always does is `ALWAYS`. Signals are equal from the row on
        at which the original has seen enough rows; a simplified program may need fewer.

    Examples
    --------
    >>> simplify(("trade", ("gt", "x", 1.0), ("gt", 0.6, 2.7)))
    ('trade', ('gt', 'x', 1.0), ('lt', 0.0, 0.0))
    >>> simplify(
    ...     (
    ...         "trade",
    ...         ("and", ("gt", "x", 1.0), ("gt", "x", 2.0)),
    ...         ("or", ("lt", "x", 0.0), ("gt", 1.0, 2.0)),
    ...     )
    ... )
    ('trade', ('gt', 'x', 2.0), ('lt', 'x', 0.0))
    """
    assert isinstance(program, tuple)
    return (program[0], *(_until_settled(rule) for rule in program[1:]))


def truth(rule: Expression) -> bool | None:
    """Say whether a simplified rule always (True) or never (False) speaks; None where it depends."""
    return {NEVER: False, ALWAYS: True}.get(rule) if isinstance(rule, tuple) else None


def _until_settled(rule: Expression) -> Expression:
    # Nothing of a rule grows, so this ends.
    while (simpler := _condition(rule, decides=True)) != rule:
        rule = simpler
    return rule


def _condition(rule: Expression, *, decides: bool) -> Expression:
    """Simplify a condition.

    `decides` says that nothing but "true" has an effect, as at the root and below its "and" and "or": there a
    condition that is unknown may as well be false. Below a "not" or in an "if" it may not.
    """
    assert isinstance(rule, tuple)
    name, *parts = rule
    if name in {"and", "or"}:
        return _joined(name, parts, decides=decides)
    if name == "not":
        inner = _condition(parts[0], decides=False)
        known = truth(inner)
        if known is not None:
            return NEVER if known else ALWAYS
        return inner[1] if isinstance(inner, tuple) and inner[0] == "not" else ("not", inner)
    left, right = (_number(part) for part in parts)
    if isinstance(left, float) and isinstance(right, float):
        return _compared_constants(name, left, right)
    if decides and _is_impossible(name, left, right):
        return NEVER
    return (name, left, right)


def _compared_constants(name: str, left: float, right: float) -> Expression:
    if name in _OPPOSITE:
        a, b = np.float32(left), np.float32(right)
        return ALWAYS if (a > b if name == "gt" else a < b) else NEVER
    return NEVER  # neither of two constants ever crosses the other


def _is_impossible(name: str, left: Expression, right: Expression) -> bool:
    """Whether a comparison can never be true, whatever the features are."""
    if left == right:
        return True
    (low, high), (other_low, other_high) = _range(left), _range(right)
    if name in {"lt", "cross_below"}:
        return low >= other_high
    return high <= other_low


def _joined(name: str, parts: list[Expression], *, decides: bool) -> Expression:
    stop, pass_ = (NEVER, ALWAYS) if name == "and" else (ALWAYS, NEVER)
    kept: list[Expression] = []
    for part in parts:
        for condition in joined_parts(name, _condition(part, decides=decides)):
            if condition == stop:
                return stop
            if condition != pass_ and condition not in kept:
                kept.append(condition)
    kept = _without_weaker(name, kept)
    if not kept:
        return pass_
    if decides and name == "and" and _contradict(kept):
        return NEVER
    return _balanced(name, kept)


def _balanced(name: str, conditions: list[Expression]) -> Expression:
    """Join conditions in their order, no deeper than need be."""
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    return (name, _balanced(name, conditions[:middle]), _balanced(name, conditions[middle:]))


def _bound(condition: Expression) -> tuple[str, Expression, float] | None:
    """Read a condition as ``x above c`` or ``x below c``; None where it is neither."""
    if not isinstance(condition, tuple) or condition[0] not in _OPPOSITE:
        return None
    name, left, right = condition
    if isinstance(right, float):
        return name, left, right
    if isinstance(left, float):
        return _OPPOSITE[name], right, left
    return None


def _without_weaker(name: str, conditions: list[Expression]) -> list[Expression]:
    """Keep of several bounds of the same value on the same side the one that decides."""
    tightest: dict[tuple[str, Expression], float] = {}
    for condition in conditions:
        if (bound := _bound(condition)) is None:
            continue
        side, value, limit = bound
        known = tightest.get((side, value))
        larger = (side == "gt") == (name == "and")
        if known is None or (limit > known if larger else limit < known):
            tightest[side, value] = limit
    kept = []
    for condition in conditions:
        bound = _bound(condition)
        if bound is None:
            kept.append(condition)
        elif tightest.get(bound[:2]) == bound[2]:
            kept.append(condition)
            del tightest[bound[:2]]  # said once, however it is written
    return kept


def _contradict(conditions: list[Expression]) -> bool:
    bounds = [bound for condition in conditions if (bound := _bound(condition)) is not None]
    above = {value: limit for side, value, limit in bounds if side == "gt"}
    return any(
        side == "lt" and value in above and above[value] >= limit for side, value, limit in bounds
    )


def _number(value: Expression) -> Expression:
    """Simplify what gives a number."""
    if not isinstance(value, tuple):
        return float(value) if isinstance(value, int) else value
    name, *parts = value
    if name == "if":
        condition = _condition(parts[0], decides=False)
        known = truth(condition)
        if known is not None:
            return _number(parts[1] if known else parts[2])
        return (name, condition, _number(parts[1]), _number(parts[2]))
    wanted = OPERATORS[name].arguments
    parts = [
        part if kind is ValueType.WINDOW else _number(part)
        for part, kind in zip(parts, wanted, strict=True)
    ]
    first: Expression = parts[0]
    if name in _FOLDED and all(isinstance(part, float) for part in parts):
        return _folded((name, *parts))
    if name in _KEPT_BY_WINDOWS and isinstance(first, float):
        return first
    if isinstance(first, tuple) and name in {"abs", "neg"} and first[0] in {"abs", "neg"}:
        inner: Expression = first[1]
        if name == "abs":
            return ("abs", inner)
        if first[0] == "neg":
            return inner
    if name in {"min", "max"} and parts[0] == parts[1]:
        return first
    return (name, *parts)


@lru_cache(maxsize=4_096)
def _folded(expression: Expression) -> Expression:
    """Compute an expression of constants as the interpreter does; itself where that is no number."""
    runner = Runner(compile_programs([expression]), block=1)
    value = float(runner.run_values(Lines.of(np.zeros((0, 1))))[0, 0])
    return value if math.isfinite(value) else expression


def _range(value: Expression) -> tuple[float, float]:
    """Bounds that a number never leaves, whatever the features are."""
    if isinstance(value, float):
        exact = float(np.float32(value))
        return exact, exact
    if not isinstance(value, tuple):
        return _INFINITE
    name, *parts = value
    if name == "squash":
        return -1.0, 1.0
    if name == "rank":
        return 0.0, 1.0
    if name in {"abs", "std"}:
        return 0.0, math.inf
    if name in _KEPT_BY_WINDOWS:
        return _range(parts[0])
    if name in {"min", "max"}:
        (low, high), (other_low, other_high) = map(_range, parts)
        pick = min if name == "min" else max
        return pick(low, other_low), pick(high, other_high)
    if name == "if":
        (low, high), (other_low, other_high) = map(_range, parts[1:])
        return min(low, other_low), max(high, other_high)
    return _INFINITE
