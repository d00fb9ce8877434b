"""One forge run, generation by generation: breed, score, select, then judge the best.

`ForgeRun` holds what does not change; `ForgeState` holds what does. A state saved after generation k
and advanced elsewhere gives the same population, bit for bit, as one that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from crucible.features.frame import FeatureFrame
from crucible.forge.backtest.engine import Market, backtest, daily_returns
from crucible.forge.backtest.statistics import sharpe
from crucible.forge.boosted.breeder import BoostedBreeder
from crucible.forge.candidates import Breeder, Candidate, Variant, fewest_trades
from crucible.forge.evolution.checkpoint import (
    CheckpointError,
    ForgeState,
    random_state,
    restore_random,
)
from crucible.forge.evolution.generator import drawing_from
from crucible.forge.evolution.selection import Selection
from crucible.forge.genetic.breeder import ProgramBreeder
from crucible.forge.result import Curve, ForgeResult, Gate, Refusal, WindowReport
from crucible.forge.revision import code_revision, source_hash
from crucible.forge.validation.cross_validation import cross_validate, groups_of
from crucible.forge.validation.gates import Evidence, judge
from crucible.forge.validation.novelty import Incumbents, Novelty
from crucible.forge.validation.policy import Policy, read_policy
from crucible.forge.validation.windows import cut, limits_for
from crucible.market.candles import Candles, Floats
from crucible.market.funding import Funding, charged
from crucible.settings import ForgeSettings, Slot
from crucible.strategies.contract import Strategy
from crucible.vm.signals import Signals

# Fewer training days than this, and Sharpe ratios are of trades.
FEWEST_DAYS = 10
# The validation window is cut into as many parts as it has days, and into no fewer than these.
FEWEST_PARTS = 40
# Slightly moved versions that the jitter gate trades.
VARIANTS = 8


class ForgeRun:
    """Evolve one specialist for one slot.

    Parameters
    ----------
    slot : Slot
        Its kind decides between genetic programs and boosted classifiers.
    candles : Candles
        n candles; the newest `settings.max_candles` are used.
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
    ) -> None:
        newest = slice(-settings.max_candles, None)
        candles = candles[newest]
        frame = replace(frame, ts=frame.ts[newest], values=frame.values[newest])
        self.slot = slot
        self.settings = settings
        self.seed = seed
        self.prior_trials = prior_trials
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
        self.data_hash = candles.data_hash()
        self.identity = self._identity()
        self._breeder = self._make_breeder()
        self._selection = Selection(self._breeder, settings, with_novelty=bool(self.novelty.agents))

    def count_earlier(self, trials: int) -> None:
        """Judge by a newer count of what was tried for the slot before, or beside, this forge run.

        It changes the gates and what is told, never the search.
        """
        self.prior_trials = max(self.prior_trials, trials)

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
        with _generators(state):
            newcomers = self._breeder.first(self._breeder.newcomers(self.settings.population, 0))
            self._evaluate(newcomers, state)
            self._selection.keep(newcomers, state)
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
        with _generators(state):
            parents = self._selection.population(state)
            count = self._breeder.newcomers(self.settings.population, state.generation)
            children = self._breeder.children(parents, count, set(state.seen))
            self._evaluate(children, state)
            self._selection.keep([*parents, *children], state)
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
        merged = replace(state, seen=dict(state.seen), table=list(state.table[:-1]))
        field = []
        for held in (state, *others):
            self._require_ours(held)
            for document in held.population[: None if held is state else most]:
                candidate = self._breeder.read(document)
                key = self._breeder.key(candidate)
                merged.seen.setdefault(key, held.seen[key])
                field.append(candidate)
        with _generators(merged):
            self._selection.keep(field, merged)
        return merged

    def run(self) -> ForgeResult:
        """All generations of the settings, start to finish."""
        state = self.start()
        for _ in range(self.settings.generations):
            state = self.advance(state)
        return self.finish(state)

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
        chosen = self._chosen(finalists)
        strategy = self._breeder.strategy(chosen)
        signals = self._breeder.signals(chosen)
        known = slice(self.windows.train.start, self.windows.validation.stop)
        groups = groups_of(known, self.windows.purge)
        cross = cross_validate([self._breeder.outcomes(finalists, g).daily for g in groups])
        gates = judge(
            Evidence(
                strategy=strategy,
                signals=signals,
                variants=self._breeder.variants(chosen, self.seed, VARIANTS),
                frame=self.frame,
                market=self.market,
                windows=self.windows,
                costs=self.settings.costs,
                trials=self.prior_trials + state.trials,
                by_day=self.by_day,
                field=self._breeder.outcomes(population, known).daily,
                unseen=self._unseen(finalists),
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

    def _chosen(self, finalists: list[Candidate]) -> Candidate:
        """Whoever stands furthest above zero at twice the costs, in the worse window, slightly moved.

        In standard errors of a trade, so that few great trades do not count for more than many good
        ones; of itself and its moved versions the weaker ones count, so that nobody is chosen for a
        constant that must be met exactly.
        """
        t_statistics = [self._steady_t_statistic(finalist) for finalist in finalists]
        if np.isfinite(t_statistics).any():
            return finalists[int(np.nanargmax(t_statistics))]
        # Nobody stands when moved: the best in training is judged, and the gates say so.
        return finalists[0]

    def _steady_t_statistic(self, finalist: Candidate) -> float:
        """Lower quartile over a finalist and its moved versions; NaN where itself has none.

        A version that trades too little to tell is weaker than any that does.
        """
        own = Variant(self._breeder.signals(finalist), self._breeder.strategy(finalist).exits)
        if math.isnan(self._t_statistic(own)):
            return math.nan
        # Other draws than those of the jitter gate, which is to judge the choice.
        seed = int(np.random.SeedSequence([self.seed, 4]).generate_state(1)[0])
        moved = self._breeder.variants(finalist, seed, VARIANTS)
        t_statistics = np.array([self._t_statistic(version) for version in (own, *moved)])
        t_statistics[np.isnan(t_statistics)] = -np.inf
        return float(np.quantile(t_statistics, 0.25, method="lower"))

    def _t_statistic(self, version: Variant) -> float:
        """Mean return of a trade at twice the costs, in standard errors, in the worse window.

        NaN where a window has too few trades to tell.
        """
        costs = self.settings.costs
        charge = 2 * (costs.fee + costs.slippage)
        t_statistics = []
        for rows in (self.windows.train, self.windows.validation):
            test = backtest(version.signals, self.market, version.exits, costs, rows)
            returns = test.trades.net_return - charge
            t_statistics.append(sharpe(returns) * len(returns) ** 0.5)
        return float(np.min(t_statistics))

    def _unseen(self, finalists: list[Candidate]) -> Floats:
        """Return what finalists earn in equal parts of the validation window, which bred nobody."""
        rows = self.windows.validation
        days = len(np.unique(self.market.day[rows]))
        ends = np.linspace(0, rows.stop - rows.start, max(days, FEWEST_PARTS) + 1).astype(int)[1:]
        equity = [
            backtest(
                self._breeder.signals(finalist),
                self.market,
                self._breeder.strategy(finalist).exits,
                self.settings.costs,
                rows,
            ).equity[ends - 1]
            for finalist in finalists
        ]
        return daily_returns(np.array(equity))

    # --- results ---------------------------------------------------------------------------------

    def _nobody(self, population: list[Candidate], state: ForgeState) -> ForgeResult:
        """Refuse: nothing traded enough to be judged."""
        most = max((self._selection.score(c, state).trades for c in population), default=0)
        gate = self.policy.gate("trades_train", most, "most trades of any candidate in training")
        days = len(np.unique(self.market.day[self.windows.train]))
        wanted = max(gate.threshold, float(fewest_trades(days, self.settings)))
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
        failed = self.policy.refusing(gates)
        return ForgeResult(
            slot=self.slot,
            champion=None if failed else candidate,
            refusal=Refusal(failed.name, failed.value, failed.threshold) if failed else None,
            candidate=candidate,
            gates=gates,
            proven=all(gate.passed for gate in gates),
            generations=state.table,
            windows=self._window_reports(candidate, signals),
            curve=self._curve(candidate, signals),
            trials=self.prior_trials + state.trials,
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
            # How long it goes on, and where it is computed, changes no generation.
            self.settings.model_dump_json(exclude={"generations", "dask"}),
            source_hash(),
            self.incumbents.digest() if self.incumbents else None,
        ):
            digest.update(json.dumps(part).encode())
        digest.update(np.ascontiguousarray(self.frame.values).tobytes())
        if self.market.funding is not None:
            digest.update(np.ascontiguousarray(self.market.funding).tobytes())
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
def _generators(state: ForgeState) -> Iterator[None]:
    """Lend the breeders and DEAP the state's generator."""
    generator = random.Random()
    generator.setstate(restore_random(state.python_random))
    with drawing_from(generator):
        yield
    state.python_random = random_state(generator.getstate())
