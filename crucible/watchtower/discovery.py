"""Which of many strategies their lives prove: a bound on the share of wrong names among those given.

Each strategy has lived for as long as it has, and has its evidence of gain: the wealth of a bet against
"it earns nothing" (`sequential`), which is an e-value whenever one looks. The more strategies there are,
the more of them look good by chance. The procedure of Wang and Ramdas ("False discovery rate control with
e-values", 2022) names some of them so that the expected share of strategies that earn nothing among the
named is at most the stated rate, however the strategies depend on one another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from crucible.watchtower.sequential import EvidenceError


def proven_by_living(evidence: Mapping[str, float], rate: float, ever: int) -> set[str]:
    """Name the strategies that their forward evidence proves.

    Parameters
    ----------
    evidence : mapping of str to float
        Strategy to its wealth against "no gain", at least 0. Whoever is dead keeps what it had.
    rate : float
        The expected share of wrong names that is accepted, between 0 and 1.
    ever : int
        How many strategies were ever born, those without evidence included; at least as many as
        there are in `evidence`.

    Returns
    -------
    set of str
        The `k` strategies of most evidence, for the largest `k` whose least evidence is at least
        ``ever / (rate * k)``; equal evidence is named together.

    Raises
    ------
    EvidenceError
        If evidence is negative, infinite or NaN, `rate` is not between 0 and 1, or `ever` is too small.

    Examples
    --------
    >>> sorted(proven_by_living({"a": 500.0, "b": 30.0, "c": 20.1, "d": 0.2}, 0.1, 4))
    ['a', 'b', 'c']
    >>> proven_by_living({"a": 30.0}, 0.1, 4)
    set()
    """
    if not 0 < rate < 1:
        message = f"rate of wrong names is {rate}; it must be between 0 and 1"
        raise EvidenceError(message)
    if ever < len(evidence):
        message = f"{len(evidence)} strategies have evidence, but only {ever} were ever born"
        raise EvidenceError(message)
    for name, wealth in evidence.items():
        if not 0 <= wealth < math.inf:
            message = f"{name}: evidence is {wealth}; it must be a number of at least 0"
            raise EvidenceError(message)
    ordered = sorted(evidence.items(), key=lambda item: -item[1])
    named = 0
    for count, (_, wealth) in enumerate(ordered, 1):
        if wealth * rate * count >= ever:
            named = count
    return {name for name, _ in ordered[:named]}
