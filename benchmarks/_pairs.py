"""Challenges by pairs, simulated a quarter of an hour at a time: how often a challenger that is no better takes a seat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks._harness import Row
from crucible.settings import Costs, WatchtowerSettings
from crucible.strategies.contract import Exits
from crucible.watchtower.pairs import difference_bound
from crucible.watchtower.sequential import gain_wealth_path
from crucible.watchtower.verdicts import loss_bound

Array = npt.NDArray[np.float64]

QUARTERS = 4_000
"""Quarter hours of a challenge: some six weeks."""
COSTS = Costs()
WATCHTOWER = WatchtowerSettings()


@dataclass(frozen=True, slots=True)
class Path:
    """What an agent returned.

    Attributes
    ----------
    quarters : ndarray, shape (QUARTERS,)
        Of its position in each quarter of an hour, a fraction of its opening value.
    trades : ndarray, shape (trades,)
        Of its closed trades.
    closed : ndarray of int, shape (trades,)
        In which quarter of an hour each was closed.
    """

    quarters: Array
    trades: Array
    closed: npt.NDArray[np.int64]


def market(random: np.random.Generator) -> Array:
    """Moves of a price: volatility in clusters, shocks by Student's t with three degrees of freedom."""
    variance, moves = 1.0, np.empty(QUARTERS)
    for number, shock in enumerate(random.standard_t(3, QUARTERS) / np.sqrt(3)):
        moves[number] = 0.003 * np.sqrt(variance) * shock
        variance = 0.05 + variance * (0.85 + 0.10 * min(shock * shock, 25.0))
    return moves


def path(random: np.random.Generator, moves: Array, exits: Exits, drift: float) -> Path:
    """Trade at random times, leave at stop, target or timeout; `drift` is added while a position is held.

    Costs are left out on both sides: whoever has no edge then neither earns nor loses, which is the hardest case.
    """
    quarters = np.zeros(QUARTERS)
    trades, closed = [], []
    entered, value = -1, 0.0
    enters = random.random(QUARTERS) < 0.05
    for now in range(QUARTERS):
        if entered < 0:
            if enters[now]:
                entered, value = now, 0.0
            continue
        move = moves[now] + drift
        quarters[now] = move * (1.0 + value)
        value += quarters[now]
        if value <= -exits.stop or value >= exits.target or (now - entered) * 15 >= exits.timeout:
            trades.append(value)
            closed.append(now)
            entered = -1
    return Path(quarters, np.array(trades), np.array(closed, dtype=np.int64))


def is_promoted(challenger: Path, incumbent: Path, ours: Exits, theirs: Exits) -> bool:
    """Whether the Watchtower would promote the challenger at any of its looks."""
    promote = 1.0 / (1.0 - WATCHTOWER.promote_confidence)
    bound = difference_bound(ours, theirs, COSTS.fee, COSTS.slippage)
    pair = gain_wealth_path(challenger.quarters - incumbent.quarters, bound)
    by_trade = gain_wealth_path(challenger.trades, loss_bound(ours, COSTS.fee, COSTS.slippage))
    count = np.searchsorted(challenger.closed, np.arange(QUARTERS), side="right")
    gain = np.concatenate([[1.0], by_trade])[count]
    evidence = (gain + pair) / 2.0
    taken = (count >= WATCHTOWER.minimum_trades) & (evidence >= promote) & (pair * promote >= 1.0)
    return bool(taken.any())


def challenge_rows(seed: int, agents: int, kinds: tuple[Exits, ...]) -> list[Row]:
    """Count promotions of challengers without edge against incumbents without edge, and of those with one."""
    promoted: dict[float, int] = {0.0: 0, 1.0: 0}
    for edge in promoted:
        for number in range(agents):
            random = np.random.default_rng([seed, number, 71])
            moves = market(random)
            ours, theirs = kinds[number % len(kinds)], kinds[int(random.integers(len(kinds)))]
            # A twentieth of a deviation each quarter hour is a quarter over a trade of 25.
            drift = 0.05 * 0.003 * edge
            challenger = path(random, moves, ours, drift)
            incumbent = path(random, moves, theirs, 0.0)
            promoted[edge] += is_promoted(challenger, incumbent, ours, theirs)
    stated = round(1.0 - WATCHTOWER.promote_confidence, 6)
    lives = f"{agents} challenges of {QUARTERS} quarter hours, looked at in each, incumbents without edge"
    return [
        Row(
            "false_promotion_rate_by_pairs",
            promoted[0.0] / agents,
            "share",
            "lower",
            stated,
            n=agents,
            note=f"{lives}; challengers without edge; goal: the stated rate",
        ),
        Row(
            "promoted_by_pairs_with_edge",
            promoted[1.0] / agents,
            "share",
            "higher",
            None,
            n=agents,
            note=f"{lives}; challengers that earn a twentieth of a deviation in a quarter hour",
        ),
    ]
