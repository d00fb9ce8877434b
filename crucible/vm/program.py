"""The language of genetic programs: operators, their types, and reading a program from JSON.

A program is nested lists: ``["trade", buy, exit]`` at the root, an operator's name at the head of
every list, a string for a feature and a number for a constant or a lookback, for example
``["trade", ["gt", "rsi_14", 0.7], ["lt", ["mean", "return_1", 20], 0]]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias, TypeGuard

from crucible.errors import StrategyError

SHORTEST_LOOKBACK = 2
LONGEST_LOOKBACK = 240
MOST_NODES = 400
DEEPEST = 40
LARGEST_CONSTANT = 3.4e38
# An ema forgets the first value it saw to below 32-bit precision after this many lookbacks.
EMA_MEMORY = 8

Json: TypeAlias = Any
"""JSON values."""
Expression: TypeAlias = "float | int | str | tuple[Any, ...]"


class ValueType(StrEnum):
    """What an argument or a result may be."""

    RATIO = "ratio"
    BOUNDED = "bounded"
    BOOLEAN = "boolean"
    WINDOW = "window"
    SIGNAL = "signal"


@dataclass(frozen=True, slots=True)
class Operator:
    """One word of the language.

    Attributes
    ----------
    name : str
        Head of the JSON list.
    code : int
        What the interpreter switches on; never reused for another meaning.
    arguments : tuple of ValueType
    returns : ValueType
        ``BOUNDED`` (within -1 and 1) may stand wherever a ``RATIO`` is wanted.
    commutative : bool
        Whether the order of the arguments cannot change the result.
    """

    name: str
    code: int
    arguments: tuple[ValueType, ...]
    returns: ValueType
    commutative: bool = False


_R, _B, _L, _W = ValueType.RATIO, ValueType.BOUNDED, ValueType.BOOLEAN, ValueType.WINDOW

OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Operator("add", 0, (_R, _R), _R, commutative=True),
        Operator("sub", 1, (_R, _R), _R),
        Operator("mul", 2, (_R, _R), _R, commutative=True),
        Operator("div", 3, (_R, _R), _R),
        Operator("min", 4, (_R, _R), _R, commutative=True),
        Operator("max", 5, (_R, _R), _R, commutative=True),
        Operator("gt", 6, (_R, _R), _L),
        Operator("lt", 7, (_R, _R), _L),
        Operator("and", 8, (_L, _L), _L, commutative=True),
        Operator("or", 9, (_L, _L), _L, commutative=True),
        Operator("cross_above", 10, (_R, _R), _L),
        Operator("cross_below", 11, (_R, _R), _L),
        Operator("abs", 20, (_R,), _R),
        Operator("neg", 21, (_R,), _R),
        Operator("squash", 22, (_R,), _B),
        Operator("not", 23, (_L,), _L),
        Operator("if", 30, (_L, _R, _R), _R),
        Operator("lag", 40, (_R, _W), _R),
        Operator("diff", 41, (_R, _W), _R),
        Operator("mean", 42, (_R, _W), _R),
        Operator("std", 43, (_R, _W), _R),
        Operator("lowest", 44, (_R, _W), _R),
        Operator("highest", 45, (_R, _W), _R),
        Operator("rank", 46, (_R, _W), _B),
        Operator("zscore", 47, (_R, _W), _R),
        Operator("ema", 48, (_R, _W), _R),
        Operator("trade", 60, (_L, _L), ValueType.SIGNAL),
    )
}


def parse_program(value: object) -> Expression:
    """Read a program from JSON values and check every type in it.

    Parameters
    ----------
    value : object
        Nested lists as described above.

    Returns
    -------
    tuple
        The same program as nested tuples, hashable.

    Raises
    ------
    StrategyError
        Naming the path of the first unknown operator, wrong argument count, wrong type, constant
        that is not finite or lookback out of range; or a program too large or too deep.

    Examples
    --------
    >>> parse_program(["trade", ["gt", "x", 1], ["lt", "x", 0]])
    ('trade', ('gt', 'x', 1.0), ('lt', 'x', 0.0))
    """
    program = _parse(value, ValueType.SIGNAL, "program", 0)
    size = node_count(program)
    if size > MOST_NODES:
        message = f"program has {size} nodes, more than {MOST_NODES}; use a smaller one"
        raise StrategyError(message)
    return program


def expression_to_json(expression: Expression) -> Json:
    """Nested tuples back to nested lists."""
    if isinstance(expression, tuple):
        return [expression[0], *(expression_to_json(part) for part in expression[1:])]
    return expression


def node_count(expression: Expression) -> int:
    """How many operators, features, constants and lookbacks an expression holds."""
    if isinstance(expression, tuple):
        return 1 + sum(node_count(part) for part in expression[1:])
    return 1


def features_of(expression: Expression) -> tuple[str, ...]:
    """Names of the features an expression reads, sorted."""
    return tuple(sorted({leaf for leaf in _leaves(expression) if isinstance(leaf, str)}))


def lookback(expression: Expression) -> int:
    """Rows an expression must have seen before its value no longer depends on the start.

    An ema counts eight of its lookbacks: what came before weighs less than 32-bit precision.
    """
    if not isinstance(expression, tuple):
        return 1
    name = expression[0]
    inner = max(lookback(part) for part in expression[1:])
    if name in ("lag", "diff"):
        return inner + int(expression[2])
    if name == "ema":
        return inner + EMA_MEMORY * int(expression[2])
    if name in ("cross_above", "cross_below"):
        return inner + 1
    if OPERATORS[name].code >= OPERATORS["mean"].code and name != "trade":
        return inner + int(expression[2]) - 1
    return inner


def joined_parts(name: str, rule: Expression) -> list[Expression]:
    """Give what nested rules of the same word join, in order; the rule itself where it is of another.

    Examples
    --------
    >>> joined_parts("and", ("and", "a", ("and", "b", ("or", "c", "d"))))
    ['a', 'b', ('or', 'c', 'd')]
    """
    if isinstance(rule, tuple) and rule[0] == name:
        return [part for inner in rule[1:] for part in joined_parts(name, inner)]
    return [rule]


def canonical(expression: Expression) -> Expression:
    """Order the arguments of commutative operators, so that equal programs look equal."""
    if not isinstance(expression, tuple):
        return expression
    parts = [canonical(part) for part in expression[1:]]
    if OPERATORS[expression[0]].commutative:
        parts.sort(key=repr)
    return (expression[0], *parts)


def _leaves(expression: Expression) -> Iterator[Expression]:
    if isinstance(expression, tuple):
        for part in expression[1:]:
            yield from _leaves(part)
    else:
        yield expression


def _parse(value: object, wanted: ValueType, path: str, depth: int) -> Expression:
    if depth > DEEPEST:
        message = f"{path}: deeper than {DEEPEST} operators; use a flatter program"
        raise StrategyError(message)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _parse_operator(value, wanted, path, depth)
    if wanted is ValueType.WINDOW:
        return _parse_window(value, path)
    if wanted not in (ValueType.RATIO, ValueType.BOUNDED):
        message = (
            f"{path}: {_short(value)} stands where a {wanted} is wanted; use an operator there"
        )
        raise StrategyError(message)
    if isinstance(value, str) and value:
        return value
    # Programs compute in 32-bit numbers; comparing works for whole numbers of any size.
    if _is_number(value) and -LARGEST_CONSTANT <= value <= LARGEST_CONSTANT:
        return float(value)
    message = (
        f"{path}: {_short(value)} is neither an operator, a feature name nor a finite number "
        f"within {LARGEST_CONSTANT:g}"
    )
    raise StrategyError(message)


def _parse_operator(
    value: Sequence[object], wanted: ValueType, path: str, depth: int
) -> Expression:
    name = value[0] if value else None
    operator = OPERATORS.get(name) if isinstance(name, str) else None
    if operator is None:
        message = f"{path}: unknown operator {_short(name)}; known: {', '.join(OPERATORS)}"
        raise StrategyError(message)
    fits = operator.returns is wanted or (
        wanted is ValueType.RATIO and operator.returns is ValueType.BOUNDED
    )
    if not fits:
        message = f"{path}: {operator.name} gives a {operator.returns} where a {wanted} is wanted"
        raise StrategyError(message)
    if len(value) - 1 != len(operator.arguments):
        message = (
            f"{path}: {operator.name} takes {len(operator.arguments)} arguments, "
            f"not {len(value) - 1}"
        )
        raise StrategyError(message)
    parts = [
        _parse(part, argument, f"{path}.{operator.name}[{index}]", depth + 1)
        for index, (part, argument) in enumerate(zip(value[1:], operator.arguments, strict=True))
    ]
    return (operator.name, *parts)


def _parse_window(value: object, path: str) -> int:
    if _is_number(value) and SHORTEST_LOOKBACK <= value <= LONGEST_LOOKBACK and int(value) == value:
        return int(value)
    message = (
        f"{path}: lookback {_short(value)} is not a whole number of candles "
        f"from {SHORTEST_LOOKBACK} to {LONGEST_LOOKBACK}"
    )
    raise StrategyError(message)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: object) -> str:
    if isinstance(value, int) and abs(value) > 10**20:
        return f"a whole number of {value.bit_length()} bits"
    text = repr(value) if not isinstance(value, (list, tuple, dict)) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
