"""Does selection keep its promises? How often an agent is condemned, promoted or proven wrongly.

Thousands of simulated agents live through closed trades: exits that cut losses short and let gains run, or
the other way round; fees; sizes of gains and losses with fat tails; volatility that comes in clusters; a
market that ten share. The odds of each trade are set so that its expected net return is what is asked for:
exactly nothing for agents without edge, and as near as odds between nought and one allow for the others. Agents are looked at after every trade from the settings' `minimum_trades` on, with the
evidence that the product uses; nothing else of the product runs. Beside it stand a one-sided t-test at every
look, which many would write instead, and one at a fixed number of trades.

The rules were worked on with seeds 100 to 199; the rows are of seed 1. `--seed` gives other agents.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks._harness import RESULTS, Benchmark, BenchmarkError, Row, ratio_row
from benchmarks._pairs import challenge_rows
from crucible.settings import Costs, WatchtowerSettings
from crucible.strategies.contract import Exits
from crucible.watchtower.discovery import proven_by_living
from crucible.watchtower.sequential import gain_wealth_path, loss_wealth_path
from crucible.watchtower.verdicts import gain_bound, loss_bound

Array = npt.NDArray[np.float64]

EXITS = (
    Exits(0.003, 0.025, 600),
    Exits(0.008, 0.01, 240),
    Exits(0.012, 0.025, 600),
    Exits(0.03, 0.006, 240),
    Exits(0.05, 0.1, 10_000),
)
COSTS = Costs()
WATCHTOWER = WatchtowerSettings()
ROUND_TRIP = 2.0 * (COSTS.fee + COSTS.slippage)
LIFE = 500
"""Trades of a life."""
SKILL = 0.25
"""Mean of a skilled agent's trade above zero, of an unskilled one's beneath it, in standard deviations."""
POWER = 0.95
RATE = 0.05
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Market:
    """What all agents of a population share, trade by trade.

    Attributes
    ----------
    volatility : ndarray, shape (trades,)
    fortune : ndarray, shape (trades,)
        Standard normal.
    """

    volatility: Array
    fortune: Array

    @classmethod
    def drawn(cls, random: np.random.Generator) -> Market:
        """Volatility by GARCH(1, 1), its shocks by Student's t with three degrees of freedom."""
        variance, volatility = 1.0, np.empty(LIFE)
        for number, shock in enumerate(random.standard_t(3, LIFE) / math.sqrt(3)):
            volatility[number] = math.sqrt(variance)
            variance = 0.05 + variance * (0.85 + 0.10 * min(shock * shock, 25.0))
        return cls(volatility, random.standard_normal(LIFE))


def life(random: np.random.Generator, market: Market, exits: Exits, mean: float) -> Array:
    """Net returns of an agent's trades, of the asked mean given all that was before, shape (trades,).

    A gain or a loss ends at target or stop at the latest; once in fifty times a gap goes beyond them.
    """
    size = 0.4 * (exits.stop + exits.target) * market.volatility
    gap = np.where(random.random(LIFE) < 0.02, random.uniform(1.0, 1.6, LIFE), 1.0)
    tails = np.abs(random.standard_t(3, (2, LIFE)))
    least = 1.2 * ROUND_TRIP
    gain = np.clip(size * tails[0], least, exits.target * gap) - ROUND_TRIP
    loss = np.minimum(size * tails[1], exits.stop * gap) + ROUND_TRIP
    # Beneath nought for a loser whose gain is many times its loss: it never wins then.
    odds = (loss + mean * np.sqrt(loss * gain)) / (loss + gain)
    follows = random.uniform(-0.8, 0.8)
    luck = follows * market.fortune + math.sqrt(1 - follows**2) * random.standard_normal(LIFE)
    wins = stats.norm.cdf(luck) < odds
    returns: Array = np.where(wins, gain, -loss)
    return returns


@dataclass(frozen=True, slots=True)
class Agent:
    """One simulated agent with its evidence after each trade."""

    exits: Exits
    returns: Array

    @property
    def gain(self) -> Array:
        """Evidence that it earns."""
        return gain_wealth_path(self.returns, loss_bound(self.exits, COSTS.fee, COSTS.slippage))

    @property
    def loss(self) -> Array:
        """Evidence that it loses."""
        return loss_wealth_path(self.returns, gain_bound(self.exits))

    @property
    def t_loses(self) -> npt.NDArray[np.bool_]:
        """Whether a one-sided t-test at the stated rate says after each trade that it loses."""
        count = np.arange(1, LIFE + 1)
        mean = np.cumsum(self.returns) / count
        square = np.cumsum(self.returns**2) / count - mean**2
        with np.errstate(divide="ignore", invalid="ignore"):
            t = mean / np.sqrt(np.maximum(square, 0) / (count - 1))
        found: npt.NDArray[np.bool_] = t < stats.t.ppf(RATE, np.maximum(count - 1, 1))
        return found


