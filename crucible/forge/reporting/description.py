"""A strategy in plain English: what must be true before it buys, and before it exits."""

from __future__ import annotations

from crucible.strategies.boosted import BoostedStrategy
from crucible.strategies.contract import Exits, Strategy
from crucible.strategies.gp import GpStrategy
from crucible.vm.program import Expression, joined_parts
from crucible.vm.simplify import simplify, truth

PHRASES = {
    "gt": "{0} is above {1}",
    "lt": "{0} is below {1}",
    "cross_above": "{0} has just risen above {1}",
    "cross_below": "{0} has just fallen below {1}",
    "add": "{0} plus {1}",
    "sub": "{0} minus {1}",
    "mul": "{0} times {1}",
    "div": "{0} over {1}, damped near zero",
    "min": "the smaller of {0} and {1}",
    "max": "the larger of {0} and {1}",
    "abs": "the size of {0}",
    "neg": "minus {0}",
    "squash": "{0} squashed between -1 and 1",
    "if": "{1} if {0}, otherwise {2}",
    "lag": "{0} as it was {1} candles ago",
    "diff": "the change of {0} over {1} candles",
    "mean": "the mean of {0} over {1} candles",
    "std": "the standard deviation of {0} over {1} candles",
    "lowest": "the lowest {0} in {1} candles",
    "highest": "the highest {0} in {1} candles",
    "rank": "the rank of {0} among its last {1} values (0 lowest, 1 highest)",
    "zscore": "the z-score of {0} over {1} candles",
    "ema": "the exponential mean of {0} over {1} candles",
}
# Read as one thing wherever they stand: no brackets are needed around them.
WHOLE = frozenset(PHRASES) - {"add", "sub", "mul", "div", "if", "lag", "squash"}
OPPOSITES = {"gt": "{0} is not above {1}", "lt": "{0} is not below {1}"}


def conditions(rule: Expression, indent: str = "") -> list[str]:
    """Tell a rule as indented lines, one condition each.

    Examples
    --------
    >>> conditions(("and", ("gt", "x", 1.0), ("lt", ("mean", "y", 20), 0.0)))
    ['all of these are true:', '  - x is above 1', '  - the mean of y over 20 candles is below 0']
    """
    if isinstance(rule, tuple) and rule[0] in ("and", "or"):
        parts = joined_parts(rule[0], rule)
        heading = "all of these are true:" if rule[0] == "and" else "any of these is true:"
        lines = [heading]
        for part in parts:
            first, *rest = conditions(part, indent + "  ")
            lines += [f"{indent}  - {first}", *rest]
        return lines
    return [sentence(rule)]


def sentence(expression: Expression) -> str:
    """Tell one expression in words."""
    if isinstance(expression, str):
        return expression
    if not isinstance(expression, tuple):
        return f"{expression:g}"
    name, *parts = expression
    if name in ("and", "or"):
        return f" {name} ".join(_held(part) for part in parts)
    if name == "not":
        inner = parts[0]
        if isinstance(inner, tuple) and inner[0] in OPPOSITES:
            return OPPOSITES[inner[0]].format(*map(_held, inner[1:]))
        return f"it is not so that {_held(inner)}"
    return PHRASES[name].format(*map(_held, parts))


def rules(strategy: Strategy) -> dict[str, list[str]]:
    """Tell when a strategy buys and when it exits, as lines, without conditions that cannot matter."""
    if isinstance(strategy, GpStrategy):
        program = simplify(strategy.program)
        assert isinstance(program, tuple)
        return dict(zip(("buy", "exit"), map(_rule, program[1:]), strict=True))
    assert isinstance(strategy, BoostedStrategy)
    probability = "the model's probability that a long trade from here pays its costs is at"
    return {
        "buy": [f"{probability} least {strategy.buy_at:.4f}"],
        "exit": [f"{probability} most {strategy.exit_at:.4f}"],
    }


def _rule(rule: Expression) -> list[str]:
    spoken = {True: ["always"], False: ["never: its rule can never hold"]}
    known = truth(rule)
    return conditions(rule) if known is None else spoken[known]


def exits_in_words(exits: Exits) -> str:
    """Tell a strategy's exits in words."""
    return (
        f"Whatever it wants, a position is closed {exits.stop:.2%} below its entry, "
        f"{exits.target:.2%} above it, after {exits.timeout} candles (as few as half of that when "
        "volatility is up, as many as twice when it is down), or when the market's regime changes."
    )


def spoken_rule(begin: str, lines: list[str]) -> list[str]:
    """Begin a rule's lines with what it decides: "It buys when ...", or "It never buys by a rule of its own".

    Examples
    --------
    >>> spoken_rule("It exits when", ["x is above 1"])
    ['It exits when x is above 1']
    >>> spoken_rule("It exits when", ["never: its rule can never hold"])
    ['It exits never: its rule can never hold']
    """
    first, *rest = lines
    if first.split(":")[0] in {"always", "never"}:
        begin = begin.removesuffix(" when")
    return [f"{begin} {first}", *rest]


def strategy_in_words(strategy: Strategy) -> str:
    """Tell a whole strategy, as text of several lines."""
    reported = rules(strategy)
    kind = "a genetic program" if strategy.kind == "gp" else "a boosted classifier"
    lines = [f"{strategy.symbol}, {kind}.", ""]
    for name, begin in (("buy", "It buys when"), ("exit", "It exits when")):
        lines += spoken_rule(begin, reported[name])
    lines += ["", exits_in_words(strategy.exits)]
    return "\n".join(lines) + "\n"


def _held(part: Expression) -> str:
    """Tell a part, in brackets where it could be misread."""
    text = sentence(part)
    if isinstance(part, tuple) and part[0] not in WHOLE:
        return f"({text})"
    return text
