"""Does the whole factory follow a market whose rule ends, and hold still where there is none? No speed here.

A switching market has one known rule (`crucible.testing.planted`), which ends for good at an instant of its own, and
then another. Both halves are long enough to be learned from the window that the Forge is given here. The factory is walked
forward over it (`crucible walk-forward`) beside its frozen first population and a trader who knows each rule from its
first minute, at the sizes of the factory's agents. A null market is a switching market with its minutes shuffled.

Rows count markets in which the factory earned more than its first population after the switch, the share of the
knowing trader's profit after the switch that it earned, in all and month by month, and on null markets its loss beside that of
replacement at random times.

The windows, strengths and lengths were worked on with seeds 900 to 999; the rows are of seeds from 1 on. `--first-seed`,
`--strength`, `--rule` and `--days` give other markets.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._harness import RESULTS, Benchmark, Row
from benchmarks.truth import DAY, EDGES, features_of
from crucible.features.frame import FeatureFrame, FeatureRow
from crucible.market.candles import Floats
from crucible.market.funding import Funding
from crucible.registry.admission import Rules
from crucible.settings import (
    MINUTE_MS,
    ArenaSettings,
    ForgeSettings,
    Kind,
    Slot,
    WatchtowerSettings,
)
from crucible.strategies.contract import Exits
from crucible.testing.planted import TRADED, Planted, permuted, switching
from crucible.vm.signals import Signal, Signals
from crucible.walk_forward.births import Birth, Material, forge_births
from crucible.walk_forward.life import Life, Stage
from crucible.walk_forward.rules import AtRandom, ByEvidence, Frozen
from crucible.walk_forward.slot_walk import Outcome, SlotWalk, Walk

RULES = ("reversion", "leader", "flow")
WINDOW_DAYS = 21
"""The newest days that a forge run sees by default; the first forge run is when there are so many."""
REFIT_DAYS = 7
MONTH_DAYS = 30
STRENGTH = 3.0
"""Times the edges of `benchmarks.truth`, which a year of candles proves: these have weeks, in which an edge
has to be larger to be as many standard errors away from nothing."""
MONTH_MS = MONTH_DAYS * DAY * MINUTE_MS
SLOT = Slot.parse(f"{TRADED}-gp-1")


@dataclass(frozen=True, slots=True)
class Task:
    """One market and how it is walked.

    Attributes
    ----------
    rules : tuple of str
        One after the other.
    days : tuple of int
        For which each holds.
    window : int
        The newest days that a forge run sees.
    """

    seed: int
    rules: tuple[str, ...]
    days: tuple[int, ...]
    strength: float
    null: bool
    policy: str
    population: int
    generations: int
    window: int
    keep: Path | None


@dataclass(frozen=True, slots=True)
class Answer:
    """Profits after the switch, of the capital of one agent.

    Attributes
    ----------
    factory, frozen, drawn, knowing : float
        The factory, its first population, replacement at random times, and the trader who knows the rules.
    months : tuple of (float, float)
        What the factory and the trader who knows the rules earned in each whole month after the switch.
    registered, forged : int
    culled : int
    """

    factory: float
    frozen: float
    drawn: float
    knowing: float
    months: tuple[tuple[float, float], ...]
    registered: int
    forged: int
    culled: int
    seconds: float


@dataclass
class Knowing:
    """The trader who knows the rules: buys when the rule that holds speaks up, leaves when it speaks down."""

    frame: FeatureFrame
    oracle: Signals
    exits: Exits
    kind: Kind = "gp"
    symbol: str = TRADED
    warmup: int = 0
    features: tuple[str, ...] = ()
    schema_hash: str = ""

    def signals(self, frame: FeatureFrame) -> Signals:
        return self.oracle[np.searchsorted(self.frame.ts, frame.ts)]

    def decide(self, row: FeatureRow) -> Signal:
        return Signal(int(self.oracle[np.searchsorted(self.frame.ts, row.ts)]))

    def reset(self) -> None:
        pass

    def to_json(self) -> dict[str, Any]:
        return {}


def walk(task: Task) -> Answer:
    """Make the market, forge on it, and trade it under every rule of selection."""
    began = time.monotonic()
    segments = [
        (rule, days * DAY, EDGES[rule] * task.strength)
        for rule, days in zip(task.rules, task.days, strict=True)
    ]
    market = switching(segments, task.seed)
    held = permuted(market.candles, task.seed) if task.null else market.candles
    candles, frame = held[TRADED], features_of(held)
    settings = ForgeSettings(
        policy=task.policy,
        population=task.population,
        generations=task.generations,
        max_candles=task.window * DAY,
    )
    material = Material(SLOT, candles, frame, Funding.none_of(TRADED), settings, task.seed)
    first = int(candles.ts[0])
    from_ts, to_ts = first + task.window * DAY * MINUTE_MS, int(candles.close_ts[-1])
    instants = range(from_ts, to_ts, REFIT_DAYS * DAY * MINUTE_MS)
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) if task.keep is None else task.keep / name_of(task)
        births = forge_births(material, instants, kept)
    stage = Stage.of(candles, frame, material.funding, ArenaSettings(), settings.costs)
    watchtower = WatchtowerSettings()
    every_ms = watchtower.every_minutes * MINUTE_MS
    span = Walk(from_ts, to_ts, every_ms, Rules("paper", task.policy))
    switch = first + task.days[0] * DAY * MINUTE_MS

    own = SlotWalk(SLOT, stage, births, ByEvidence(watchtower), span).run()
    lasted = [e["until_ts"] - e["since_ts"] for e in own.lives if e["role"] == "production"]
    drawn = AtRandom(float(np.mean(lasted or [math.inf])), every_ms, str(task.seed))
    others = [SlotWalk(SLOT, stage, births, rule, span).run() for rule in (Frozen(), drawn)]
    capital = float(stage.settings.capital_per_agent)
    earned = [after(each, switch) / capital for each in (own, *others)]
    ends = range(switch + MONTH_MS, to_ts + 1, MONTH_MS)
    known = [math.nan] if task.null else knowing(market, stage, switch, [*ends, to_ts])
    months = zip(
        np.diff([after(own, switch, end) / capital for end in (switch, *ends)]).tolist(),
        np.diff([0.0, *known[:-1]]).tolist(),
        strict=False,
    )
    return Answer(
        factory=earned[0],
        frozen=earned[1],
        drawn=earned[2],
        knowing=known[-1],
        months=tuple(months),
        registered=sum(born.strategy is not None for born in births),
        forged=len(births),
        culled=sum(row["verdict"] == "cull" for row in own.verdicts),
        seconds=time.monotonic() - began,
    )


def name_of(task: Task) -> str:
    """Name a market by all that decides its forge runs."""
    parts = [str(task.seed), *task.rules, *map(str, task.days), f"{task.strength:g}", task.policy]
    parts += [str(task.population), str(task.generations), "null" if task.null else "switching"]
    parts += [str(task.window)]
    return "-".join(parts)


def after(outcome: Outcome, since: int, until: int | None = None) -> float:
    """Profit from one instant to another, or to the end."""
    places = np.searchsorted(
        outcome.ts, [since, outcome.ts[-1] if until is None else until], "right"
    )
    before, last = (float(outcome.profit[place - 1]) if place else 0.0 for place in places)
    return last - before


def knowing(market: Planted, stage: Stage, switch: int, ends: Sequence[int]) -> list[float]:
    """Return since the switch at each instant of the knowing trader: an agent that is seated at the switch.

    It has the capital of an agent there, as the factory's have, and sizes as one whose own trades show its edge.
    """
    birth = Birth(SLOT.name, 1, 0, "knows", 0, 0.0, {})
    strategy = Knowing(stage.frame, market.oracle, market.exits)
    row = int(np.searchsorted(stage.frame.ts, switch, side="right"))
    life = Life(stage, birth, strategy, "production", row, switch)
    returns = []
    for end in ends:
        life.advance(int(np.searchsorted(stage.frame.ts, end, side="right")))
        life.mark(end)
        returns.append(float(life.equity / stage.settings.capital_per_agent) - 1.0)
    return returns


def publish(task: Task, answer: Answer) -> None:
    """Print one market."""
    what = "null of " if task.null else ""
    names = ", then ".join(f"{r} {d} d" for r, d in zip(task.rules, task.days, strict=True))
    print(
        f"seed {task.seed}: {what}{names}: after the switch factory {answer.factory:+.2%}, first "
        f"population {answer.frozen:+.2%}, random {answer.drawn:+.2%}, knowing {answer.knowing:+.2%}; "
        f"{answer.registered} of {answer.forged} registered, {answer.culled} culled; {answer.seconds:.0f} s",
        file=sys.stderr,
        flush=True,
    )


def plan(arguments: argparse.Namespace, *, null: bool) -> list[Task]:
    """List the markets: rules and the instant of the switch drawn from the seed."""
    tasks = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.count):
        draw = np.random.default_rng([seed, 17])
        rules = tuple(arguments.rule or draw.permutation(RULES)[:2].tolist())
        half = arguments.days // 2
        days = (half + int(draw.integers(-10, 11)), half)
        tasks.append(
            Task(
                seed,
                rules,
                days,
                arguments.strength,
                null,
                arguments.policy,
                arguments.population,
                arguments.generations,
                arguments.window,
                arguments.keep,
            )
        )
    return tasks


def answers_of(tasks: Sequence[Task], processes: int) -> list[Answer]:
    """Walk every market, printing each as it comes."""
    answers = []
    with ProcessPoolExecutor(processes) as pool:
        for task, answer in zip(tasks, pool.map(walk, tasks), strict=True):
            publish(task, answer)
            answers.append(answer)
    return answers


def switching_rows(tasks: Sequence[Task], answers: Sequence[Answer]) -> list[Row]:
    """Count the markets that were followed, and the share of what could be known."""
    won = sum(answer.factory > answer.frozen for answer in answers)
    own: Floats = np.array([answer.factory for answer in answers])
    known: Floats = np.array([answer.knowing for answer in answers])
    note = (
        f"two rules, one after the other, {sum(tasks[0].days)} days; forge runs see {tasks[0].window} days, every "
        f"{REFIT_DAYS}; profit after the switch, policy {tasks[0].policy}"
    )
    return [
        Row(
            f"switching_markets_won_of_{len(answers)}",
            won,
            "count",
            "higher",
            math.ceil(0.85 * len(answers)),
            n=len(answers),
            note=f"{note}; the factory above its frozen first population",
        ),
        Row(
            "switching_share_of_oracle",
            float(own.sum() / known.sum()),
            "share",
            "higher",
            0.5,
            n=len(answers),
            note=f"{note}; of whom knows the new rule from its first minute, begins there with an agent's capital and sizes as an unproven one",
        ),
        *month_rows(answers, note),
    ]


def month_rows(answers: Sequence[Answer], note: str) -> list[Row]:
    """Give the same share for each month after the switch that all markets have whole."""
    count = min(len(answer.months) for answer in answers)
    rows = []
    for month in range(count):
        own, known = np.sum([answer.months[month] for answer in answers], axis=0)
        name = f"switching_share_of_oracle_month_{month + 1}"
        rows.append(
            Row(
                name,
                float(own / known),
                "share",
                "higher",
                None,
                n=len(answers),
                note=f"{note}; days {month * MONTH_DAYS + 1} to {(month + 1) * MONTH_DAYS} after the switch",
            )
        )
    return rows


def null_row(tasks: Sequence[Task], answers: Sequence[Answer]) -> Row:
    """Compare what nothing to be learned costs."""
    own = -sum(answer.factory for answer in answers)
    drawn = -sum(answer.drawn for answer in answers)
    return Row(
        "null_markets_loss_vs_random_replacement",
        own / drawn if drawn > 0 else math.nan,
        "share",
        "lower",
        0.5,
        n=len(answers),
        note=f"{sum(tasks[0].days)} days shuffled; loss {own:.4f} beside {drawn:.4f} of an agent's capital",
    )


def main() -> None:
    """Walk every market and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--rule", action="append", choices=tuple(EDGES))
    parser.add_argument("--days", type=int, default=180, help="of both rules together, about")
    parser.add_argument("--strength", type=float, default=STRENGTH)
    parser.add_argument("--policy", choices=("explore", "strict"), default="explore")
    parser.add_argument("--population", type=int, default=120)
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument(
        "--window", type=int, default=WINDOW_DAYS, help="newest days that a forge run sees"
    )
    parser.add_argument("--only", choices=("switching", "null"))
    parser.add_argument(
        "--keep", type=Path, help="folder in which forge runs are kept for the next time"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with Benchmark("switching", arguments.results) as bench:
        if arguments.only != "null":
            tasks = plan(arguments, null=False)
            for row in switching_rows(tasks, answers_of(tasks, arguments.processes)):
                bench.add(row)
        if arguments.only != "switching":
            tasks = plan(arguments, null=True)
            bench.add(null_row(tasks, answers_of(tasks, arguments.processes)))


if __name__ == "__main__":
    main()