def agents(seed: int, count: int, mean: float) -> Iterator[Agent]:
    """Draw agents, ten to a market, of all exits in turn."""
    for group in range(math.ceil(count / 10)):
        random = np.random.default_rng([seed, group, round(1_000 * mean) + 10_000])
        market = Market.drawn(random)
        for number in range(10 * group, min(count, 10 * group + 10)):
            exits = EXITS[number % len(EXITS)]
            yield Agent(exits, life(random, market, exits, mean))


def first_look(crossed: npt.NDArray[np.bool_]) -> int | None:
    """Trades until the first look that finds it; None if none does."""
    seen = np.flatnonzero(crossed[WATCHTOWER.minimum_trades - 1 :])
    return int(seen[0]) + WATCHTOWER.minimum_trades if len(seen) else None


def share(found: list[int | None]) -> float:
    """Share of agents that a look has found."""
    return sum(item is not None for item in found) / len(found)


def error_rows(seed: int, count: int) -> list[Row]:
    """Culls, promotions and t-tests of agents that neither earn nor lose."""
    cull, promote = 1 / (1 - WATCHTOWER.cull_confidence), 1 / (1 - WATCHTOWER.promote_confidence)
    culled: list[int | None] = []
    promoted: list[int | None] = []
    condemned: list[int | None] = []
    for agent in agents(seed, count, 0.0):
        culled.append(first_look(agent.loss >= cull))
        promoted.append(first_look(agent.gain >= promote))
        condemned.append(first_look(agent.t_loses))
    lives = f"{count} agents without edge, {LIFE} trades each, a look after every trade"
    parts = np.array_split(np.arange(count), ROUNDS)
    ours_of = [max(share([culled[n] for n in part]), 1 / len(part)) for part in parts]
    pairs = [
        (ours, share([condemned[n] for n in part]))
        for ours, part in zip(ours_of, parts, strict=True)
    ]
    rows = []
    for name, found, confidence in (
        ("false_cull_rate", culled, WATCHTOWER.cull_confidence),
        ("false_promotion_rate", promoted, WATCHTOWER.promote_confidence),
    ):
        goal = round(1 - confidence, 6)
        note = f"{lives}; goal: the stated rate"
        rows.append(Row(name, share(found), "share", "lower", goal, n=count, note=note))
        # A rate that one kind of exits exceeds can hide in the mean of all.
        worst = max(share(found[kind :: len(EXITS)]) for kind in range(len(EXITS)))
        note = f"the worst of {len(EXITS)} kinds of exits; {note}"
        size = count // len(EXITS)
        rows.append(Row(f"{name}_worst_exits", worst, "share", "lower", goal, n=size, note=note))
    return [
        *rows,
        ratio_row(
            "peeking_false_cull_ratio",
            pairs,
            better="higher",
            goal=5.0,
            peer="one-sided t-test at every look",
            note=f"{lives}, in {ROUNDS} parts; the t-test's share over ours (one agent where ours culls none)",
            theirs_over_ours=True,
        ),
    ]


def speed_row(seed: int, count: int) -> Row:
    """Trades until an agent that loses is culled, against a look at a fixed number of trades."""
    cull = 1 / (1 - WATCHTOWER.cull_confidence)
    losers = list(agents(seed, count, -SKILL))
    found = [first_look(agent.loss >= cull) for agent in losers]
    condemns = np.array([agent.t_loses for agent in losers])
    pairs, reached = [], []
    for part in np.array_split(np.arange(count), ROUNDS):
        power = min(POWER, share([found[n] for n in part]))
        enough = np.flatnonzero(condemns[part].mean(axis=0) >= power)
        if not len(enough):
            message = f"no t-test within {LIFE} trades culls {power:.1%} of the losers"
            raise BenchmarkError(message)
        fixed = max(int(enough[0]) + 1, WATCHTOWER.minimum_trades)
        pairs.append((statistics.fmean(found[n] or LIFE for n in part), float(fixed)))
        reached.append(power)
    return ratio_row(
        "hours_to_cull_vs_fixed_sample",
        pairs,
        better="lower",
        goal=1.0,
        peer="one-sided t-test at a fixed sample",
        note=f"{count} agents that lose {SKILL} standard deviations a trade; mean trades until culled (a whole life "
        f"of {LIFE} where not) over the fewest at which one t-test culls a share of "
        f"{statistics.fmean(reached):.3f}, at the same rate of false culls",
    )


