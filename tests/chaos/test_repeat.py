"""What a seed repeats: the schedule to the byte, and every order's end and fill, one after the other."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos import books, schedule
from tests.chaos.campaign import STEPPED, STILL, Campaign, Outcome, Pace
from tests.chaos.schedule import FAULT_NAMES, KILLS
from tests.chaos.story import retold, unforetold

SEED = int(os.environ.get("CHAOS_SEED", "1"))
# Twice so many orders, one after the other.
STILL_ORDERS = 120 if "CHAOS_ORDERS" in os.environ else 30

pytestmark = pytest.mark.timeout(600)


def test_the_same_seed_gives_the_same_schedule_to_the_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        schedule.write(schedule.make(SEED, 2_000), tmp_path / name)
    schedule.write(schedule.make(SEED + 1, 2_000), tmp_path / "other")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "other").read_bytes()
    assert schedule.read(tmp_path / "a") == schedule.make(SEED, 2_000)


@pytest.mark.parametrize("seed", range(20))
def test_every_schedule_has_every_fault_and_every_kill(seed: int) -> None:
    whats = {event.what for event in schedule.make(seed, 200).events}
    assert whats >= set(FAULT_NAMES) | {f"kill_{name}" for name in KILLS}


def story(pace: Pace) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix="ch-"))
    stepped = pace.stride_ms > 0
    plan = schedule.make(SEED, STILL_ORDERS, still=not stepped, stepped=stepped)
    outcome = Campaign(plan, folder, pace).run()
    assert outcome.faults == [], f"{folder} holds every log and book"
    shutil.rmtree(folder)
    return outcome


def twice(pace: Pace) -> Iterator[Outcome]:
    """Two stories at once, each on processes of its own: most of their time they wait."""
    with ThreadPoolExecutor(2) as pool:
        return pool.map(story, (pace, pace))


@pytest.mark.process
def test_on_a_still_market_the_same_seed_repeats_every_end_and_every_fill() -> None:
    first, second = twice(STILL)
    assert unforetold(first) == []
    assert retold(first) == retold(second)
    assert first.venue.fills


@pytest.mark.process
def test_on_a_lively_market_that_waits_for_orders_the_same_seed_repeats_the_same_story() -> None:
    first, second = twice(STEPPED)
    assert unforetold(first) == []
    assert retold(first) == retold(second)
    prices = {fill.price for fill in first.venue.fills.values() if fill.symbol == "BTCUSDT"}
    assert len(prices) >= 5, "a market whose price moves"
    near = {books.link_of(one.intent_id) for one in first.schedule.orders if one.style == "near"}
    ends = {placed.status for link, placed in first.venue.orders.items() if link in near}
    assert "filled" in ends, "some that rest are filled as time passes"
    assert first.venue.funding
