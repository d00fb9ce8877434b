"""The live page in a real Chromium, on a real Cerebellum and a real paper venue."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal

import httpx
import pytest

from crucible.dashboard.document import VIEWS
from crucible.execution.cerebellum_link import Addresses, CerebellumLink, new_intent_id
from crucible.execution.messages import Ack, Submit
from crucible.ledger.reader import LedgerReader
from crucible.operations.reconciliation.accounts import plain
from crucible.operations.reconciliation.venue_statement import VenueAccount
from crucible.operations.supervision.process import ServiceProcess
from crucible.operations.workspace import Run, Workspace
from tests.browser.test_pages import browsing, chromium
from tests.support.pages import ENDED, LIVES, OTHER, RIVAL, announce, served, traded
from tests.support.polling import until
from tests.support.processes import cerebellum_command, running, venue_command
from tools import screenshots

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

__all__ = ["chromium"]
SYMBOLS = "BTCUSDT,ETHUSDT"
NOTICED_S = 5.0
SEEN_AT = """() => new MutationObserver(() => {
  if (document.querySelector("#banner").textContent.includes("gets no answer")) window.seenAt ??= Date.now();
}).observe(document.querySelector("#banner"), { childList: true, subtree: true })"""
ADDRESSES = [*VIEWS, f"/agents/{LIVES}", f"/agents/{RIVAL}"]


@dataclass
class Trading:
    """A workspace whose executor and venue are real, and the page before it."""

    workspace: Workspace
    run: Run
    link: CerebellumLink
    account: VenueAccount
    page: str
    sleepers: dict[str, subprocess.Popen[bytes]]
    server: ServiceProcess
    sent: int = 0

    def submit(self, agent: str, symbol: str, qty: str, limit: str | None = None) -> Ack:
        self.sent += 1
        now = self.link.snapshot().ts
        reply = self.link.ask(
            Submit(
                ts=now, request_id=self.link.request_id(), intent_id=new_intent_id(now, self.sent),
                agent=agent, version="1", symbol=symbol, side="buy",
                kind="market" if limit is None else "limit", qty=qty, limit_price=limit,
                reduce_only=False, ttl_ms=86_400_000, protect=None, reason="test",
            )
        )  # fmt: skip
        assert isinstance(reply, Ack)
        return reply

    def held(self) -> dict[str, Decimal]:
        return {
            each.agent: Decimal(each.qty)
            for each in self.link.snapshot().positions
            if Decimal(each.qty)
        }

    def at_the_venue(self) -> dict[str, Decimal]:
        return dict(self.account.statement(Decimal(100_000)).book().positions)


@pytest.fixture(scope="module")
def trading(tmp_path_factory):
    workspace = Workspace.at(tmp_path_factory.mktemp("page") / "w")
    workspace.create()
    run = traded(workspace)
    keys = workspace.ensure_keys()
    with ExitStack() as stack:
        log = workspace.path / "processes.log"
        words = venue_command(run.path, keys, SYMBOLS, speed=10, days=1)
        venue_process, venue = stack.enter_context(running(words, log))
        words = cerebellum_command(run.path, keys, SYMBOLS, venue)
        process, ready = stack.enter_context(running(words, log))
        sleepers = {}
        for name in ("arena", "selection"):
            sleepers[name] = subprocess.Popen(["sleep", "600"])
            stack.callback(sleepers[name].kill)
        pids = {name: each.pid for name, each in sleepers.items()}
        pids |= {"paper_venue": venue_process.pid, "cerebellum": process.pid}
        addresses = {"paper_venue": venue["rest"], "cerebellum": ready["metrics"]}
        announce(workspace, run, pids, addresses, ready)
        page, server = stack.enter_context(served(workspace))
        addresses_of = Addresses(ready["commands"], ready["events"], ready["market"])
        link = stack.enter_context(CerebellumLink(addresses_of))
        until(lambda: link.snapshot().ts, lambda: log.read_text()[-2_000:], seconds=20)
        account = VenueAccount.from_keys(venue["rest"], keys)
        yield Trading(workspace, run, link, account, page, sleepers, server)


def ready_page(page, trading, address):
    """Open a view and wait until it has shown what it has."""
    page.goto(f"{trading.page}{address}")
    page.get_by_text("waiting for the first answer").wait_for(state="detached")
    page.locator("#trading").get_by_text("ACTIVE", exact=True).wait_for()


def exact(page, selector):
    """The exact values behind the figures of a place."""
    return page.locator(f"{selector} [data-value]").evaluate_all(
        "all => all.map((each) => each.dataset.value)"
    )


def test_every_view_opens_from_its_address_without_a_fault(trading, chromium):
    with browsing(chromium) as page:
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        for address in ADDRESSES:
            ready_page(page, trading, address)
            name = address.removeprefix("/agents/") if "@" in address else VIEWS[address]
            assert page.title() == f"{name} · Crucible"
            page.locator(f"main h1:has-text('{name}')").wait_for()
            page.wait_for_timeout(1_500)
            assert page.locator("#stale").is_hidden()
            assert "[object " not in page.locator("body").inner_text(), address
            if address == "/agents":
                assert page.locator("table.heat td").count() > 4
        assert faults == []


@pytest.mark.parametrize("address", ["/agents/NOBODY-gp-1@7", "/market?symbol=NOPE", "/nothing"])
def test_an_address_that_names_nothing_here_says_so_instead_of_an_empty_view(
    trading, chromium, address
):
    with browsing(chromium) as page:
        page.goto(f"{trading.page}{address}")
        page.get_by_role("heading", name="Not here").wait_for()
        text = page.locator("main").inner_text()
        assert re.split(r"[/=]", address)[-1] in text
        assert "asking" not in text
        assert page.locator("#stale:visible").count() == 0
        page.get_by_role("link", name="Agents").first.click()
        page.get_by_role("heading", name="Agents").wait_for()


def test_what_made_a_size_is_read_whole_and_progress_is_no_alarm(trading, chromium):
    with browsing(chromium) as page:
        ready_page(page, trading, f"/agents/{LIVES}")
        table = page.get_by_role("region", name="Multipliers")
        table.wait_for()
        assert table.evaluate("each => each.scrollWidth <= each.clientWidth")
        fills = """async () => { const { meter } = await import("/static/dom.js");
          return [meter(1, "done"), meter(1, "used up", { limit: true })].map(
            (each) => each.querySelector("rect").getAttribute("fill")); }"""
        assert page.evaluate(fills) == ["var(--accent)", "var(--minus)"]


def test_screenshots_keep_the_overview_a_market_execution_and_the_agent_that_trades_most(
    trading, chromium, tmp_path, monkeypatch
):
    monkeypatch.setattr(screenshots, "PICTURES", tmp_path)
    monkeypatch.setattr(screenshots, "SETTLE_MS", 1_000)
    with browsing(chromium) as page:
        screenshots.take_live_page(page, trading.page)
        assert page.title() == f"{OTHER} · Crucible"
        assert page.locator("dialog[open]").count() == 0, "a picture was taken with an order asked"
    views = ("dashboard", "dashboard-agent", "dashboard-execution", "dashboard-market")
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == list(views)


def test_a_market_that_moved_much_further_than_equity_does_not_flatten_it_and_is_said(
    trading, chromium
):
    curve = {"ts": [0, 1, 2], "equity": ["100", "101", "100.5"], "symbols": ["BTCUSDT"]}
    near, far = [100, 103, 104], [100, None, 130]
    with browsing(chromium) as page:
        for held, note, is_far in (
            (near, "", False),
            (far, "", True),
            (far, "the lake has a hole in March", True),
        ):
            answered = json.dumps({**curve, "hold": held, "note": note})
            page.route("**/api/curve*", lambda route, _, text=answered: route.fulfill(body=text))
            ready_page(page, trading, "/")
            page.locator(".chart .main-svg").first.wait_for()
            shown = page.evaluate("document.querySelector('.chart').data.map((e) => e.visible)")
            assert shown == [None, "legendonly" if is_far else True]
            said = "holding stands at +30.00 % where equity stands at +0.50 %"
            assert page.get_by_text(said).count() == is_far
            assert page.get_by_text(note or "the line of holding spreads").count() == 1
            page.unroute("**/api/curve*")


def test_figures_are_the_ledgers_to_the_last_digit(trading, chromium):
    with LedgerReader(trading.run.ledger) as ledger, browsing(chromium) as page:
        live = [each for each in ledger.trades() if each.mode == "live"]
        paid = sum((each.amount for each in ledger.payments()), Decimal(0))
        pnl = sum((each.pnl for each in live), Decimal(0))
        fees = sum((each.fee for each in ledger.fills() if each.mode == "live"), Decimal(0))
        ready_page(page, trading, "/")
        row = page.locator("tr", has=page.get_by_role("cell", name="All", exact=True))
        row.wait_for()
        values = row.locator("[data-value]").evaluate_all("all => all.map((e) => e.dataset.value)")
        assert values == [plain(pnl - paid), plain(pnl), plain(fees), plain(paid)]
        ready_page(page, trading, "/agents")
        for name in (LIVES, ENDED, OTHER, RIVAL):
            trades = ledger.trades(name)
            net = sum((each.pnl for each in trades), Decimal(0))
            net -= sum((each.amount for each in ledger.payments(name)), Decimal(0))
            page.locator(f"tr[data-agent='{name}']").wait_for()
            assert plain(net) in exact(page, f"tr[data-agent='{name}']")
        ready_page(page, trading, f"/agents/{LIVES}")
        first = ".scroll[aria-label=Trades] tbody tr:first-child"
        page.locator(first).wait_for()
        shown = exact(page, first)
        last = ledger.trades(LIVES)[-1]
        for value in (last.net_pnl, last.fees, last.entry_price, last.exit_price, last.qty):
            assert plain(value) in shown
        ready_page(page, trading, "/events?kinds=fill")
        newest = ledger.fills()[-1]
        page.get_by_text(f"{plain(newest.qty)} {newest.symbol} at {plain(newest.price)}").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_view(trading, chromium, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with browsing(chromium) as page:
        page.emulate_media(color_scheme=scheme)
        found = []
        for address in ADDRESSES:
            ready_page(page, trading, address)
            page.wait_for_timeout(1_500)
            for fault in axe.run(page).response["violations"]:
                if fault["impact"] in {"serious", "critical"}:
                    where = [node["target"] for node in fault["nodes"][:3]]
                    found.append(f"{address}: {fault['id']}: {where}")
        page.goto(f"{trading.page}/")
        page.get_by_role("button", name="Stop").click()
        faults = axe.run(page).response["violations"]
        serious = [each["id"] for each in faults if each["impact"] in {"serious", "critical"}]
        found += [f"dialog: {name}" for name in serious]
        assert found == []


def test_on_a_phone_profit_is_in_sight_and_no_view_is_wider_than_the_screen(trading, chromium):
    with browsing(chromium) as page:
        page.set_viewport_size({"width": 390, "height": 844})
        for address in ADDRESSES:
            ready_page(page, trading, address)
            page.wait_for_timeout(700)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
            box = page.locator("#today").bounding_box()
            assert box is not None
            assert box["y"] + box["height"] < 200, address
            assert page.locator("#today [data-value]").count() == 1
        ready_page(page, trading, "/")
        card = page.locator(".card").first
        card.wait_for()
        assert card.bounding_box()["y"] < 500


def test_the_stop_is_reached_by_keyboard_and_asks_before_it_does_anything(trading, chromium):
    with browsing(chromium) as page:
        ready_page(page, trading, "/")
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "stop":
                break
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Kill everything?").wait_for()
        assert page.evaluate("document.activeElement.id") == "steer-no"
        page.keyboard.press("Escape")
        page.locator("#steer").wait_for(state="hidden")
        assert trading.link.snapshot().state == "ACTIVE"


def test_a_kill_cancels_and_flattens_at_the_venue_and_only_what_it_names(trading, chromium):
    for agent, symbol, qty in ((LIVES, "BTCUSDT", "0.02"), (OTHER, "ETHUSDT", "0.5")):
        assert trading.submit(agent, symbol, qty).status == "accepted"
    until(lambda: len(trading.held()) == 2, trading.held, seconds=20)
    [position] = [each for each in trading.link.snapshot().positions if each.agent == LIVES]
    limit = f"{Decimal(position.cost) / Decimal(position.qty) * Decimal('0.97'):.1f}"
    assert trading.submit(LIVES, "BTCUSDT", "0.01", limit=limit).status == "accepted"

    def rests():
        return [order.status for order in trading.link.snapshot().orders] == ["new"]

    until(rests, trading.link.snapshot, seconds=20)
    found = httpx.get(f"{trading.page}/api/execution").json()
    assert found["note"] == ""
    [resting] = found["orders"]
    assert (resting["agent"], resting["limit_price"]) == (LIVES, limit)
    with browsing(chromium) as page:
        ready_page(page, trading, f"/agents/{LIVES}")
        page.get_by_role("button", name="Kill…").click()
        dialog = page.locator("#steer")
        assert LIVES in dialog.inner_text()
        assert "positions are closed at the market" in dialog.inner_text()
        assert len(trading.held()) == 2  # nothing has happened before it is confirmed
        dialog.get_by_role("button", name=f"Kill {LIVES}").click()
        dialog.get_by_text("done:").wait_for()
        assert trading.held() == {OTHER: Decimal("0.5")}
        assert trading.link.snapshot().orders == []
        until(lambda: set(trading.at_the_venue()) == {"ETHUSDT"}, trading.at_the_venue, seconds=10)
        page.locator("#banner").get_by_text(f"{LIVES} is HALTED").wait_for()
        assert trading.submit(LIVES, "BTCUSDT", "0.02").code == "halted"
        execution = httpx.get(f"{trading.page}/api/execution").json()
        assert execution["note"] == ""
        assert [row["code"] for row in execution["refused"]] == ["halted"]
        assert "an order is on disk" in [row["what"] for row in execution["latencies"]]

        page.keyboard.press("Escape")
        page.get_by_role("button", name="Stop…").click()
        dialog.get_by_role("button", name="Kill everything").click()
        dialog.get_by_text("done:").wait_for()
        assert trading.held() == {}
        until(lambda: trading.at_the_venue() == {}, trading.at_the_venue, seconds=10)
        page.locator("#trading").get_by_text("HALTED", exact=True).wait_for()
        page.keyboard.press("Escape")
        # What is halted may still hold positions: the kill of everything stays where it was.
        page.locator("#resume").wait_for()
        page.locator("#stop").click()
        page.get_by_role("heading", name="Kill everything?").wait_for()
        dialog.get_by_role("button", name="Kill everything").click()
        dialog.get_by_text("done:").wait_for()
        page.keyboard.press("Escape")
        page.locator("#resume").click()
        dialog.get_by_role("button", name="Resume everything").click()
        dialog.get_by_text("is ACTIVE again").wait_for()
        page.keyboard.press("Escape")
        ready_page(page, trading, f"/agents/{LIVES}")
        page.locator("main").get_by_role("button", name="Resume…").click()
        dialog.get_by_role("button", name=f"Resume {LIVES}").click()
        dialog.get_by_text("done:").wait_for()
    assert trading.submit(LIVES, "BTCUSDT", "0.02").status == "accepted"
    until(lambda: LIVES in trading.held(), trading.held, seconds=20)
    with browsing(chromium) as page:
        ready_page(page, trading, f"/agents/{LIVES}")
        page.get_by_role("button", name="Close position…").click()
        dialog = page.locator("#steer")
        dialog.get_by_role("button", name=f"Close position of {LIVES} in BTCUSDT").click()
        dialog.get_by_text("done:").wait_for()
        assert trading.held() == {}
        # A position that was closed by hand halts nobody.
        assert trading.link.snapshot().state == "ACTIVE"


def test_an_order_that_the_browser_held_back_is_refused_and_says_so(trading, chromium):
    with browsing(chromium) as page:
        ready_page(page, trading, "/")
        held = []
        page.route("**/api/control", lambda route: held.append(route))  # noqa: PLW0108 - a builtin is refused
        page.get_by_role("button", name="Stop…").click()
        dialog = page.locator("#steer")
        dialog.get_by_role("button", name="Kill everything").click()
        page.wait_for_timeout(11_000)
        [route] = held
        route.continue_()
        dialog.get_by_text("refused, nothing was done: this order was given 1").wait_for()
        assert trading.link.snapshot().state == "ACTIVE"


STREAMS = """
window.streams = [];
window.EventSource = class extends EventSource {
  constructor(...asked) { super(...asked); window.streams.push(this); }
};
window.look = (hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
};
"""


def test_a_tab_that_nobody_looks_at_holds_no_connection_and_loads_anew_when_it_is_shown(
    trading, chromium
):
    with browsing(chromium) as page:
        page.add_init_script(STREAMS)
        ready_page(page, trading, "/")
        assert page.evaluate("streams.map((each) => each.readyState)") == [1]
        asked: list[str] = []
        page.evaluate("look(true)")
        page.wait_for_timeout(500)
        page.on("request", lambda request: asked.append(request.url))
        page.wait_for_timeout(3_500)
        assert page.evaluate("streams.map((each) => each.readyState)") == [2]
        assert page.locator("#trading").inner_text() == "UNKNOWN"
        assert asked == []
        page.evaluate("look(false)")
        page.locator("#trading").get_by_text("ACTIVE", exact=True).wait_for()
        assert page.evaluate("streams.map((each) => each.readyState)") == [2, 1]
        until(
            lambda: page.wait_for_timeout(50) or f"{trading.page}/api/overview" in asked,
            lambda: asked,
        )


def test_an_order_without_the_token_from_elsewhere_or_for_another_host_changes_nothing(trading):
    body = {"action": "kill"}
    address = f"{trading.page}/api/control"
    token = httpx.get(trading.page).text.split('name="crucible-token" content="')[1].split('"')[0]
    mine = {"x-crucible-token": token}
    for headers in (
        {},
        {"x-crucible-token": "guess"},
        {**mine, "origin": "http://evil.example"},
        {**mine, "origin": "http://127.0.0.1:1"},
        {**mine, "host": "evil.example"},
        {**mine, "sec-fetch-site": "cross-site"},
    ):
        assert httpx.post(address, json=body, headers=headers).status_code == 403
    assert trading.link.snapshot().state == "ACTIVE"
    logs = "".join(path.read_text() for path in trading.workspace.logs.iterdir())
    assert token not in logs


def test_candles_and_the_order_book_are_heard_and_shown(trading, chromium):
    """Nobody is asked for them: they are what Cerebellum publishes."""
    address = f"{trading.page}/api/market?symbol=BTCUSDT&span=1mo"

    def traded_volume():
        return sum(httpx.get(address).json()["candles"]["volume"])

    before = traded_volume()

    with browsing(chromium) as page:
        ready_page(page, trading, "/market?symbol=BTCUSDT")
        best = page.locator(".scroll[aria-label='Best prices'] tbody tr")
        best.first.wait_for()
        ask, bid = (Decimal(exact(page, ".scroll[aria-label='Best prices']")[n]) for n in (0, 2))
        assert 0 < bid < ask
        page.get_by_role("cell", name="spread").wait_for()
    # Ten market minutes pass in one: a candle closes within seven seconds.
    until(lambda: traded_volume() > before, "a closed candle", seconds=30)


def test_a_killed_service_shows_within_five_seconds(trading, chromium):
    with browsing(chromium) as page:
        ready_page(page, trading, "/")
        assert page.locator("#down").inner_text() == ""
        began = time.monotonic()
        trading.sleepers["selection"].kill()
        trading.sleepers["selection"].wait()
        page.locator("#down").get_by_text("selection down").wait_for()
        assert time.monotonic() - began < NOTICED_S
        page.locator("tr", has=page.get_by_role("cell", name="selection", exact=True)).get_by_text(
            "down"
        ).wait_for()


def test_a_page_that_gets_no_answer_says_so_within_five_seconds_and_recovers(trading, chromium):
    with browsing(chromium) as page:
        ready_page(page, trading, "/")
        server = trading.server.identity.pid
        # By the browser's own clock: what Playwright takes to look is nobody's wait.
        page.evaluate(SEEN_AT)
        began_ms = time.time() * 1_000
        os.kill(server, signal.SIGSTOP)
        try:
            page.locator("#banner").get_by_text("UNKNOWN: this page gets no answer").wait_for()
            assert page.evaluate("window.seenAt") - began_ms < NOTICED_S * 1_000
            assert page.locator("#trading").inner_text() == "UNKNOWN"
            assert "as it was" in page.locator("#age").inner_text()
        finally:
            os.kill(server, signal.SIGCONT)
        page.locator("#trading").get_by_text("ACTIVE", exact=True).wait_for()