def ended_row(seed: int, count: int) -> Row:
    """Trades until an agent is culled that earned for two hundred and then loses, against one bet from birth."""
    good, cull = 200, 1 / (1 - WATCHTOWER.cull_confidence)
    pairs = []
    earners, losers = agents(seed, count, SKILL), agents(seed + 1, count, -SKILL)
    for earner, loser in zip(earners, losers, strict=True):
        returns = np.concatenate([earner.returns[:good], loser.returns])
        bound = gain_bound(earner.exits)
        paths = loss_wealth_path(returns, bound), gain_wealth_path(-returns, bound)
        found = [first_look(path >= cull) or len(returns) for path in paths]
        pairs.append([max(trades - good, 1) for trades in found])
    parts = [np.mean(part, axis=0) for part in np.array_split(np.array(pairs), ROUNDS)]
    return ratio_row(
        "trades_to_cull_after_gain_vs_one_bet",
        [(float(ours), float(theirs)) for ours, theirs in parts],
        better="lower",
        goal=1.0,
        peer="one bet on loss from birth",
        note=f"{count} agents that earn {SKILL} standard deviations a trade for {good} trades and lose as much from then "
        f"on; mean trades since then, {LIFE} where they were not found",
    )


def given_up_rows(seed: int, count: int) -> list[Row]:
    """Challengers that futility gives up before they are promoted, with an edge and without."""
    promote = 1 / (1 - WATCHTOWER.promote_confidence)
    rows = []
    for name, mean in (("skilled", SKILL), ("unskilled", 0.0)):
        given_up, trades = 0, []
        for agent in agents(seed, count, mean):
            up = first_look(agent.gain >= promote) or LIFE + 1
            down = first_look(agent.gain < WATCHTOWER.futility) or LIFE + 1
            given_up += down < up
            trades.append(min(up, down, LIFE))
        note = f"{count} challengers, futility {WATCHTOWER.futility:g}; decided after {np.median(trades):.0f} trades (median)"
        better: Literal["lower", "higher"] = "lower" if mean else "higher"
        share_of = given_up / count
        rows.append(Row(f"given_up_of_{name}", share_of, "share", better, None, n=count, note=note))
    return rows


