"""Whether more placebos are promoted or proven than the stated rates allow.

A placebo enters at random. If the Watchtower's rates hold, each of its lives is promoted with probability at most
``1 - promote_confidence`` and reaches the evidence of a lived proof with probability at most ``lived_rate``, whatever
happened before. The count is looked at every quarter of a market hour, for as long as the factory runs: the tail of a
binomial distribution, at one in a hundred, would sound a false alarm in more than five workspaces of a hundred. So a bet is placed on each life
instead (`excess`), and the alarm is sounded at most once in a hundred workspaces, however often one looks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.special import betainc, betaln

from crucible.ledger.reader import PlaceboLife
from crucible.watchtower.sequential import MOST_LOG_WEALTH

ALARM_AT = 100.0
"""Evidence of too many: without excess it is reached in at most one workspace of so many."""


@dataclass(frozen=True, slots=True)
class Excess:
    """How many lives came to something that at most a stated share may come to.

    Attributes
    ----------
    what : str
        ``promoted`` or ``proven``.
    lives, count : int
        All that ever began, and how many of them came to it.
    rate : float
        Stated share.
    evidence : float
        Wealth of the bet that the share is larger; 1 before the first life.
    """

    what: str
    lives: int
    count: int
    rate: float
    evidence: float

    @property
    def is_alarm(self) -> bool:
        """Whether there are more than the stated share allows."""
        return self.evidence >= ALARM_AT

    @property
    def sentence(self) -> str:
        """Say it in words."""
        stated = f"{self.count} of {self.lives} {self.what}, stated at most {self.rate:.0%}"
        if not self.is_alarm:
            return stated
        return f"{stated} (evidence of more {self.evidence:.0f}, alarm from {ALARM_AT:.0f})"


@dataclass(frozen=True, slots=True)
class PlaceboCheck:
    """What all lives of placebos say of the Watchtower's rates."""

    promoted: Excess
    proven: Excess

    @property
    def is_alarm(self) -> bool:
        """Whether a stated rate does not hold."""
        return self.promoted.is_alarm or self.proven.is_alarm

    @property
    def sentence(self) -> str:
        """Say it in a sentence, for every page."""
        if not self.promoted.lives:
            return "Placebos: none has lived yet"
        counts = f"Placebos: {self.promoted.sentence}; {self.proven.sentence}"
        if not self.is_alarm:
            return counts
        return (
            f"ALARM: {counts}; agents that enter at random do better than stated, so a promotion or a lived proof "
            "says less here than it claims"
        )

    def to_json(self) -> dict[str, Any]:
        """Give counts, rates, evidence, alarm and sentence as JSON values."""
        figures = {each.what: asdict(each) for each in (self.promoted, self.proven)}
        return {**figures, "alarm": self.is_alarm, "sentence": self.sentence}


def check_placebos(
    lives: Sequence[PlaceboLife],
    symbols: Collection[str],
    promote_rate: float,
    prove_rate: float,
) -> PlaceboCheck:
    """Check the stated rates against every life of a placebo that ever began.

    Lives of one symbol follow one another, those of two symbols share a market: evidence is multiplied within a
    symbol (`excess`) and averaged over symbols, which holds whatever the symbols have in common.

    Parameters
    ----------
    lives : sequence of PlaceboLife
        Ended or under way: of these nothing has come yet.
    symbols : collection of str
        All that may have placebos; one without a life says nothing.
    promote_rate, prove_rate : float
        Largest stated shares of lives that are promoted, and proven.

    Examples
    --------
    >>> lucky = [PlaceboLife("BTCUSDT-placebo-1@1", "BTCUSDT", 0, "promote", 5.0)] * 4
    >>> check_placebos(lucky[:3], ["BTCUSDT"], 0.2, 0.05).is_alarm
    False
    >>> check_placebos(lucky, ["BTCUSDT"], 0.2, 0.05).is_alarm
    True
    """
    names = {*symbols, *(life.symbol for life in lives)}
    began = Counter(life.symbol for life in lives)

    def measured(what: str, reached: Counter[str], rate: float) -> Excess:
        evidence = [excess(began[name], reached[name], rate) for name in names]
        mean = math.fsum(evidence) / len(evidence) if evidence else 1.0
        return Excess(what, len(lives), reached.total(), rate, mean)

    return PlaceboCheck(
        measured(
            "promoted",
            Counter(life.symbol for life in lives if life.verdict == "promote"),
            promote_rate,
        ),
        measured(
            "proven",
            Counter(life.symbol for life in lives if life.evidence >= 1.0 / prove_rate),
            prove_rate,
        ),
    )


def excess(lives: int, count: int, rate: float) -> float:
    """Evidence that lives come to something more often than at a rate, valid at every look.

    For a share q above the rate p, a life that comes to it multiplies a stake by q / p and another by
    (1 - q) / (1 - p). At no share up to p is anything won in expectation. Stakes are spread evenly over all q
    from p to 1 (Robbins 1970, "Statistical methods related to the law of the iterated logarithm"). A life counts as
    one that came to nothing from its beginning: one that is still to decide never helps.

    Parameters
    ----------
    lives, count : int
        That began, and that came to it.
    rate : float
        Above 0 and below 1.

    Returns
    -------
    float
        At least 0; 1 for no life. Where the rate holds it ever reaches ``1 / alpha`` with probability at most
        ``alpha``.

    Examples
    --------
    >>> excess(0, 0, 0.2), round(excess(1, 1, 0.2), 9)
    (1.0, 3.0)
    """
    above = float(betainc(lives - count + 1, count + 1, 1.0 - rate))
    if above == 0.0:
        return 0.0
    log_wealth = (
        float(betaln(count + 1, lives - count + 1))
        + math.log(above)
        - count * math.log(rate)
        - (lives - count + 1) * math.log1p(-rate)
    )
    return math.exp(min(log_wealth, MOST_LOG_WEALTH))
