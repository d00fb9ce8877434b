"""Seats of a walk-forward: who comes, who goes, and what production earned."""

from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.features.frame import FeatureFrame
from crucible.registry.admission import Rules
from crucible.settings import Slot, WatchtowerSettings
from crucible.walk_forward.life import Stage
from crucible.walk_forward.rules import AtRandom, ByEvidence, ByQuarterHour, Frozen
from crucible.walk_forward.slot_walk import SlotWalk, Walk
from crucible.watchtower.verdicts import Verdict
from tests.support.walks import SLOT, birth, stage, strategy_of

MINUTE = 60_000
QUARTER = 15 * MINUTE


class Scripted:
    """Verdicts at named instants, by role."""

    name, keeps_first, by_proof = "scripted", False, True

    def __init__(self, script, trial="venue"):
        self.script, self.trial = script, trial

    def verdict(self, life, card):
        what = self.script.get((card.ts, life.role), "keep")
        return Verdict(what, "as scripted")


def walked(market, births, rule, *, until=None, policy="explore", every_ms=QUARTER):
    end = int(market.frame.ts[-1]) if until is None else until
    walk = Walk(QUARTER, end, every_ms, Rules("paper", policy))
    return SlotWalk(Slot.parse(SLOT), market, births, rule, walk, strategy_of).run()


def lives_of(outcome):
    return [(life["agent"], life["role"], life["since_ts"] // QUARTER) for life in outcome.lives]


BIRTHS = [birth(1, QUARTER), birth(2, 3 * QUARTER, shift=1), birth(3, 8 * QUARTER, shift=2)]


def test_the_first_version_takes_the_empty_seat_and_the_next_challenges():
    outcome = walked(stage(1, 300), BIRTHS[:2], Scripted({}))
    assert lives_of(outcome) == [(f"{SLOT}@1", "production", 2), (f"{SLOT}@2", "challenger", 4)]
    assert [life["end"] for life in outcome.lives] == ["still trading"] * 2


def test_a_culled_production_agent_is_followed_by_its_challenger_at_once():
    rule = Scripted({(6 * QUARTER, "production"): "cull"})
    outcome = walked(stage(1, 300), BIRTHS, rule)
    assert lives_of(outcome) == [
        (f"{SLOT}@1", "production", 2),
        (f"{SLOT}@2", "challenger", 4),
        (f"{SLOT}@2", "production", 6),
        (f"{SLOT}@3", "challenger", 9),
    ]
    assert outcome.lives[0]["end"] == "culled: as scripted"


def test_a_promoted_challenger_replaces_production_and_begins_with_flat_books():
    rule = Scripted({(6 * QUARTER, "challenger"): "promote"})
    outcome = walked(stage(1, 300), BIRTHS[:2], rule)
    ends = {(life["agent"][-1], life["role"]): life["end"] for life in outcome.lives}
    assert ends == {
        ("1", "production"): "replaced by version 2",
        ("2", "challenger"): "promoted: as scripted",
        ("2", "production"): "still trading",
    }
    new = [t for t in outcome.trades if t["agent"][-1] == "2" and t["role"] == "production"]
    assert new
    assert all(trade["entry_ts"] >= 6 * QUARTER for trade in new)


def test_a_version_that_nobody_needed_is_passed_over_for_a_newer_one():
    rule = Scripted({(9 * QUARTER, "challenger"): "cull"})
    outcome = walked(stage(1, 300), BIRTHS, rule)
    assert (f"{SLOT}@3", "challenger", 9) in lives_of(outcome)


def test_nobody_trades_before_the_instant_after_its_forge_run():
    outcome = walked(stage(2, 400), BIRTHS, Scripted({}))
    known = {str(born.number): born.known_until_ts for born in BIRTHS}
    assert outcome.trades
    for trade in outcome.trades:
        assert trade["entry_ts"] > known[trade["agent"][-1]]


def test_an_unproven_version_takes_no_seat_under_strict():
    outcome = walked(stage(2, 400), BIRTHS, Scripted({}), policy="strict")
    assert outcome.lives == []
    assert not outcome.profit.any()


def test_the_first_population_is_never_judged_nor_replaced():
    outcome = walked(stage(5, 600, drift=-0.001), BIRTHS, Frozen())
    assert lives_of(outcome) == [(f"{SLOT}@1", "production", 2)]


def test_a_loser_of_a_quarter_hour_is_culled():
    outcome = walked(stage(5, 600, drift=-0.001), BIRTHS, ByQuarterHour())
    assert {row["verdict"] for row in outcome.verdicts} == {"cull"}
    assert all("over the last quarter hour" in row["reason"] for row in outcome.verdicts)


def test_random_replacement_culls_about_as_often_as_asked_and_the_same_for_a_seed():
    market = stage(6, 3_000)
    births = [birth(number, number * 4 * QUARTER) for number in range(1, 40)]
    rule = lambda seed: AtRandom(10 * QUARTER, QUARTER, seed)  # noqa: E731
    one, two = (walked(market, births, rule("a")) for _ in range(2))
    assert one.verdicts == two.verdicts
    assert one.verdicts != walked(market, births, rule("b")).verdicts
    seated = one.seated.sum()
    assert len(one.verdicts) == pytest.approx(seated / 10, abs=4 * (seated * 0.09) ** 0.5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 60), min_size=1, max_size=8, unique=True),
    st.dictionaries(
        st.tuples(
            st.integers(2, 60).map(lambda place: place * QUARTER),
            st.sampled_from(["production", "challenger"]),
        ),
        st.sampled_from(["cull", "promote"]),
        max_size=12,
    ),
    st.integers(0, 12),
)
def test_profit_is_that_of_production_and_no_seat_is_taken_twice(seed, born, script, settled):
    script = {at: what for at, what in script.items() if what == "cull" or at[1] == "challenger"}
    market = stage(seed, 700, settled=settled)
    births = [birth(n, place * QUARTER, shift=n % 3) for n, place in enumerate(sorted(born), 1)]
    outcome = walked(market, births, Scripted(script))
    production = [life for life in outcome.lives if life["role"] == "production"]
    total = sum(Decimal(life["profit"]) for life in production)
    assert outcome.profit[-1] == pytest.approx(float(total), abs=1e-6)
    for role in ("production", "challenger"):
        own = sorted(
            (life["since_ts"], life["until_ts"]) for life in outcome.lives if life["role"] == role
        )
        assert all(before[1] <= after[0] for before, after in pairwise(own))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(200, 650))
def test_what_comes_later_changes_nothing_that_came_before(seed, cut):
    market = stage(seed, 700, settled=8)
    random = np.random.default_rng(seed)
    values = market.frame.values.copy()
    values[cut:] = random.permutation(values[cut:])
    frame = FeatureFrame("BTCUSDT", market.frame.ts, values, market.frame.schema)
    other = Stage.of(market.candles, frame, market.funding, market.settings, market.costs)
    judged = ByEvidence(WatchtowerSettings(minimum_trades=3, cull_confidence=0.6))
    births = [birth(n, n * 5 * QUARTER, shift=n % 3) for n in range(1, 9)]
    until = int(market.frame.ts[cut - 1])
    one, two = walked(market, births, judged), walked(other, births, judged)
    seen = one.ts <= until
    assert np.array_equal(one.profit[seen], two.profit[seen])
    assert [row for row in one.verdicts if row["ts"] <= until] == [
        row for row in two.verdicts if row["ts"] <= until
    ]
