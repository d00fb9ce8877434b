"""The market view in a real Chromium, of a symbol that nobody has ever traded."""

from __future__ import annotations

import math

import pytest

from crucible.ledger.ledger import Ledger
from crucible.ledger.readings import Reading
from crucible.operations.workspace import Workspace
from tests.browser.test_pages import browsing, chromium
from tests.support.pages import NOW, served, traded

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

__all__ = ["chromium"]
MINUTE = 60_000
UNTRADED = "SOLUSDT"
DRAWN = """() => {
  const chart = document.querySelector(".chart.tall");
  return {
    lines: Object.fromEntries(chart.data.filter((trace) => trace.mode === "lines+markers").map((trace) => [trace.name, trace.y])),
    marks: chart.data.filter((trace) => trace.mode === "markers").length,
    bands: chart.layout.shapes.map((band) => [+band.x0, +band.x1]),
    rectangles: chart.querySelectorAll(".shapelayer path").length,
    dashes: [...chart.querySelectorAll(".scatterlayer .js-line")].map((line) => line.style.strokeDasharray),
  };
}"""


def readings() -> list[Reading]:
    """Two hours of minutes: two changes of the regime, a stale stretch, and no influence."""
    return [
        Reading(
            UNTRADED,
            NOW - left * MINUTE,
            regime_change_detected=left in {20, 21, 22, 70},
            influence_in=None,
            mce_pressure=None if 40 <= left < 50 else math.sin(left),
            mce_skew=math.cos(left) / 2,
            radar_distance=1 + left / 100,
        )
        for left in reversed(range(120))
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_bands_and_lines_are_drawn_without_any_trade_and_a_line_without_a_source_says_so(
    tmp_path, chromium, scheme
):
    workspace = Workspace.at(tmp_path / "home")
    workspace.create()
    run = traded(workspace, ("BTCUSDT", "ETHUSDT", UNTRADED))
    with Ledger(run.ledger) as ledger:
        ledger.book_readings(readings())
        ledger.set_missing_sources({"influence_in": "no influence model was trained"})
    with served(workspace) as (address, _), browsing(chromium) as page:
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{address}/market?symbol={UNTRADED}&span=3h")
        page.locator(".chart.tall .js-line").nth(2).wait_for()
        page.get_by_text("nobody traded it in this time").wait_for()
        drawn = page.evaluate(DRAWN)
        said = page.locator("#regimes").inner_text()
        without = page.locator("#lines").inner_text()
    assert faults == []
    assert drawn["marks"] == 0
    kept = readings()
    assert drawn["lines"] == {
        "pressure": [one.mce_pressure for one in kept],
        "skew": [one.mce_skew for one in kept],
        "radar distance": [one.radar_distance for one in kept],
    }
    # Pressure is in two pieces, since it was stale in between; skew, in the same row, is told from it by its dots.
    assert sorted(dash not in {"", "0px"} for dash in drawn["dashes"]) == [False] * 3 + [True]
    # Candles are drawn around the minute at which they open.
    half = MINUTE // 2
    around = [(NOW - (left + 1) * MINUTE - half, NOW - until * MINUTE - half) for left, until in ((70, 70), (22, 20))]  # fmt: skip
    assert drawn["bands"] == [list(band) for band in around]
    assert drawn["rectangles"] == 2
    assert "2 times in this time, last from 2025-01-03 05:37 UTC until 2025-01-03 05:40 UTC" in said
    assert "influence: no source: no influence model was trained." in without
