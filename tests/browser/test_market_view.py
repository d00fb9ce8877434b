"""The market view in a real Chromium: what the features said of a symbol that nobody has ever traded, and order books of
a real Cerebellum on a real paper venue.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from itertools import accumulate
from subprocess import Popen

import pytest
import zmq

from crucible.execution.messages import LevelsMessage, decode_market
from crucible.ledger.ledger import Ledger
from crucible.ledger.readings import Reading
from crucible.operations.workspace import Workspace
from tests.browser.test_pages import browsing, chromium
from tests.support.pages import NOW, announce, served, traded
from tests.support.polling import until
from tests.support.processes import cerebellum_command, end, running, venue_command

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


DEPTH = """() => {
  const chart = document.querySelector('[aria-label^="Depth of the order book"]');
  return {
    sides: chart.data.map((side) => ({ x: side.x, y: side.y, step: side.line.shape })),
    mid: chart.layout.shapes[0].x0,
    dashes: [...chart.querySelectorAll(".scatterlayer .js-line")].map((line) => line.style.strokeDasharray),
    legend: [...chart.querySelectorAll(".legendtext")].map((text) => text.textContent),
    words: document.querySelector("#depth").textContent,
    figures: [...document.querySelectorAll("#depth [data-value]")].map((each) => each.dataset.value),
    rows: [...document.querySelectorAll("details[data-key=levels] tbody tr")].map((row) =>
      [row.cells[0].textContent, ...[...row.querySelectorAll("[data-value]")].map((each) => each.dataset.value)]),
  };
}"""


class Books:
    """A page before a real Cerebellum, and what that publishes of one symbol's levels, received beside the page."""

    def __init__(self, page: str, process: Popen[str], socket: zmq.Socket[bytes]) -> None:
        self.page = page
        self.process = process
        self._socket = socket
        self.sent: dict[str, LevelsMessage] = {}

    def receive(self) -> dict[str, LevelsMessage]:
        """Take what was published; give all of it by the second of market time, as the page writes it."""
        while self._socket.poll(20):
            message = decode_market(self._socket.recv_multipart()[-1])
            assert isinstance(message, LevelsMessage)
            at = datetime.fromtimestamp(message.ts // 1000, UTC)
            self.sent[f"At {at:%Y-%m-%d %H:%M:%S} UTC of the market"] = message
        return self.sent


@pytest.fixture
def books(tmp_path) -> Iterator[Books]:
    workspace = Workspace.at(tmp_path / "home")
    workspace.create()
    run = traded(workspace, ("BTCUSDT", "ETHUSDT", UNTRADED))
    keys = workspace.ensure_keys()
    with ExitStack() as stack:
        log = workspace.path / "processes.log"
        words = venue_command(run.path, keys, "BTCUSDT", speed=10, days=1)
        venue_process, venue = stack.enter_context(running(words, log))
        words = cerebellum_command(run.path, keys, "BTCUSDT", venue)
        process, ready = stack.enter_context(running(words, log))
        pids = {"paper_venue": venue_process.pid, "cerebellum": process.pid}
        announce(workspace, run, pids, {}, ready)
        page, _ = stack.enter_context(served(workspace))
        context = stack.enter_context(zmq.Context())
        socket = stack.enter_context(context.socket(zmq.SUB))
        socket.connect(ready["market"])
        socket.subscribe("BTCUSDT.levels")
        yield Books(page, process, socket)


def cumulative(levels) -> list[float]:
    return [0.0, *(float(total) for total in accumulate(Decimal(size) for _, size in levels))]


def test_the_depth_that_is_drawn_is_what_cerebellum_sent_and_its_sides_differ_without_colour(
    books, chromium
):
    with browsing(chromium) as page:
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        page.goto(f"{books.page}/market?symbol=BTCUSDT&span=3h")
        page.locator('[aria-label^="Depth of the order book"] .js-line').nth(1).wait_for()

        def shown():
            """What is drawn, its words and its table, once all three are of one moment; and what was sent of it."""
            books.receive()
            drawn = page.evaluate(DEPTH)
            sent = next((message for at, message in books.sent.items() if at in drawn["words"]), None)  # fmt: skip
            if sent is None or drawn["sides"][0]["y"] != cumulative(sent.bids):
                return None
            return drawn, sent

        drawn, sent = until(shown, lambda: page.evaluate(DEPTH), seconds=60)
        page.locator("details[data-key=levels] summary").click()
        page.get_by_role("columnheader", name="cumulative").wait_for()
        ends = end(books.process)
        page.get_by_text("These levels are old: nothing newer was published.").wait_for()
    assert faults == []
    assert ends == 0
    assert (len(sent.bids), len(sent.asks)) == (10, 10)
    for side, levels in zip(drawn["sides"], (sent.bids, sent.asks), strict=True):
        prices = [float(price) for price, _ in levels]
        # A step from the best price outwards: the first is drawn up from nothing.
        assert (side["x"], side["y"], side["step"]) == ([prices[0], *prices], cumulative(levels), "hv")  # fmt: skip
    bid, ask = (Decimal(side[0][0]) for side in (sent.bids, sent.asks))
    assert [Decimal(figure) for figure in drawn["figures"]] == [ask - bid, (bid + ask) / 2]
    assert drawn["mid"] == float((bid + ask) / 2)
    assert "bps" in drawn["words"]
    assert "heard now" in drawn["words"]
    rows = [("▼ ask", *level) for level in reversed(sent.asks)] + [("▲ bid", *level) for level in sent.bids]  # fmt: skip
    assert [tuple(row[:3]) for row in drawn["rows"]] == rows
    assert [dash in {"", "0px"} for dash in drawn["dashes"]] == [True, False]
    assert drawn["legend"] == ["▲ bids (line)", "▼ asks (dashes, hatched)"]


def test_a_market_whose_order_book_nobody_publishes_says_so(books, chromium):
    with browsing(chromium) as page:
        page.goto(f"{books.page}/market?symbol={UNTRADED}&span=3h")
        page.get_by_text("Listening for the order book…").wait_for()
        page.get_by_text(
            f"No order book of {UNTRADED} is published: the venue serves none"
        ).wait_for()
        assert page.locator('[aria-label^="Depth of the order book"]').is_hidden()
        # Another market is looked at: its book is listened to from now on.
        page.locator("#symbol").select_option("BTCUSDT")
        page.locator("#depth").get_by_text("Spread").wait_for()
        assert page.locator('[aria-label^="Depth of the order book"]').is_visible()
