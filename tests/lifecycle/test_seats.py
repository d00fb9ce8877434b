"""What each slot lacks, and what is to be done about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.lifecycle.context import Context
from crucible.lifecycle.seats import SeatPlan, fill_seats, plan_seats, seat_of_newcomer
from crucible.lifecycle.turns import Past
from crucible.market.exchange import ExchangeError
from crucible.registry.admission import QUARANTINED, REFUSED
from crucible.registry.errors import RegistryError
from crucible.registry.version import Version
from crucible.settings import Settings, Slot
from tests.support.contexts import context_of

HOUR = 3_600_000


BTC, ETH = Slot.parse("BTCUSDT-gp-1"), Slot.parse("ETHUSDT-boosted-1")


def seats(aliases, *, forge_run=(), refused=(), past=None, now_ts=0, quarantined=(), **more):
    return [
        (item.action, item.slot)
        for item in fill_seats(
            [BTC, ETH],
            aliases,
            forge_run,
            refused=dict(refused),
            past=past or {},
            now_ts=now_ts,
            quarantined=dict(quarantined),
            **more,
        )
    ]


def test_rivals_are_forged_one_at_a_time_and_never_while_a_slot_is_empty():
    held = {BTC.name: {"production": "3"}}
    assert seats(held) == [("forge", ETH.name)]
    assert seats(held, forge_run=[ETH.name]) == []
    filled = {BTC.name: {"production": "3"}, ETH.name: {"production": "1"}}
    assert seats(filled) == [("forge", BTC.name)]
    rival = {**filled, BTC.name: {"production": "3", "challenger": "4"}}
    assert seats(rival) == [("forge", ETH.name)]


def test_a_slot_that_is_being_forged_is_left_alone():
    assert seats({}, forge_run=[BTC.name, ETH.name]) == []


def test_an_empty_production_seat_goes_to_the_challenger_on_the_paper_venue():
    held = {BTC.name: {"challenger": "1"}, ETH.name: {"production": "1", "challenger": "2"}}
    assert seats(held) == [("seat", BTC.name), ("forge", BTC.name)]


def test_a_version_that_holds_both_aliases_leaves_the_slot_without_a_challenger():
    held = {BTC.name: {"production": "3", "challenger": "3"}, ETH.name: {"production": "1", "challenger": "2"}}  # fmt: skip
    assert seats(held) == [("forge", BTC.name)]


def test_a_quarantined_version_is_retired_and_its_seat_is_filled():
    held = {BTC.name: {"production": "1", "challenger": "2"}, ETH.name: {"production": "1"}}
    bad = {(BTC.name, "1"): "raised", (ETH.name, "9"): "of another time"}
    assert seats(held, quarantined=bad)[:2] == [("retire", BTC.name), ("seat", BTC.name)]
    worse = {**bad, (BTC.name, "2"): "raised too"}
    assert seats(held, quarantined=worse) == [("retire", BTC.name)] * 2 + [("forge", BTC.name)]


def test_a_version_that_may_not_trade_here_is_never_seated_and_its_seat_counts_as_empty():
    held = {BTC.name: {"challenger": "1"}, ETH.name: {"production": "1", "challenger": "2"}}
    unproven = {(BTC.name, "1"): "is not proven"}
    assert seats(held, refused=unproven) == [("forge", BTC.name)]
    assert ("seat", BTC.name) in seats(held)
    # Its alias stays, since it may trade elsewhere; the challenger takes its seat.
    assert seats(held, refused={(ETH.name, "1"): "made with another schema"}) == [
        ("seat", BTC.name),
        ("seat", ETH.name),
        ("forge", BTC.name),
    ]


def test_an_unproven_challenger_waits_in_shadow_for_evidence_and_a_proven_one_does_not():
    held = {BTC.name: {"challenger": "1"}, ETH.name: {"challenger": "2"}}
    unproven = {(BTC.name, "1")}
    assert seats(held, unproven=unproven, trial="shadow") == [
        ("seat", ETH.name),
        ("forge", ETH.name),
    ]
    both = [("seat", BTC.name), ("seat", ETH.name)]
    assert seats(held, unproven=unproven, trial="venue")[:2] == both


def test_a_slot_with_an_unproven_version_is_renewed_once_its_newest_forge_run_lies_back():
    held = {name: {"production": "1", "challenger": "2"} for name in (BTC.name, ETH.name)}
    past = {BTC.name: Past(3, 0, HOUR), ETH.name: Past(3, 0, HOUR)}
    settings = {"unproven": {(BTC.name, "2")}, "renew_ms": 10 * HOUR, "past": past}
    assert seats(held, now_ts=11 * HOUR - 1, **settings) == []
    assert seats(held, now_ts=11 * HOUR, **settings) == [("renew", BTC.name)]
    assert seats(held, now_ts=11 * HOUR, **{**settings, "unproven": set()}) == []
    assert seats(held, now_ts=11 * HOUR, **{**settings, "renew_ms": 0}) == []
    assert seats(held, now_ts=None, **settings) == []
    # Whoever waits in shadow alone is renewed, too, and no sooner.
    alone = {BTC.name: {"challenger": "2"}, ETH.name: {"production": "1", "challenger": "2"}}
    assert seats(alone, now_ts=11 * HOUR - 1, trial="shadow", **settings) == []
    assert seats(alone, now_ts=11 * HOUR, trial="shadow", **settings) == [("renew", BTC.name)]


@given(
    st.dictionaries(st.sampled_from(["production", "challenger"]), st.sampled_from(["1", "2"])),
    st.booleans(),
    st.booleans(),
    st.sets(st.sampled_from(["1", "2"])),
    st.sampled_from(["shadow", "venue"]),
)
def test_only_proof_or_a_trial_at_the_venue_gives_production_and_only_proof_takes_a_seat(
    held, refused, proven, unproven, trial
):
    seat = seat_of_newcomer(
        held, held, "3", refused=refused, proven=proven, unproven=unproven, trial=trial
    )
    if seat == "production":
        assert not refused
        assert proven or trial == "venue"
    if seat in held:
        assert proven
        assert held[seat] in unproven
    if seat is None:
        assert "challenger" in held


class Registry:
    """Two slots: one that was refused nine times, one with a version in production."""

    def __init__(self):
        self.held = {BTC.name: {}, ETH.name: {"production": "1"}}
        self.tags = {}

    def aliases(self, slot):
        return self.held[slot]

    def ended(self, slot):
        return {BTC.name: [(False, 9 * HOUR)] * 9, ETH.name: [(True, HOUR)]}[slot]

    def version(self, slot, number):
        return Version(slot, number, "run", self.tags)


@pytest.fixture
def context(tmp_path):
    settings = Settings(
        home=tmp_path,
        deployment={"BTCUSDT": {"gp": 1}, "ETHUSDT": {"boosted": 1}},
        singularity={"trial": "venue"},
    )
    return context_of(tmp_path, settings, registry=Registry())


def wanted(plan: SeatPlan):
    return [(item.action, item.slot) for item in plan.actions]


@pytest.mark.parametrize("now_ts", [10 * HOUR, None])
def test_a_slot_that_was_refused_rests_and_the_other_has_its_turn(context, now_ts):
    plan = plan_seats(context, [], now_ts)
    assert wanted(plan) == [("forge", ETH.name)]
    assert [row["rests"] for row in plan.rows] == [True, False]
    assert plan.rows[0]["forgings without a version"] == 9


def test_market_time_of_a_venue_that_is_away_is_not_known(tmp_path):
    class Venue:
        def closed_until(self, symbol):
            message = "away"
            raise ExchangeError(message)

    assert (
        context_of(tmp_path, exchange=Venue(), _configuration={"symbols": ["B"]}).market_ts()
        is None
    )


def test_a_version_that_cannot_be_looked_up_keeps_its_seat_and_stops_no_other_slot(
    context, monkeypatch
):
    def refusal(_context, version):
        if version.slot == ETH.name:
            message = "not now"
            raise RegistryError(message)
        return ""

    monkeypatch.setattr(Context, "refusal", refusal)
    context.registry.held = {BTC.name: {"challenger": "1"}, ETH.name: {"production": "1"}}
    assert wanted(plan_seats(context, [], None))[0] == ("seat", BTC.name)
    assert ("seat", ETH.name) not in wanted(plan_seats(context, [], None))


def test_what_the_arena_has_quarantined_is_retired_and_what_it_refuses_is_replaced(context):
    context.registry.tags[QUARANTINED] = "it raised"
    (retire, *_) = plan_seats(context, [], 0).actions
    assert (retire.action, retire.reason) == ("retire", "quarantined: it raised")
    context.registry.tags = {REFUSED: "made with another schema"}
    (forge,) = plan_seats(context, [], 0).actions
    assert (forge.action, forge.slot) == ("forge", ETH.name)
    assert "made with another schema" in forge.reason