def discovery_row(seed: int, populations: int, size: int) -> tuple[Row, Row]:
    """Share of wrong names among those that their lives prove, half of the population skilled."""
    wrong, power = [], []
    for number in range(populations):
        born = {
            f"{kind}-{place}": float(agent.gain[int(age) - 1])
            for kind, mean in (("idle", 0.0), ("skilled", SKILL))
            for place, (agent, age) in enumerate(
                zip(
                    agents(seed * 100_000 + number, size // 2, mean),
                    np.random.default_rng([seed, number]).integers(1, LIFE, size // 2),
                    strict=True,
                )
            )
        }
        named = proven_by_living(born, RATE, size)
        idle = sum(name.startswith("idle") for name in named)
        wrong.append(idle / max(1, len(named)))
        power.append((len(named) - idle) / (size // 2))
    note = f"{populations} populations of {size}, half of them earn {SKILL} standard deviations a trade; ages 1 to {LIFE}"
    return (
        Row(
            "lived_false_discovery_rate",
            statistics.fmean(wrong),
            "share",
            "lower",
            RATE,
            n=populations,
            note=note,
        ),
        Row(
            "lived_discovered_share",
            statistics.fmean(power),
            "share",
            "higher",
            None,
            n=populations,
            note=f"of the skilled; {note}",
        ),
    )


@dataclass(slots=True)
class Born:
    """A version in a slot: its evidence after each trade, and what each trade is expected to return."""

    exits: Exits
    returns: Array
    expected: Array
    gain: Array = field(init=False)
    loss: Array = field(init=False)
    trades: int = 0

    def __post_init__(self) -> None:
        agent = Agent(self.exits, self.returns)
        self.gain, self.loss = agent.gain, agent.loss

    @classmethod
    def drawn(cls, random: np.random.Generator) -> Born:
        """Draw one: three in ten earn, three lose, the others neither; what earns ends after 300 trades on average."""
        skill = random.choice([SKILL, 0.0, -SKILL / 2], p=[0.3, 0.4, 0.3])
        ends = int(random.exponential(300)) if skill > 0 else LIFE
        exits = EXITS[int(random.integers(len(EXITS)))]
        market = Market.drawn(random)
        returns = np.where(
            np.arange(LIFE) < ends,
            life(random, market, exits, skill),
            life(random, market, exits, -SKILL / 2),
        )
        expected = np.where(np.arange(LIFE) < ends, skill, -SKILL / 2)
        return cls(exits, returns, expected)

    @property
    def is_over(self) -> bool:
        """Whether its simulated life has ended."""
        return self.trades >= len(self.returns)

    def loses(self, at: float) -> bool:
        """Whether it is condemned at its newest trade."""
        seen = self.trades >= WATCHTOWER.minimum_trades
        return self.is_over or (seen and bool(self.loss[self.trades - 1] >= at))

    def promoted(self) -> Born:
        """Give it flat books: its evidence begins anew, what is expected of it goes on."""
        rest = slice(self.trades, None)
        return Born(self.exits, self.returns[rest], self.expected[rest])


def slot_return(seed: int, futility: float, span: int = 2_000, delay: int = 2) -> float:
    """Mean expected return of a slot's production a trade, in standard deviations of a trade.

    Production and challenger trade at the same pace. An empty challenger's seat is filled after `delay` trades.
    """
    cull, promote = 1 / (1 - WATCHTOWER.cull_confidence), 1 / (1 - WATCHTOWER.promote_confidence)
    random = np.random.default_rng([seed, 31])
    production: Born | None = Born.drawn(random)
    challenger: Born | None = Born.drawn(random)
    wait, total = 0, 0.0
    for _ in range(span):
        for born in (production, challenger):
            if born is not None:
                born.trades += 1
        if production is not None:
            total += production.expected[production.trades - 1]
        if challenger is None and (wait := wait - 1) <= 0:
            challenger = Born.drawn(random)
        if production is not None and production.loses(cull):
            production = None
        if challenger is not None and challenger.trades >= WATCHTOWER.minimum_trades:
            at = challenger.trades - 1
            if challenger.gain[at] >= promote:
                production, challenger, wait = challenger.promoted(), None, delay
            elif challenger.gain[at] < futility or challenger.loses(cull):
                challenger, wait = None, delay
        if production is None and challenger is not None and not challenger.is_over:
            production, challenger, wait = challenger.promoted(), None, delay
    return total / span


def futility_row(seed: int, slots: int, futility: float) -> Row:
    """What giving up hopeless challengers is worth to a slot, against keeping them until they are condemned."""
    pairs = [
        (slot_return(seed * 1_000 + n, futility), slot_return(seed * 1_000 + n, 0.0))
        for n in range(slots)
    ]
    gained = np.array([ours - theirs for ours, theirs in pairs])
    error = float(gained.std(ddof=1)) / math.sqrt(slots)
    return Row(
        "slot_return_gained_by_futility",
        float(gained.mean()),
        "deviations a trade",
        "higher",
        0.0,
        n=slots,
        note=f"standard error {error:.4f}; expected return of production a trade {statistics.fmean(p[0] for p in pairs):.4f} "
        f"with futility {futility:g}, {statistics.fmean(p[1] for p in pairs):.4f} without; three versions in ten earn {SKILL}",
    )


def main() -> None:
    """Draw the agents and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--agents", type=int, default=2_000)
    parser.add_argument("--populations", type=int, default=200)
    parser.add_argument("--size", type=int, default=40, help="strategies of a population")
    parser.add_argument(
        "--futility", type=float, default=WATCHTOWER.futility, help="of the last row"
    )
    parser.add_argument("--slots", type=int, default=60, help="for what futility is worth")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with Benchmark("selection", arguments.results) as bench:
        for row in error_rows(arguments.seed, arguments.agents):
            bench.add(row)
        bench.add(speed_row(arguments.seed, arguments.agents // 2))
        for row in discovery_row(arguments.seed, arguments.populations, arguments.size):
            bench.add(row)
        bench.add(ended_row(arguments.seed, arguments.agents // 5))
        for row in given_up_rows(arguments.seed, arguments.agents // 5):
            bench.add(row)
        for row in challenge_rows(arguments.seed, arguments.agents // 4, EXITS):
            bench.add(row)
        bench.add(futility_row(arguments.seed, arguments.slots, arguments.futility))


if __name__ == "__main__":
    main()
