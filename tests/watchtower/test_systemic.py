"""Many culls within a market day are one event; never below the threshold, and once for each event."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.ledger.systemic import DAY_MS, ProductionVerdict, SystemicFault
from crucible.settings import WatchtowerSettings
from crucible.watchtower.scorecard import score
from crucible.watchtower.systemic import cause_of, find_fault
from crucible.watchtower.verdicts import judge

HOUR_MS = 3_600_000


def judged(slot: int, version: int, ts: int, reason: str = "") -> ProductionVerdict:
    return ProductionVerdict(ts, f"S{slot}USDT-gp-1@{version}", bool(reason), reason or "too few")


def seen(verdicts: list[ProductionVerdict]) -> list[SystemicFault]:
    """What the Watchtower books if it judges at every instant, in order."""
    found: list[SystemicFault] = []
    for ts in sorted({each.ts for each in verdicts}):
        known = [each for each in verdicts if each.ts <= ts]
        fault = find_fault(known, ts, found[-1] if found else None)
        if fault is not None:
            found.append(fault)
    return found


@st.composite
def histories(draw: st.DrawFn) -> list[ProductionVerdict]:
    """Some slots over some market days; each has one agent at a time, judged every six hours until it is culled."""
    found = []
    for slot in range(draw(st.integers(1, 7))):
        version = 1
        for step in range(draw(st.integers(1, 16))):
            dies = draw(st.sampled_from(["", "", "loses 1%", "drawdown 9%"]))
            found.append(judged(slot, version, step * 6 * HOUR_MS, dies))
            version += bool(dies)
    return found


def culled_in_the_day(verdicts: list[ProductionVerdict], ts: int) -> tuple[int, int, int]:
    """Agents that were culled, their slots, and the slots with an agent, counted anew."""
    day = [each for each in verdicts if 0 <= ts - each.ts < DAY_MS]
    culled = [each.agent for each in day if each.is_cull]
    return len(set(culled)), len({agent.split("@")[0] for agent in culled}), len({each.slot for each in day})  # fmt: skip


@given(histories())
def test_it_never_fires_below_the_threshold_and_always_at_a_cull_above_it(
    verdicts: list[ProductionVerdict],
):
    found = {each.ts: each for each in seen(verdicts)}
    for ts in {each.ts for each in verdicts}:
        agents, slots, seats = culled_in_the_day(verdicts, ts)
        is_systemic = agents >= 3 and 2 * slots >= seats
        falls_now = any(each.ts == ts and each.is_cull for each in verdicts)
        assert (ts in found) == (is_systemic and falls_now)
        if ts in found:
            fault = found[ts]
            assert (fault.agents, fault.slots, fault.seats) == (agents, slots, seats)
            assert 1 <= fault.of_cause <= fault.agents


@given(histories())
def test_it_is_told_once_for_each_event_and_again_only_after_a_market_day_without(
    verdicts: list[ProductionVerdict],
):
    found = seen(verdicts)
    assert [each.is_first for each in found[:1]] == [True] * bool(found)
    for before, after in pairwise(found):
        assert after.is_first == (after.ts - before.ts >= DAY_MS)
        assert after.began_ts == (after.ts if after.is_first else before.began_ts)


@given(histories(), st.integers(0, 16))
def test_what_happens_later_changes_nothing_of_what_was_seen(
    verdicts: list[ProductionVerdict], steps: int
):
    until = steps * 6 * HOUR_MS
    early = [each for each in verdicts if each.ts <= until]
    assert seen(early) == [each for each in seen(verdicts) if each.ts <= until]


def test_three_of_six_in_one_market_hour_are_one_event_and_two_of_four_are_not():
    kept = [judged(slot, 1, 0) for slot in range(6)]
    fall = [judged(slot, 1, HOUR_MS, "broken parity: 12.00% of what it did") for slot in range(3)]
    (fault,) = seen(kept + fall)
    assert fault == SystemicFault(HOUR_MS, HOUR_MS, 3, 3, 6, "broken parity", 3)
    assert (
        "3 production agents were culled within one market day, in 3 of 6 slots" in fault.sentence
    )
    assert "the most frequent cause: broken parity (3 of them)" in fault.sentence
    assert seen(kept[:4] + fall[:2]) == []
    assert seen([*kept, judged(6, 1, 0), *fall]) == []


def test_culls_that_lie_a_market_day_apart_are_none():
    kept = [judged(slot, 1, 0) for slot in range(3)]
    fall = [judged(slot, 1, slot * DAY_MS // 2, "loses") for slot in range(3)]
    assert seen(kept + fall) == []


def test_the_most_frequent_cause_is_named_and_of_two_the_same_whatever_their_order():
    reasons = ["drawdown 9%", "loses 1%", "loses 2%", "no fill for 9 market minutes"]
    fall = [judged(slot, 1, HOUR_MS, reason) for slot, reason in enumerate(reasons)]
    (fault,) = seen(fall)
    assert (fault.cause, fault.of_cause) == ("losses", 2)
    tie = [judged(slot, 1, HOUR_MS, reason) for slot, reason in enumerate(reasons[:2] * 2)]
    assert {each.cause for each in (*seen(tie), *seen(tie[::-1]))} == {"drawdown"}


@pytest.mark.parametrize(
    ("figures", "cause"),
    [
        ({"drawdown": 0.9}, "drawdown"),
        ({"parity": 0.1, "parity_decisions": 10_000}, "broken parity"),
        ({"trades": 500, "loss_evidence": 1e9, "mean_return": -0.01}, "losses"),
        ({"idle_minutes": 10**7}, "no fills"),
    ],
)
def test_every_cause_for_which_the_watchtower_culls_has_its_name(
    figures: dict[str, float], cause: str
):
    card = score("a@1", 0, [], [], since_ts=0, last_fill_ts=None, largest_loss=0.02, largest_gain=0.02)  # fmt: skip
    verdict = judge(replace(card, **figures), "production", WatchtowerSettings(), None)
    assert verdict.judgement == "cull"
    assert cause_of(verdict.reason) == cause
