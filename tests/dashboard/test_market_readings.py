"""What the market view says of regime changes and features is what the ledger has of each minute, traded or not."""

from __future__ import annotations

import numpy as np
import pytest
from starlette.testclient import TestClient

from crucible import sqlite
from crucible.dashboard.app import make_app
from crucible.dashboard.history import CANDLES
from crucible.dashboard.views.market import SPANS
from crucible.ledger.ledger import Ledger
from crucible.ledger.readings import FIGURES, KEPT_MINUTES, Reading
from tests.support.factories import agent_row
from tests.support.pages import NOW, ask

MINUTE = 60_000
UNTRADED = "SOLUSDT"


@pytest.fixture
def shown(workspace, client):
    """Ask for the market of a symbol that nobody trades; its readings first, newest last."""
    run = workspace.current()

    def show(readings=(), missing=None, span="3h"):
        with Ledger(run.ledger) as ledger:
            ledger.seat(agent_row("SOLUSDT-gp-1@1", symbol=UNTRADED))
            ledger.book_readings(readings)
            ledger.set_missing_sources(missing or {})
        found = ask(TestClient(make_app(workspace)), f"market?symbol={UNTRADED}&span={span}")
        assert found["fills"] == []
        return found["readings"] | {"step": found["step_minutes"] * MINUTE}

    return show


def read(left: int, *figures: float | None, change: bool | None = False) -> Reading:
    """What was read `left` minutes before now."""
    return Reading(UNTRADED, NOW - left * MINUTE, change, *(figures or (0.1, 0.2, 0.3, 0.4)))


def month() -> list[Reading]:
    """A month of minutes with holes, unknown figures and two changes."""
    random = np.random.default_rng(5)
    readings = []
    for left in reversed(range(KEPT_MINUTES)):
        known = random.random(4) < 0.8
        figures = [value if here else None for value, here in zip(random.normal(size=4).tolist(), known, strict=True)]  # fmt: skip
        change = None if left % 100 == 7 else 40 <= left < 60 or 20_000 <= left < 20_003
        if not 90 <= left < 120:
            readings.append(read(left, *figures, change=change))
    return readings


def test_each_minute_is_shown_as_it_was_recorded_with_a_gap_where_nothing_is_known(shown):
    recorded = [read(9, 1 / 3, None, -0.25, 7.5), read(8), read(5, None, 0.5, 0.5, 1.0)]
    found = shown(recorded)
    assert found["ts"] == [NOW - left * MINUTE for left in (10, 9, 8, 7, 6)]
    assert found["lines"] == {
        "influence_in": [1 / 3, 0.1, None, None, None],
        "mce_pressure": [None, 0.2, None, None, 0.5],
        "mce_skew": [-0.25, 0.3, None, None, 0.5],
        "radar_distance": [7.5, 0.4, None, None, 1.0],
    }
    assert (found["minutes"], found["regime_minutes"], found["empty"]) == (3, 3, {})


@pytest.mark.parametrize("span", list(SPANS))
def test_every_span_is_the_means_and_changes_of_the_ledgers_minutes_in_no_more_steps_than_candles(
    shown, span
):
    recorded = month()
    found = shown(recorded, span=span)
    step, since = found["step"], NOW - SPANS[span] * MINUTE
    inside = [one for one in recorded if one.ts - MINUTE >= since]
    assert len(found["ts"]) <= CANDLES + 1
    assert (found["minutes"], found["regime_minutes"]) == (
        len(inside),
        sum(one.regime_change_detected is not None for one in inside),
    )
    banded = set()
    for from_ts, until_ts in found["regime_changes"]:
        banded |= set(range(from_ts, until_ts, step))
    changed = [one.ts - MINUTE for one in inside if one.regime_change_detected]
    assert banded == {ts - ts % step for ts in changed}
    for name in FIGURES:
        sums: dict[int, list[float]] = {}
        for one in inside:
            if (value := getattr(one, name)) is not None:
                sums.setdefault((one.ts - MINUTE) // step * step, []).append(value)
        for ts, value in zip(found["ts"], found["lines"][name], strict=True):
            expected = None if ts not in sums else pytest.approx(np.mean(sums[ts]), abs=1e-12)
            assert value == expected, (name, ts)


def test_minutes_of_a_change_that_follow_each_other_are_one_band(shown):
    lefts = (30, 29, 28, 20)
    readings = [read(left, change=left in lefts) for left in range(40, 0, -1)]
    assert shown(readings)["regime_changes"] == [
        [NOW - 31 * MINUTE, NOW - 28 * MINUTE],
        [NOW - 21 * MINUTE, NOW - 20 * MINUTE],
    ]


def test_a_line_without_any_figure_says_whether_it_has_no_source_or_nothing_was_known(shown):
    found = shown([read(3, None, 0.5, None, None)], {"mce_skew": "books are not served"})
    assert set(found["empty"]) == {"influence_in", "mce_skew", "radar_distance"}
    assert found["empty"]["mce_skew"] == "no source: books are not served"
    assert found["empty"]["radar_distance"].startswith("not known in this time")
    # A source that there was and is no more takes nothing away of what it gave.
    assert "mce_pressure" not in shown(missing={"mce_pressure": "gone"})["empty"]


def test_without_any_reading_the_reason_is_given(workspace, shown):
    assert set(shown()["empty"].values()) == {"no minute of this time is recorded"}
    database = sqlite.connect(workspace.current().ledger)
    database.execute("DROP TABLE readings")
    database.execute("DROP TABLE systemic_faults")
    database.execute("PRAGMA user_version = 5")
    database.close()
    found = ask(TestClient(make_app(workspace)), "market?symbol=BTCUSDT")["readings"]
    assert set(found["empty"]) == set(FIGURES)
    assert all("an older Crucible" in why for why in found["empty"].values())
    assert found["regime_changes"] == []
