"""The alarm over placebos: silent while the stated rate holds, at every look, and loud where it does not."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from crucible.arena.simulated_fills import SimulatedPosition
from crucible.features.frame import FeatureRow, FeatureSchema
from crucible.ledger.reader import PlaceboLife
from crucible.market.candles import Candle
from crucible.settings import Costs, WatchtowerSettings
from crucible.strategies.contract import Exits
from crucible.strategies.placebo import Placebo
from crucible.vm.signals import Signal
from crucible.watchtower.placebos import ALARM_AT, check_placebos, excess
from crucible.watchtower.scorecard import score
from crucible.watchtower.sequential import GainBet, wealth_against_no_loss
from crucible.watchtower.verdicts import gain_bound, judge, loss_bound

RATES = 0.2, 0.05
counts = st.integers(0, 120).flatmap(lambda lives: st.tuples(st.just(lives), st.integers(0, lives)))


def lives(symbol: str, count: int, promoted: int = 0, evidence: float = 1.0) -> list[PlaceboLife]:
    return [
        PlaceboLife(
            f"{symbol}-placebo-1@{n}", symbol, n, "promote" if n < promoted else "", evidence
        )
        for n in range(count)
    ]


@given(counts, st.sampled_from(RATES))
def test_the_evidence_is_the_mean_wealth_of_bets_on_every_larger_share(count, rate):
    lived, reached = count
    share = rate + (1 - rate) * (np.arange(20_000) + 0.5) / 20_000
    log_wealth = reached * np.log(share / rate) + (lived - reached) * np.log(
        (1 - share) / (1 - rate)
    )
    assert excess(lived, reached, rate) == pytest.approx(np.exp(log_wealth).mean(), rel=1e-3)


@given(counts.filter(lambda count: count[1] < count[0]), st.sampled_from(RATES))
def test_one_more_that_is_promoted_is_more_evidence_and_one_more_that_is_not_is_less(count, rate):
    lived, reached = count
    assert excess(lived, reached + 1, rate) > excess(lived, reached, rate)
    assert excess(lived + 1, reached, rate) < excess(lived, reached, rate)


@pytest.mark.parametrize("count", [4, 10, 20, 100])
def test_the_alarm_is_sounded_from_its_bound_on_and_never_within_the_binomial_one(count):
    alarms = [
        check_placebos(lives("BTCUSDT", count, promoted), ["BTCUSDT"], *RATES).promoted.is_alarm
        for promoted in range(count + 1)
    ]
    first = alarms.index(True)
    assert all(alarms[first:])
    assert excess(count, first - 1, 0.2) < ALARM_AT <= excess(count, first, 0.2)
    assert binom.sf(first - 1, count, 0.2) < 0.01


@pytest.mark.parametrize("rate", RATES)
def test_looked_at_after_every_life_a_rate_that_holds_alarms_in_less_than_one_workspace_of_a_hundred(
    rate,
):
    length = 300
    bound = np.array(
        [
            next((n for n in range(lived + 1) if excess(lived, n, rate) >= ALARM_AT), lived + 1)
            for lived in range(1, length + 1)
        ]
    )
    promoted = (np.random.default_rng(5).random((4_000, length)) < rate).cumsum(axis=1)
    assert (promoted >= bound).any(axis=1).mean() < 0.01
    tail = binom.sf(promoted - 1, np.arange(1, length + 1), rate)
    assert (tail < 0.01).any(axis=1).mean() > 0.05  # which is why it is not what alarms
    often = (np.random.default_rng(6).random((500, length)) < 3 * rate).cumsum(axis=1)
    assert (often >= bound).any(axis=1).mean() > 0.85


def test_what_symbols_have_in_common_is_not_counted_twice():
    both = lives("BTCUSDT", 3, 3) + lives("ETHUSDT", 3, 3)
    one = check_placebos(both[:3], ["BTCUSDT"], *RATES).promoted.evidence
    assert check_placebos(both, [], *RATES).promoted.evidence == pytest.approx(one)
    # A symbol in which none has lived yet says nothing.
    assert check_placebos(both[:3], ["BTCUSDT", "X"], *RATES).promoted.evidence == pytest.approx(
        (one + 1) / 2
    )


def test_a_life_is_proven_by_the_largest_evidence_that_it_reached():
    check = check_placebos(lives("BTCUSDT", 3, evidence=20.0), ["BTCUSDT"], *RATES)
    assert (check.proven.count, check.proven.is_alarm, check.promoted.is_alarm) == (3, True, False)
    assert check_placebos(lives("BTCUSDT", 3, evidence=19.99), [], *RATES).proven.count == 0


def test_the_sentence_gives_counts_and_rates_and_says_what_an_alarm_means():
    assert check_placebos([], ["BTCUSDT"], *RATES).sentence == "Placebos: none has lived yet"
    fine = check_placebos(lives("BTCUSDT", 30, 4), ["BTCUSDT"], *RATES)
    assert fine.sentence == (
        "Placebos: 4 of 30 promoted, stated at most 20%; 0 of 30 proven, stated at most 5%"
    )
    assert not fine.to_json()["alarm"]
    loud = check_placebos(lives("BTCUSDT", 30, 20), ["BTCUSDT"], *RATES).to_json()
    assert loud["alarm"]
    assert loud["sentence"].startswith("ALARM: Placebos: 20 of 30 promoted, stated at most 20%")
    assert loud["promoted"]["count"] == 20


# --- lives on a market without any edge ---------------------------------------------------------------

EXITS = Exits(0.004, 0.004, 30)
NOTHING, SCHEMA = np.empty(0), FeatureSchema((), {})
MINUTES = 6_000


def returns_of(life: int, costs: Costs) -> Iterator[float]:
    """Net returns of the trades of a life on a random walk of its own, one after the other."""
    random = np.random.default_rng([11, life])
    close = 100 * np.exp(np.cumsum(random.normal(-0.5 * 0.001**2, 0.001, MINUTES)))
    path = [100.0, *map(float, close)]
    placebo = Placebo("BTCUSDT", EXITS, 10.0, 3, life)
    position, entry = SimulatedPosition(), 0.0
    for minute, (start, end) in enumerate(pairwise(path)):
        candle = Candle(minute * 60_000, start, max(start, end), min(start, end), end, 1.0)
        for fill in position.step(candle, EXITS, costs):
            if fill.side == "buy":
                entry = fill.price
            else:
                yield fill.price / entry - 1 - costs.fee * (1 + fill.price / entry)
        row = FeatureRow("BTCUSDT", (minute + 1) * 60_000, NOTHING, SCHEMA)
        if position.is_due:
            position.pending = "exit"
        elif not position.is_open and placebo.decide(row) is Signal.BUY:
            position.pending, position.pending_timeout = "buy", EXITS.timeout


def is_promoted(returns: Iterable[float], costs: Costs) -> bool:
    """Whether the Watchtower would promote whoever has these trades, asked after each."""
    settings = WatchtowerSettings()
    blank = score("p", 0, [], [], since_ts=0, last_fill_ts=None, largest_loss=1.0, largest_gain=1.0)
    bet = GainBet(loss_bound(EXITS, costs.fee, costs.slippage))
    seen = []
    for value in returns:
        bet.add(value)
        seen.append(value)
        losing = wealth_against_no_loss(seen, gain_bound(EXITS))
        card = replace(blank, trades=len(seen), gain_evidence=bet.wealth, loss_evidence=losing)
        verdict = judge(card, "challenger", settings).judgement
        if verdict != "keep":
            return verdict == "promote"
    return False


@pytest.mark.parametrize("costs", [Costs(), Costs(fee=0.0, slippage=0.0)])
def test_of_two_hundred_lives_on_a_random_walk_no_more_are_promoted_than_stated(costs):
    promoted = sum(is_promoted(returns_of(life, costs), costs) for life in range(200))
    assert promoted <= 0.2 * 200
    walked = lives("BTCUSDT", 200, promoted)
    assert not check_placebos(walked, ["BTCUSDT"], *RATES).is_alarm
