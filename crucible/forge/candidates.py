"""What every kind of candidate has in common: how it is scored, and what its breeder offers to evolution.

Entry points: `Breeder` (the contract), `score_of` (from outcomes to a score). The genetic and the boosted breeder
both keep it; selection and the gates know nothing else of either.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from deap import base

from crucible.forge.backtest.population import Outcomes
from crucible.forge.backtest.statistics import sharpe
from crucible.forge.validation.novelty import Novelty
from crucible.forge.validation.null_maximum import NullMaximum
from crucible.forge.validation.windows import fewest_trades
from crucible.market.candles import Floats
from crucible.settings import ForgeSettings
from crucible.strategies.contract import Exits, Strategy
from crucible.vm.signals import Signals

Candidate: TypeAlias = Any
"""A candidate of any kind; it has a DEAP ``fitness``."""
Document: TypeAlias = Any
"""JSON values."""

SLICES = 4
# Slices of the training days that lexicase selection looks at.
CASES = 12
FEWEST_TRADES = 10
# Below this a score says "does not trade enough to be judged", and how far it is from doing so.
UNJUDGED = -9.0


class Quality(base.Fitness):
    """Score up, drawdown down, size down."""

    weights = (1.0, -1.0, -1.0)


class NovelQuality(base.Fitness):
    """Score up, drawdown down, size down, novelty up."""

    weights = (1.0, -1.0, -1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Score:
    """How a candidate did on the training window.

    Attributes
    ----------
    value : float
        The worst Sharpe ratio of daily returns with one quarter of the days left out, so that one
        lucky spell cannot carry a candidate; where days are few, the Sharpe ratio of its trades
        times the root of trades a day; below -9 if it traded too little to be judged.
    drawdown : float
    size : float
        Nodes of a program, leaves of a model.
    trades : int
    net_return : float
    sharpe : float
        Of daily returns, or of trades where days are few; NaN where not defined.
    novelty : float
        See `crucible.forge.validation.novelty`; NaN where it is not measured or not defined.
    cases : tuple of float
        Mean daily return of each of up to twelve consecutive slices of the days; empty where the
        selection does not look at slices.
    """

    value: float
    drawdown: float
    size: float
    trades: int
    net_return: float
    sharpe: float
    novelty: float = float("nan")
    cases: tuple[float, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether it traded enough to be judged."""
        return self.value > UNJUDGED

    def to_json(self) -> list[float | None]:
        """Its fields in order, the last two only where there is something; None for NaN."""
        *values, novelty, cases = astuple(self)
        if cases or not math.isnan(novelty):
            values += [novelty, *cases]
        return [None if isinstance(x, float) and math.isnan(x) else x for x in values]

    @classmethod
    def from_json(cls, values: Sequence[Any]) -> Score:
        """Read what `to_json` wrote."""
        value, drawdown, size, trades, net_return, *measured = values
        ratio, *rest = [float("nan") if each is None else each for each in measured]
        return cls(
            value,
            drawdown,
            size,
            trades,
            net_return,
            ratio,
            novelty=rest[0] if rest else float("nan"),
            cases=tuple(rest[1:]),
        )


@dataclass(frozen=True, slots=True)
class Variant:
    """What a slightly moved version of a candidate would trade: signals over all rows, and exits."""

    signals: Signals
    exits: Exits


class Breeder(Protocol):
    """Makes, varies and evaluates the candidates of one kind.

    A candidate is any object with a DEAP ``fitness``. Random choices come from the `random`
    module's global generator.
    """

    finalists: int
    null_maximum: NullMaximum
    """Observes everything that the breeder compares and evaluates on the training window."""
    wanted: float
    """Trades in the training window below which a candidate is not judged."""

    def first(self, count: int) -> list[Candidate]:
        """Random candidates."""

    def children(self, parents: list[Candidate], count: int, seen: set[str]) -> list[Candidate]:
        """Return new candidates from old ones, none of them in `seen`."""

    def newcomers(self, population: int, generation: int) -> int:
        """How many new candidates a generation has for a population of this size."""

    def key(self, candidate: Candidate) -> str:
        """Return what makes two candidates the same trial."""

    def niche(self, candidate: Candidate) -> Hashable:
        """Return what candidates share that look for the same thing."""

    def evaluate(self, candidates: list[Candidate]) -> list[Score]:
        """Score candidates on the training window."""

    def outcomes(self, candidates: list[Candidate], rows: slice) -> Outcomes:
        """Return what evaluated candidates do over a span of rows."""

    def write(self, candidate: Candidate) -> Document:
        """Return a candidate as JSON values."""

    def read(self, document: Document) -> Candidate:
        """Read what `write` wrote."""

    def strategy(self, candidate: Candidate) -> Strategy:
        """Return the strategy that a candidate stands for."""

    def signals(self, candidate: Candidate) -> Signals:
        """Signals over all rows, in training from a model that did not see the row."""

    def variants(self, candidate: Candidate, seed: int, count: int) -> list[Variant]:
        """Return versions of a candidate with slightly moved parameters."""


def score_of(
    outcomes: Outcomes,
    index: int,
    size: float,
    settings: ForgeSettings,
    wanted: float,
    *,
    by_day: bool,
    novelty: Novelty | None = None,
) -> Score:
    """Score one of the outcomes on a training window; with fewer trades than wanted it is not judged."""
    returns = outcomes.daily[index]
    trades = int(outcomes.trades[index])
    trade_sharpe = float(outcomes.trade_sharpe[index])
    # What the daily ratio would be if trades were independent.
    value = trade_sharpe * math.sqrt(trades / len(returns))
    if by_day:
        value = worst_without_a_slice(returns)
    if trades < wanted or math.isnan(value):
        value = UNJUDGED - 1 + min(1.0, trades / wanted)
    return Score(
        value=value,
        drawdown=float(outcomes.drawdown[index]) if value > UNJUDGED else 1.0,
        size=size,
        trades=trades,
        net_return=float(outcomes.net_return[index]),
        sharpe=sharpe(returns) if by_day else trade_sharpe,
        novelty=float("nan") if novelty is None else novelty.of(returns),
        cases=cases_of(returns) if settings.selection == "lexicase" else (),
    )


def cases_of(returns: Floats) -> tuple[float, ...]:
    """Mean daily return of each of `CASES` consecutive slices of the days; of each day if fewer."""
    parts = np.array_split(returns, min(CASES, len(returns)))
    return tuple(float(part.mean()) for part in parts)


def wanted_trades(rows: int, days: int, settings: ForgeSettings) -> float:
    """Trades in a training window below which a candidate is not judged.

    Enough for statistics, whatever a day's count is; more only where the settings ask for so many a day.
    """
    return max(fewest_trades(rows, FEWEST_TRADES), settings.trades_per_day * days)


def worst_without_a_slice(returns: Floats) -> float:
    """Smallest Sharpe ratio with one of four consecutive slices of the days left out.

    With fewer than twelve days the whole is judged at once.
    """
    if len(returns) < 3 * SLICES:
        return sharpe(returns)
    parts = np.array_split(np.arange(len(returns)), SLICES)
    return min(sharpe(np.delete(returns, part)) for part in parts)
