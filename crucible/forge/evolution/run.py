"""One forge run, generation by generation: breed, score, select, then judge the best.

`ForgeRun` holds what does not change; `ForgeState` holds what does. A state saved after generation k
and advanced elsewhere gives the same population, bit for bit, as one that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from crucible.features.frame import FeatureFrame
from crucible.forge.backtest.engine import Market, backtest
from crucible.forge.backtest.statistics import YEAR_DAYS, sharpe
from crucible.forge.boosted.breeder import BoostedBreeder
from crucible.forge.candidates import Breeder, Candidate
from crucible.forge.evolution.checkpoint import (
    CheckpointError,
    ForgeState,
    random_state,
    restore_random,
)
from crucible.forge.evolution.choice import VARIANTS, Choice
from crucible.forge.evolution.curves import TRAIN, VALIDATION, ending
from crucible.forge.evolution.generator import drawing_from
from crucible.forge.evolution.selection import Selection
from crucible.forge.genetic.breeder import ProgramBreeder
from crucible.forge.result import Curve, ForgeResult, Gate, Refusal, WindowReport
from crucible.forge.revision import code_revision, source_hash
from crucible.forge.span import Span
from crucible.forge.validation.cross_validation import cross_validate, groups_of
from crucible.forge.validation.gates import Evidence, Material, judge, measured_early
from crucible.forge.validation.novelty import Incumbents, Novelty
from crucible.forge.validation.null_maximum import NullMaximum, effective_trials, merged
from crucible.forge.validation.policy import Policy, read_policy
from crucible.forge.validation.windows import cut, limits_for
from crucible.market.candles import Candles, Floats
from crucible.market.funding import Funding, charged
from crucible.settings import ForgeSettings, Slot
from crucible.strategies.contract import Strategy
from crucible.vm.signals import Signals

# Fewer training days than this, and Sharpe ratios are of trades.
FEWEST_DAYS = 10
# Nobody is a champion who fails this one, whatever the policy binds.
REFUTING = "validation_return"
# Settings that decide which candles are used, how long the search goes on, and where it is computed: none of them
# changes a generation on given candles.
NO_PART = {"generations", "dask", "patience", "max_candles", "memory_gb"}


class ForgeRun:
    """Evolve one specialist for one slot.

    Parameters
    ----------
    slot : Slot
        Its kind decides between genetic programs and boosted classifiers.
    candles : Candles
        n candles; see `span`.
    frame : FeatureFrame
        Features of the same n candles.
    settings : ForgeSettings
    seed : int
        Same seed and same inputs, same result.
    prior_trials : int
        Candidates evaluated for the slot by earlier forge runs.
    policy : Policy, optional
        Default: the settings' profile of mlflow/policy.toml.
    incumbents : Incumbents, optional
        What the incumbents earned. Unlikeness to them is then an objective, if
        any of them can be compared with; `novelty.says` tells.
    funding : Funding, optional
        Charged to whoever holds over a settlement, where it is known.
    prior_effective : float, optional
        Effective number of the prior trials; as many as there were by default.
    span : Span, optional
        Which candles these are, of those that were given; by default as many of them are used as the settings' bounds
        let in.

    Raises
    ------
    ForgeError
        If candles and features do not match, are too few, or no feature varies.

    Examples
    --------
    A generation at a time, as the flow does::

        forge_run = ForgeRun(slot, candles, frame, settings, seed=7)
        state = forge_run.start()
        for _ in range(settings.generations):
            state = forge_run.advance(state)
            state.save(path)
        result = forge_run.finish(state)
    """

    def __init__(
        self,
        slot: Slot,
        candles: Candles,
        frame: FeatureFrame,
        settings: ForgeSettings,
        seed: int,
        prior_trials: int = 0,
        policy: Policy | None = None,
        incumbents: Incumbents | None = None,
        funding: Funding | None = None,
        prior_effective: float | None = None,
        span: Span | None = None,
    ) -> None:
        self.span = span or Span.of(candles, len(frame.schema.names), settings, slot.kind)
        newest = slice(-self.span.used, None)
        candles = candles[newest]
        frame = replace(frame, ts=frame.ts[newest], values=frame.values[newest])
        self.slot = slot
        self.settings = settings
        self.seed = seed
        self.prior_trials = prior_trials
        self.prior_effective = prior_trials if prior_effective is None else prior_effective
        self.policy = policy or read_policy(settings.policy)
        self.funding = funding or Funding.none_of(candles.symbol)
        self.market = Market.of(candles, frame, charged(funding, candles.ts))
        self.frame = frame
        self.windows = cut(len(candles), settings, candles.symbol)
        train_days = np.unique(self.market.day[self.windows.train])
        self.by_day = len(train_days) >= FEWEST_DAYS
        self.incumbents = incumbents
        whole = train_days < self.market.day[self.windows.train.stop]
        self.novelty = Novelty(incumbents, train_days, int(whole.sum()))
        self._null_maximum = NullMaximum(seed, len(train_days))
        self.data_hash = candles.data_hash()
        self.identity = self._identity()
        self._breeder = self._make_breeder()
        self._selection = Selection(self._breeder, settings, with_novelty=bool(self.novelty.agents))
        self._choice = Choice(self._breeder, self.market, self.windows, settings, seed)

    def count_earlier(self, trials: int, effective: float | None = None) -> None:
        """Judge by a newer count of what was tried for the slot before, or beside, this forge run.

        It changes the gates and what is told, never the search.
        """
        self.prior_trials = max(self.prior_trials, trials)
        newer = trials if effective is None else effective
        self.prior_effective = max(self.prior_effective, newer)

    def effective(self, state: ForgeState) -> float:
        """Count the trials of the slot as if independent: those of this forge run, and those before it.

        Of a training window of few days they are not told apart: all of them count.
        """
        found = (
            effective_trials(state.null_maxima, self._null_maximum.days) if self.by_day else None
        )
        own = state.trials if found is None else min(found, state.trials)
        return float(self.prior_effective + own)

    def start(self, island: int = 0) -> ForgeState:
        """Evaluate a random population: generation 0.

        Parameters
        ----------
        island : int
            Islands of one forge run draw from generators of their own.
        """
        own = self.seed if island == 0 else f"{self.seed} island {island}"
        state = ForgeState(
            identity=self.identity,
            generation=0,
            population=[],
            seen={},
            python_random=random_state(random.Random(own).getstate()),
            trials=0,
        )
        with self._drawing(state):
            newcomers = self._breeder.first(self._breeder.newcomers(self.settings.population, 0))
            self._evaluate(newcomers, state)
            self._keep(newcomers, state)
        return state

    def advance(self, state: ForgeState) -> ForgeState:
        """Breed, evaluate and select one generation; the given state is left as it was.

        Raises
        ------
        CheckpointError
            If the state belongs to other data, settings, seed or code.
        """
        self._require_ours(state)
        state = replace(
            state,
            generation=state.generation + 1,
            seen=dict(state.seen),
            table=list(state.table),
        )
        with self._drawing(state):
            parents = self._selection.population(state)
            count = self._breeder.newcomers(self.settings.population, state.generation)
            children = self._breeder.children(parents, count, set(state.seen))
            self._evaluate(children, state)
            self._keep([*parents, *children], state)
        return state

    def merge(
        self, state: ForgeState, others: Sequence[ForgeState], most: int | None = None
    ) -> ForgeState:
        """Select one population from a state's own and others' of the same generation.

        The newest row of the table tells the merged population; generators and trials are the
        state's own. The given states are left as they were.

        Parameters
        ----------
        state : ForgeState
        others : sequence of ForgeState
        most : int, optional
            How many of the best of each other are taken in; all by default.

        Raises
        ------
        CheckpointError
            If a state belongs to other data, settings, seed or code.
        """
        both = replace(state, seen=dict(state.seen), table=list(state.table[:-1]))
        # Islands share their signs: what any of them looked at could have been chosen.
        both.null_maxima = merged([each.null_maxima for each in (state, *others)])
        field = []
        for held in (state, *others):
            self._require_ours(held)
            for document in held.population[: None if held is state else most]:
                candidate = self._breeder.read(document)
                key = self._breeder.key(candidate)
                both.seen.setdefault(key, held.seen[key])
                field.append(candidate)
        with self._drawing(both):
            self._keep(field, both)
        return both

    def run(self) -> ForgeResult:
        """All generations of the settings, start to finish."""
        state = self.start()
        while state.generation < self.settings.generations and not self.ending(state.table):
            state = self.advance(state)
        return self.finish(state)

    def ending(self, table: Sequence[Mapping[str, Any]]) -> str:
        """Say why the search ends before its last generation; empty where it goes on."""
        return ending(table, self.settings.patience)

    def finish(self, state: ForgeState) -> ForgeResult:
        """Let validation choose, the gates judge, and open the hold-out window once.

        Raises
        ------
        CheckpointError
            If the state belongs to other data, settings, seed or code.
        """
        self._require_ours(state)
        population = self._selection.population(state)
        finalists = self._selection.finalists(population, state)
        if not finalists:
            return self._nobody(population, state)
        chosen = self._choice.best(finalists)
        strategy = self._breeder.strategy(chosen)
        signals = self._breeder.signals(chosen)
        known = slice(self.windows.train.start, self.windows.validation.stop)
        if self.policy.binds_evidence:
            gates = measured_early(self.policy, signals, strategy.exits, self._material())
            if self.policy.refusing(gates) is not None:
                return self._result(state, strategy, signals, gates)
        groups = groups_of(known, self._choice.purge(finalists))
        cross = cross_validate([self._breeder.outcomes(finalists, g).daily for g in groups])
        gates = judge(
            Evidence(
                strategy=strategy,
                signals=signals,
                variants=self._breeder.variants(chosen, self.seed, VARIANTS),
                frame=self.frame,
                material=self._material(),
                trials=self.prior_trials + state.trials,
                effective=self.effective(state),
                by_day=self.by_day,
                field=self._breeder.outcomes(population, known).daily,
                unseen=self._choice.unseen(finalists),
                cross=cross,
                seed=self.seed,
            ),
            self.policy,
        )
        result = self._result(state, strategy, signals, gates)
        novelty = self._selection.score(chosen, state).novelty
        return replace(
            result,
            folds=cross.folds,
            paths=cross.paths,
            novelty=None if math.isnan(novelty) else novelty,
        )

    # --- judging ---------------------------------------------------------------------------------

    def _evaluate(self, candidates: list[Candidate], state: ForgeState) -> None:
        for candidate, score in zip(candidates, self._breeder.evaluate(candidates), strict=True):
            state.seen[self._breeder.key(candidate)] = score.to_json()
            state.trials += candidate.trial_count

    def _keep(self, candidates: list[Candidate], state: ForgeState) -> None:
        """Select, and write down beside the generation how its finalists do in training and in validation."""
        kept = self._selection.keep(candidates, state)
        finalists = self._selection.finalists(kept, state)
        row = state.table[-1]
        row[TRAIN] = self._median([self._selection.score(each, state).sharpe for each in finalists])
        outcomes = self._breeder.outcomes(finalists, self.windows.validation)
        ratios = outcomes.trade_sharpe
        if self.by_day:
            ratios = np.array([sharpe(returns) for returns in outcomes.daily])
        row[VALIDATION] = self._median(ratios)

    def _median(self, ratios: Sequence[float] | Floats) -> float | None:
        """Median of the ratios that are defined, annual where they are of days; None without any."""
        known = np.array(ratios)[np.isfinite(ratios)] if len(ratios) else np.empty(0)
        if len(known) == 0:
            return None
        return float(np.median(known)) * (YEAR_DAYS**0.5 if self.by_day else 1.0)

    def _material(self) -> Material:
        """Give what the gates trade on."""
        return Material(self.market, self.windows, self.settings.costs, self._breeder.wanted)

    # --- results ---------------------------------------------------------------------------------

    def _nobody(self, population: list[Candidate], state: ForgeState) -> ForgeResult:
        """Refuse: nothing traded enough to be judged."""
        most = max((self._selection.score(c, state).trades for c in population), default=0)
        gate = self.policy.gate("trades_train", most, "most trades of any candidate in training")
        wanted = max(gate.threshold, self._breeder.wanted)
        # Enough trades but nothing to judge: they all earned the same, so there is no ratio.
        value = gate.value if gate.value < wanted else float("nan")
        return self._result(state, None, None, (replace(gate, value=value, threshold=wanted),))

    def _result(
        self,
        state: ForgeState,
        candidate: Strategy | None,
        signals: Signals | None,
        gates: tuple[Gate, ...],
    ) -> ForgeResult:
        binding = self.policy.refusing(gates)
        failed = binding or next((g for g in gates if g.name == REFUTING and not g.passed), None)
        return ForgeResult(
            slot=self.slot,
            champion=None if failed else candidate,
            registrable=candidate is not None and binding is None,
            refusal=Refusal(failed.name, failed.value, failed.threshold) if failed else None,
            candidate=candidate,
            gates=gates,
            proven=all(gate.passed for gate in gates),
            generations=state.table,
            windows=self._window_reports(candidate, signals),
            curve=self._curve(candidate, signals),
            trials=self.prior_trials + state.trials,
            effective_trials=self.effective(state),
            effective_own=self.effective(state) - self.prior_effective,
            span=self.span,
            ended=self.ending(state.table),
            policy=self.policy.name,
            seed=self.seed,
            data_hash=self.data_hash,
            funding=self.funding.describe(self.market.candles.ts),
            feature_schema=self.frame.schema.hash,
            code_revision=code_revision(),
        )

    def _window_reports(
        self, strategy: Strategy | None, signals: Signals | None
    ) -> tuple[WindowReport, ...]:
        candles = self.market.candles
        reports = []
        for name, rows in self.windows.spans().items():
            summary: dict[str, float | int | None] = {}
            if strategy is not None and signals is not None:
                costs = self.settings.costs
                summary = backtest(signals, self.market, strategy.exits, costs, rows).summary()
            reports.append(
                WindowReport(
                    name=name,
                    first_ts=int(candles.ts[rows.start]),
                    last_ts=int(candles.close_ts[rows.stop - 1]),
                    candles=rows.stop - rows.start,
                    opened=1 if summary or name != "sealed" else 0,
                    summary=summary,
                )
            )
        return tuple(reports)

    def _curve(self, strategy: Strategy | None, signals: Signals | None) -> Curve | None:
        if strategy is None or signals is None:
            return None
        test = backtest(signals, self.market, strategy.exits, self.settings.costs)
        candles = self.market.candles
        return Curve(test.ts, test.equity, candles.close / candles.open[0])

    # --- inner -----------------------------------------------------------------------------------

    def _make_breeder(self) -> Breeder:
        limits = limits_for(len(self.market))
        if self.slot.kind == "boosted":
            return BoostedBreeder(
                self.slot,
                self.frame,
                self.market,
                self.windows,
                limits,
                self.settings,
                self._null_maximum,
                self.seed,
                by_day=self.by_day,
                novelty=self.novelty,
            )
        return ProgramBreeder(
            self.slot,
            self.frame,
            self.market,
            self.windows,
            limits,
            self.settings,
            self._null_maximum,
            by_day=self.by_day,
            novelty=self.novelty,
        )

    def _identity(self) -> str:
        digest = hashlib.sha256()
        for part in (
            self.slot.name,
            self.seed,
            self.prior_trials,
            self.data_hash,
            self.frame.schema.hash,
            self.settings.model_dump_json(exclude=NO_PART),
            source_hash(),
            self.incumbents.digest() if self.incumbents else None,
        ):
            digest.update(json.dumps(part).encode())
        digest.update(np.ascontiguousarray(self.frame.values).data)
        if self.market.funding is not None:
            digest.update(np.ascontiguousarray(self.market.funding).data)
        return digest.hexdigest()[:32]

    def _require_ours(self, state: ForgeState) -> None:
        if state.identity != self.identity:
            message = (
                f"the state of generation {state.generation} belongs to another forge run "
                f"({state.identity}, not {self.identity}): data, settings, seed or code differ; "
                "start again"
            )
            raise CheckpointError(message)

    @contextmanager
    def _drawing(self, state: ForgeState) -> Iterator[None]:
        """Lend the breeders and DEAP the state's generator, and go on from what the state has looked at."""
        generator = random.Random()
        generator.setstate(restore_random(state.python_random))
        self._null_maximum.restore(state.null_maxima)
        with drawing_from(generator):
            yield
        state.null_maxima = self._null_maximum.state()
        state.python_random = random_state(generator.getstate())
