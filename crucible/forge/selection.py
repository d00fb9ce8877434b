"""Who of a generation lives on, in which order, and what is written down about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from deap import tools

from crucible.forge.breeding import Breeder, Candidate, Score
from crucible.forge.checkpoint import ForgeState

# Share of a population that may buy by the same features.
NICHE_SHARE = 0.05
# Candidates closer in size than this are of one size to the selection.
SIZE_STEP = 6


class Selection:
    """Selects by NSGA-II: score up, drawdown down, size down.

    Scores are read from the state, where every candidate was written at its evaluation.

    Parameters
    ----------
    breeder : Breeder
    most : int
        Size of a population.
    """

    def __init__(self, breeder: Breeder, most: int) -> None:
        self._breeder = breeder
        self._most = most

    def score(self, candidate: Candidate, state: ForgeState) -> Score:
        """Return how a candidate did at its evaluation."""
        return Score.from_json(state.seen[self._breeder.key(candidate)])

    def population(self, state: ForgeState) -> list[Candidate]:
        """Read the candidates of a state, best first, each with its fitness."""
        population = [self._breeder.read(document) for document in state.population]
        self._weigh(population, state)
        return population

    def keep(self, candidates: Sequence[Candidate], state: ForgeState) -> None:
        """Select by NSGA-II, order by rank and crowding, and write the generation down."""
        unique = {self._breeder.key(candidate): candidate for candidate in candidates}
        field = self._without_twins(list(unique.values()), state)
        self._weigh(field, state)
        kept: list[Candidate] = []
        front = 0
        for number, members in enumerate(tools.sortNondominated(field, len(field))):
            tools.emo.assignCrowdingDist(members)
            kept.extend(sorted(members, key=lambda c: -c.fitness.crowding_dist))
            front = len(members) if number == 0 else front
        kept = self._with_niches(kept)[: self._most]
        state.population = [self._breeder.write(candidate) for candidate in kept]
        state.table.append(self._row(kept, front, state))

    def finalists(self, population: list[Candidate], state: ForgeState) -> list[Candidate]:
        """Return the first Pareto front, best training score first, filled up from the rest."""
        judged = [c for c in population if self.score(c, state).judged]
        front = (
            tools.sortNondominated(judged, len(judged), first_front_only=True)[0] if judged else []
        )
        by_score = sorted(front, key=lambda c: -self.score(c, state).value)
        others = [c for c in judged if not any(c is member for member in front)]
        by_score += sorted(others, key=lambda c: -self.score(c, state).value)
        return by_score[: self._breeder.finalists]

    def _weigh(self, candidates: list[Candidate], state: ForgeState) -> None:
        """Give every candidate its fitness."""
        for candidate in candidates:
            score = self.score(candidate, state)
            size = score.size // SIZE_STEP if score.judged else 1e6
            candidate.fitness.values = (score.value, score.drawdown, size)

    def _with_niches(self, ordered: list[Candidate]) -> list[Candidate]:
        """Move whoever is one too many of its niche behind all others, the order else kept."""
        most = max(2, int(self._most * NICHE_SHARE))
        count: Counter[object] = Counter()
        early: list[Candidate] = []
        late: list[Candidate] = []
        for candidate in ordered:
            niche = self._breeder.niche(candidate)
            count[niche] += 1
            (early if count[niche] <= most else late).append(candidate)
        return [*early, *late]

    def _without_twins(self, field: list[Candidate], state: ForgeState) -> list[Candidate]:
        """Keep the smallest of those that traded alike, as long as enough are left."""
        by_size = sorted(field, key=lambda candidate: self.score(candidate, state).size)
        first: dict[tuple[float, ...], Candidate] = {}
        twins = []
        for candidate in by_size:
            score = self.score(candidate, state)
            trace = (score.value, score.drawdown, score.trades, score.net_return)
            if trace in first:
                twins.append(candidate)
            else:
                first[trace] = candidate
        missing = max(0, self._most - len(first))
        return [*first.values(), *twins[:missing]]

    def _row(self, kept: list[Candidate], front: int, state: ForgeState) -> dict[str, Any]:
        scores = [self.score(candidate, state) for candidate in kept]
        judged = [score for score in scores if score.judged]
        best = max(judged, key=lambda score: score.value, default=None)
        values = [score.value for score in judged]
        return {
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
