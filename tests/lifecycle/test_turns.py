"""Slots take turns at the forge, and fruitless ones wait longer each time."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.lifecycle.seats import fill_seats
from crucible.lifecycle.turns import LONGEST_PAUSE_MS, ForgeRequest, Past, next_turns
from crucible.settings import Slot

HOUR = 3_600_000
NAMES = [f"S{number}" for number in range(6)]
pasts = st.builds(
    Past,
    forge_runs=st.integers(0, 30),
    fruitless=st.integers(0, 30),
    last_ts=st.none() | st.integers(0, 10**12),
)
requests = st.lists(
    st.builds(
        ForgeRequest, slot=st.sampled_from(NAMES), reason=st.just(""), is_empty=st.booleans()
    ),
    unique_by=lambda request: request.slot,
)


@given(requests, st.dictionaries(st.sampled_from(NAMES), pasts), st.sets(st.sampled_from(NAMES)),
       st.none() | st.integers(0, 10**12))  # fmt: skip
def test_only_who_wishes_and_neither_rests_nor_is_busy_gets_a_turn(asked, past, busy, now):
    granted = next_turns(asked, past, busy, now)
    assert set(granted) <= set(asked)
    assert not {request.slot for request in granted} & busy
    again = [
        request
        for request in granted
        if past.get(request.slot, Past()).forge_runs or not request.is_empty
    ]
    assert len(again) <= 1
    assert not (again and busy)
    assert not any(past.get(request.slot, Past()).rests(now) for request in again)
    if not busy and not granted:
        assert all(past.get(request.slot, Past()).rests(now) for request in asked)


@given(
    st.lists(st.booleans(), min_size=2, max_size=6),
    st.lists(st.integers(0, 3 * HOUR), min_size=30, max_size=60),
)
@settings(max_examples=100, deadline=None)
def test_no_slot_waits_for_more_turns_than_there_are_others(empties, steps):
    """Every forge run is refused, for ever: the hardest case for whoever waits."""
    asked = [ForgeRequest(name, "", empty) for name, empty in zip(NAMES, empties, strict=False)]
    past = {request.slot: Past(1, 1, 0) for request in asked}
    now, waited = 0, Counter()
    for step in steps:
        now += step
        granted = next_turns(asked, past, (), now)
        if not granted:
            continue
        (turn,) = granted
        for request in asked:
            if request.slot == turn.slot:
                waited[request.slot] = 0
            elif not past[request.slot].rests(now):
                waited[request.slot] += 1
        assert max(waited.values()) < len(asked)
        held = past[turn.slot]
        past[turn.slot] = Past(held.forge_runs + 1, held.fruitless + 1, now)


def test_on_a_market_that_stands_still_turns_are_taken_all_the_same():
    asked = [ForgeRequest("a", "", is_empty=True), ForgeRequest("b", "", is_empty=False)]
    past = {"a": Past(1, 0, 60_000), "b": Past(1, 0, 60_000)}
    order = []
    for _ in range(6):
        (turn,) = next_turns(asked, past, (), 60_000)
        order.append(turn.slot)
        past[turn.slot] = Past(past[turn.slot].forge_runs + 1, 0, 60_000)
    assert order == ["a", "b"] * 3


@given(st.integers(1, 100))
def test_a_pause_grows_with_every_fruitless_forging_up_to_a_day(fruitless):
    pause = Past(fruitless, fruitless, 0).pause_ms
    assert HOUR <= pause <= LONGEST_PAUSE_MS
    assert pause >= Past(fruitless, fruitless - 1, 0).pause_ms
    rests = Past(fruitless, fruitless, 5).rests
    assert rests(5 + pause - 1)
    assert not rests(5 + pause)
    assert rests(None)


def test_empty_slots_that_were_never_forged_are_ordered_at_once_in_the_deployments_order():
    asked = [ForgeRequest(name, "", is_empty=True) for name in "abc"]
    assert [request.slot for request in next_turns(asked, {}, ["b"], None)] == ["a", "c"]


def test_nine_refusals_of_one_slot_keep_no_other_waiting():
    """One slot was refused nine times in a row; another has a production version and no rival."""
    slots = [Slot.parse("BTCUSDT-gp-1"), Slot.parse("ETHUSDT-gp-1")]
    refused = Past.of([(False, 9 * HOUR)] * 9)

    def turn(now_ts):
        found = fill_seats(
            slots, {"ETHUSDT-gp-1": {"production": "1"}}, [], refused={},
            past={"BTCUSDT-gp-1": refused, "ETHUSDT-gp-1": Past(1, 0, HOUR)}, now_ts=now_ts,
            quarantined={},
        )  # fmt: skip
        return [item.slot for item in found]

    assert turn(9 * HOUR) == ["ETHUSDT-gp-1"]
    assert turn(40 * HOUR) == ["ETHUSDT-gp-1"]


def test_a_renewal_waits_behind_everybody_else_and_none_is_made_of_candles_that_were_seen():
    renewal = ForgeRequest("a", "unproven", is_empty=False, is_renewal=True)
    rival = ForgeRequest("b", "no challenger", is_empty=False)
    past = {"a": Past(3, 0, 60_000), "b": Past(3, 0, 600_000)}
    assert next_turns([renewal, rival], past, (), 10**9) == [rival]
    assert next_turns([renewal], past, (), 10**9) == [renewal]
    assert Past.of([(True, 9), (True, 9), (True, 8)]).is_over(5, 100)
    assert not Past.of([(True, 9), (True, 9), (True, 9)]).is_over(5, 100)
    assert Past.of([(True, 9)]).is_over(5, 14)
    assert not Past.of([(True, 9)]).is_over(5, 13)
    assert not Past.of([(True, None), (True, None), (True, None)]).is_over(5, 100)
