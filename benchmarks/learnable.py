"""Can the default paper market be learned: does the Forge prove a version, and does it lose when its rule ends?

The candles come from the real venue, `paper_venue --rules learnable`. A forge run under the strict policy
takes the month of history with which Crucible starts; what it registers then trades up to the first end of
a rule and through the days in which that rule works the other way round. Features are those of one symbol;
the radar looks once a day, as in `truth`. The rules and their strengths were chosen with seeds 7 to 41,
none of the defaults.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._harness import RESULTS, Benchmark, Row
from crucible.features.frame import FeatureFrame
from crucible.features.pipeline import FeaturePipeline
from crucible.forge.backtest.engine import Market, backtest
from crucible.forge.evolution.run import ForgeRun
from crucible.market.candles import Candles, Floats
from crucible.settings import FeatureSettings, ForgeSettings, Slot
from crucible.testing.learnable import ORACLE_EXITS, RULES, Spell, held, oracle, rule_signal
from crucible.watchtower.sequential import loss_wealth_path
from crucible.watchtower.verdicts import gain_bound
from tests.support.paper_venue import candles_of, printed_rules, start
from tests.support.processes import DAY_MS, ORIGIN_MS

DAY = 1_440
SYMBOLS = ("BTCUSDT", "ETHUSDT")
HISTORY_DAYS, DAYS = 35, 45
TURNED_DAYS, BEFORE_DAYS = 7, 14
FIRST_SEED = 80_000
CULL_AT = 20.0
"""Evidence of loss at which the Watchtower culls, by default."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one symbol.

    Attributes
    ----------
    oracles : dict of str to float
        Annual Sharpe ratio after costs of whoever knows a rule, while it holds; NaN where it does not.
    registered : bool
    before, after : float
        Mean net return of a trade in the days before the end of the reversion rule, the first to end, and
        while it is turned; NaN without a trade.
    days_to_cull : float
        From that end until the evidence that the version loses, over its life, would cull it; infinite where
        it does not within the market's days.
    """

    oracles: dict[str, float]
    registered: bool
    before: float
    after: float
    days_to_cull: float


def markets(seed: int, folder: Path) -> dict[str, Candles]:
    """Read the market of a seed from a venue of its own."""
    end_ms = ORIGIN_MS + DAYS * DAY_MS
    flags = ["--seed", str(seed), "--origin", str(ORIGIN_MS), "--start", str(end_ms), "--stepped"]
    flags += ["--symbols", ",".join(SYMBOLS), "--address-limit", "0", "--rules", "learnable"]
    venue = start(folder, *flags)
    try:
        return {symbol: candles_of(venue, symbol, ORIGIN_MS, end_ms) for symbol in SYMBOLS}
    finally:
        venue.stop()


def oracle_sharpe(
    rule: str, candles: dict[str, Candles], symbol: str, spells: list[Spell], frame: FeatureFrame
) -> float:
    """Annual Sharpe ratio of the rule itself after costs, over the minutes in which it holds."""
    other = candles[next(name for name in SYMBOLS if name != symbol)]
    sides = rule_signal(rule, candles[symbol], other)
    holds = held(spells, symbol, rule, candles[symbol]) > 0
    table = Market.of(candles[symbol], frame)
    trades = backtest(
        oracle(np.where(holds, sides, 0).astype(np.int8)),
        table,
        ORACLE_EXITS,
        ForgeSettings().costs,
    ).trades
    returns = trades.net_return
    if len(returns) < 3:
        return math.nan
    a_year = len(returns) / (holds.sum() / DAY) * 365
    return float(returns.mean() / returns.std(ddof=1) * math.sqrt(a_year))


def learn(symbol: str, candles: dict[str, Candles], spells: list[Spell], seed: int) -> Answer:
    """Forge on the first month and follow what was registered."""
    own = candles[symbol]
    pipeline = FeaturePipeline([symbol], FeatureSettings(radar_every=DAY))
    frame = pipeline.batch({symbol: own})[symbol]
    oracles = {rule: oracle_sharpe(rule, candles, symbol, spells, frame) for rule in RULES}
    settings = ForgeSettings(policy="strict", population=200, generations=12)
    history = slice(0, HISTORY_DAYS * DAY)
    known = FeatureFrame(symbol, frame.ts[history], frame.values[history], frame.schema)
    result = ForgeRun(Slot.parse(f"{symbol}-gp-1"), own[history], known, settings, seed).run()
    champion = result.champion
    if champion is None:
        return Answer(
            oracles, registered=False, before=math.nan, after=math.nan, days_to_cull=math.inf
        )
    signals, table = champion.signals(frame), Market.of(own, frame)
    end_ts = first_end(spells, symbol)
    end = (end_ts - ORIGIN_MS) // 60_000

    def traded(rows: slice) -> Floats:
        return backtest(signals, table, champion.exits, settings.costs, rows).trades.net_return

    lived = backtest(
        signals, table, champion.exits, settings.costs, slice(HISTORY_DAYS * DAY, len(own))
    ).trades
    culled = loss_wealth_path(lived.net_return, gain_bound(champion.exits)) >= CULL_AT
    days = (lived.exit_ts[culled][0] - end_ts) / DAY_MS if culled.any() else math.inf
    return Answer(
        oracles,
        registered=True,
        before=mean(traded(slice(end - BEFORE_DAYS * DAY, end))),
        after=mean(traded(slice(end, end + TURNED_DAYS * DAY))),
        days_to_cull=float(days),
    )


def first_end(spells: list[Spell], symbol: str) -> int:
    """When the first rule ends after the month of history."""
    history = ORIGIN_MS + HISTORY_DAYS * DAY_MS
    held_rules = (one for one in spells if one.symbol == symbol and one.strength > 0)
    return min(one.off_ts for one in held_rules if one.off_ts > history)


def mean(values: Floats) -> float:
    """NaN of nothing."""
    return float(values.mean()) if len(values) else math.nan


def rows(answers: Sequence[Answer]) -> list[Row]:
    """Count the proven, and those that lose after the end."""
    proven = [answer for answer in answers if answer.registered]
    losing = [answer for answer in proven if answer.after < 0 < answer.before]
    culled = [answer for answer in proven if math.isfinite(answer.days_to_cull)]
    ranges = {
        rule: [a.oracles[rule] for a in answers if math.isfinite(a.oracles[rule])] for rule in RULES
    }
    known = ", ".join(f"{rule} {min(all_):.0f} to {max(all_):.0f}" for rule, all_ in ranges.items())
    days = f"{np.median([answer.days_to_cull for answer in culled]):.1f}" if culled else "no"
    count = len(answers)
    return [
        Row(
            f"learnable_proven_of_{count}", len(proven), "count", "higher", math.ceil(0.7 * count),
            n=count,
            note=f"registered under strict from {HISTORY_DAYS} days of the default paper market; annual Sharpe "
            f"after costs of whoever knows a rule: {known}",
        ),
        Row(
            f"learnable_lose_after_the_end_of_{len(proven)}", len(losing), "count", "higher",
            math.ceil(0.7 * len(proven)), n=len(proven),
            note=f"earn in the {BEFORE_DAYS} days before the first rule ends and lose in the {TURNED_DAYS} after; "
            f"medians {np.median([a.before for a in proven]):.2%} and "
            f"{np.nanmedian([a.after for a in proven]):.2%} a trade; {len(culled)} gather the evidence of a cull, "
            f"after {days} days (median)",
        ),
    ]  # fmt: skip


def main() -> None:
    """Forge on every market and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--count", type=int, default=5, help="seeds, each with two symbols")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    answers = []
    with Benchmark("learnable", arguments.results) as bench:
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.count):
            with tempfile.TemporaryDirectory() as folder:
                candles = markets(seed, Path(folder))
            spells = printed_rules(seed, ORIGIN_MS, DAYS, SYMBOLS)
            for symbol in SYMBOLS:
                answer = learn(symbol, candles, spells, seed)
                print(f"seed {seed} {symbol}: {answer}", file=sys.stderr, flush=True)
                answers.append(answer)
        for row in rows(answers):
            bench.add(row)


if __name__ == "__main__":
    main()
