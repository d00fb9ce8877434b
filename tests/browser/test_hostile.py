"""Whatever stands in the files that our page shows, it is text: nothing runs, and no link leads away."""

from __future__ import annotations

import os
from decimal import Decimal

import pytest

from crucible.dashboard.document import VIEWS
from crucible.execution.messages import RiskEvent
from crucible.forge.progress import Progress, note_outcome
from crucible.ledger.ledger import Ledger
from crucible.operations.supervision.process import Identity
from crucible.operations.workspace import Workspace, write_json
from tests.browser.test_pages import browsing, chromium  # noqa: F401
from tests.support.factories import agent_row, fill_event
from tests.support.pages import served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
NAME = "BTCUSDT-gp-1@1"
HOSTILE = {"/", "/agents", "/population", "/forge-runs", "/events", f"/agents/{NAME}"}
AWAY = (
    "javascript:document.title='owned'",
    " javascript:document.title='owned'",
    "JaVaScRiPt:document.title='owned'",
    "data:text/html,<script>document.title='owned'</script>",
    "http://example.invalid/",
    "http://127.0.0.1:1@example.invalid/",
    "http://user@127.0.0.1/",
    "//example.invalid/",
    "file:///etc/passwd",
)


def test_hostile_text_stays_text_and_no_link_leads_to_another_machine(tmp_path, chromium):  # noqa: F811
    workspace = Workspace.at(tmp_path / "home")
    workspace.create()
    run = workspace.new_run()
    me = Identity.of(os.getpid())
    names = ("prefect", "mlflow", "paper_venue", "cerebellum", "dashboard")
    entries = {
        name: {**me.to_json(), "state": "up", "address": address, "event": MARKUP}
        for name, address in zip(names, AWAY, strict=False)
    }
    entries["worker"] = {**entries["mlflow"], "address": "http://127.0.0.1:9/runs"}
    write_json(workspace.services_file, {"run": run.run_id, "services": entries})
    write_json(
        run.facts,
        {"prefect": AWAY[0], "mlflow": AWAY[3], "market": MARKUP, "unknown_funding": [MARKUP]},
    )
    agent = {
        **dict.fromkeys(("agent", "role", "symbol", "last_signal", "last_event"), MARKUP),
        "pnl": "1",
        "trades": 1,
        "position": "1",
        "proven": False,
    }
    write_json(run.arena, {"market_ts": 60_000, "agents": [agent], "quarantined": {MARKUP: MARKUP}})
    Progress(MARKUP, 1, "evolving", 1, 8, 0.1, 10, MARKUP).write(workspace.path / "forge" / "k")
    note_outcome(workspace.path / "forge", MARKUP, 1, MARKUP)
    with Ledger(run.ledger) as ledger:
        ledger.seat(agent_row(NAME))
        ledger.seat(agent_row(MARKUP, symbol=MARKUP, kind=MARKUP, proven_by=MARKUP))
        for number, name in enumerate((NAME, MARKUP), 1):
            changes = {"agent": name, "reason": MARKUP, "intent_id": MARKUP, "symbol": "BTCUSDT"}
            ledger.book_event(fill_event(2 * number - 1, f"e{number}", **changes))
            ledger.book_event(fill_event(2 * number, f"x{number}", side="sell", **changes))
            ledger.book_equity(0, [(name, "live", Decimal(10_000))])
            sizing = {
                "multipliers": {MARKUP: {"state": MARKUP, "value": 1.0, "inputs": {MARKUP: 1.0}}}
            }
            ledger.book_decision(
                60_000, name, "buy", MARKUP, Decimal(1), Decimal(1), MARKUP, sizing
            )
        ledger.book_verdict(60_000, MARKUP, MARKUP, "cull", MARKUP, {"gain_evidence": 1.0})
        ledger.unseat(MARKUP, 60_000)
        ledger.book_event(
            RiskEvent(ts=1, seq=9, code=MARKUP, text=MARKUP, agent=MARKUP, symbol=MARKUP)
        )
        ledger.set_market_ts(120_000)
    with served(workspace) as (address, _), browsing(chromium) as page:
        for view in (*VIEWS, f"/agents/{NAME}"):
            page.goto(f"{address}{view}")
            page.get_by_text("waiting for the first answer").wait_for(state="detached")
            page.locator("#today [data-value]").wait_for()
            page.wait_for_timeout(800)
            links = page.eval_on_selector_all("a", "all => all.map((a) => a.href)")
            if view == "/":
                page.get_by_text("no funding rates known of <img src=x").wait_for()
                links = page.eval_on_selector_all("a", "all => all.map((a) => a.href)")
                assert "http://127.0.0.1:9/runs" in links
            if view in HOSTILE:
                page.locator("main :not(option)", has_text="<img src=x").last.wait_for()
            allowed = (f"{address}/", "http://127.0.0.1:9/")
            assert [each for each in links if not each.startswith(allowed)] == []
            page.evaluate(
                "() => document.querySelectorAll('td, td span, li, p').forEach((e) => e.click())"
            )
            assert page.locator("main img, main script, header img, #banner img").count() == 0
            assert page.title().endswith("Crucible")
            assert "owned" not in page.title()
        # What a page made of every kind of address, as `ours` sees it.
        judged = page.evaluate(
            "all => import('/static/dom.js').then((dom) => all.map((each) => dom.ours(each)))",
            list(AWAY),
        )
        assert judged == [None] * len(AWAY)
