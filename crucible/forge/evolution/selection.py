"""Who of a generation lives on, in which order, and what is written down about it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from deap import tools

from crucible.forge.candidates import Breeder, Candidate, NovelQuality, Quality, Score
from crucible.forge.evolution.checkpoint import ForgeState
from crucible.settings import ForgeSettings

# Share of a population that may buy by the same features.
NICHE_SHARE = 0.05
# Candidates closer in size than this are of one size to the selection.
SIZE_STEP = 6
# Below every novelty: whose novelty is not defined stands behind all whose novelty is.
UNKNOWN_NOVELTY = -1.0


@dataclass(frozen=True, slots=True)
class Cases:
    """What DEAP's lexicase reads of a candidate: a value for each case, and which way is better."""

    values: tuple[float, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A candidate as DEAP's lexicase sees it."""

    fitness: Cases
    candidate: Candidate


class Selection:
    """Selects by NSGA-II (score up, drawdown down, size down), or by lexicase.

    Scores are read from the state, where every candidate was written at its evaluation.

    Parameters
    ----------
    breeder : Breeder
    settings : ForgeSettings
    with_novelty : bool
        Whether novelty is an objective, and a case of lexicase, as well.
    """

    def __init__(self, breeder: Breeder, settings: ForgeSettings, *, with_novelty: bool) -> None:
        self._breeder = breeder
        self._most = settings.population
        self._lexicase = settings.selection == "lexicase"
        self._with_novelty = with_novelty

    def score(self, candidate: Candidate, state: ForgeState) -> Score:
        """Return how a candidate did at its evaluation."""
        return Score.from_json(state.seen[self._breeder.key(candidate)])

    def population(self, state: ForgeState) -> list[Candidate]:
        """Read the candidates of a state, best first, each with its fitness."""
        population = [self._breeder.read(document) for document in state.population]
        self._weigh(population, state)
        return population

    def keep(self, candidates: Sequence[Candidate], state: ForgeState) -> list[Candidate]:
        """Select, best first, write the generation down, and return whom it kept.

        By NSGA-II the order is that of rank and crowding; by lexicase, that in which they were
        picked.
        """
        unique = {self._breeder.key(candidate): candidate for candidate in candidates}
        field = self._without_duplicates(list(unique.values()), state)
        self._weigh(field, state)
        fronts = tools.sortLogNondominated(field, len(field))
        ordered = self._picked(field, state) if self._lexicase else _by_crowding(fronts)
        kept = self._with_niches(ordered)
        state.population = [self._breeder.write(candidate) for candidate in kept]
        state.table.append(self._row(kept, len(fronts[0]), state))
        return kept

    def finalists(self, population: list[Candidate], state: ForgeState) -> list[Candidate]:
        """Return the first Pareto front, best training score first, filled up from the rest."""
        judged = [c for c in population if self.score(c, state).judged]
        if not judged:
            return []
        front = tools.sortLogNondominated(judged, len(judged), first_front_only=True)
        by_score = sorted(front, key=lambda c: -self.score(c, state).value)
        members = {id(member) for member in front}
        others = [c for c in judged if id(c) not in members]
        by_score += sorted(others, key=lambda c: -self.score(c, state).value)
        return by_score[: self._breeder.finalists]

    def _weigh(self, candidates: list[Candidate], state: ForgeState) -> None:
        """Give every candidate its fitness."""
        for candidate in candidates:
            score = self.score(candidate, state)
            size = score.size // SIZE_STEP if score.judged else 1e6
            values = (score.value, score.drawdown, size)
            if self._with_novelty:
                candidate.fitness = NovelQuality((*values, _novelty(score)))
            else:
                candidate.fitness = Quality(values)

    def _picked(self, field: list[Candidate], state: ForgeState) -> Iterator[Candidate]:
        """Pick one after the other by epsilon-lexicase, each once; last those not judged.

        For each pick the cases are gone through in an order of its own, and whoever is further
        behind the best than the median absolute deviation of those left is out. Cases are what was
        earned in slices of the training days, and novelty where it is an objective.
        """
        pool = []
        rest = []
        for candidate in field:
            score = self.score(candidate, state)
            if score.judged:
                values = (*score.cases, *([_novelty(score)] if self._with_novelty else []))
                pool.append(Contender(Cases(values, (1.0,) * len(values)), candidate))
            else:
                rest.append(candidate)
        while pool:
            (picked,) = tools.selAutomaticEpsilonLexicase(pool, 1)
            pool.remove(picked)
            yield picked.candidate
        yield from sorted(rest, key=lambda candidate: -self.score(candidate, state).value)

    def _with_niches(self, ordered: Iterable[Candidate]) -> list[Candidate]:
        """Take as many as a population has; whoever is one too many of its niche, only at need."""
        most = max(2, int(self._most * NICHE_SHARE))
        count: Counter[object] = Counter()
        early: list[Candidate] = []
        late: list[Candidate] = []
        for candidate in ordered:
            niche = self._breeder.niche(candidate)
            count[niche] += 1
            (early if count[niche] <= most else late).append(candidate)
            if len(early) == self._most:
                break
        return [*early, *late][: self._most]

    def _without_duplicates(self, field: list[Candidate], state: ForgeState) -> list[Candidate]:
        """Keep the smallest of those that traded alike, as long as enough are left."""
        by_size = sorted(field, key=lambda candidate: self.score(candidate, state).size)
        first: dict[tuple[float, ...], Candidate] = {}
        duplicates = []
        for candidate in by_size:
            score = self.score(candidate, state)
            trace = (score.value, score.drawdown, score.trades, score.net_return)
            if trace in first:
                duplicates.append(candidate)
            else:
                first[trace] = candidate
        missing = max(0, self._most - len(first))
        return [*first.values(), *duplicates[:missing]]

    def _row(self, kept: list[Candidate], front: int, state: ForgeState) -> dict[str, Any]:
        scores = [self.score(candidate, state) for candidate in kept]
        judged = [score for score in scores if score.judged]
        best = max(judged, key=lambda score: score.value, default=None)
        values = [score.value for score in judged]
        row = {
            "generation": state.generation,
            "trials": state.trials,
            "population": len(kept),
            "judged": len(judged),
            "front": front,
            "best_score": best.value if best else None,
            "median_score": float(np.median(values)) if values else None,
            "best_net_return": best.net_return if best else None,
            "best_drawdown": best.drawdown if best else None,
            "best_trades": best.trades if best else None,
            "best_size": best.size if best else None,
            "mean_size": float(np.mean([score.size for score in scores])),
        }
        if self._with_novelty:
            known = [score.novelty for score in judged if not math.isnan(score.novelty)]
            row["median_novelty"] = float(np.median(known)) if known else None
        return row


def _by_crowding(fronts: list[list[Candidate]]) -> list[Candidate]:
    """Order by rank, within a rank the least crowded first."""
    ordered: list[Candidate] = []
    for members in fronts:
        tools.emo.assignCrowdingDist(members)
        ordered.extend(sorted(members, key=lambda c: -c.fitness.crowding_dist))
    return ordered


def _novelty(score: Score) -> float:
    return UNKNOWN_NOVELTY if math.isnan(score.novelty) else score.novelty
