"""Whatever stands in the files that our page shows, it is text: nothing runs, and no link leads away."""

from __future__ import annotations

import os
import sys

import pytest

from crucible.operations.supervision.ports import claim
from crucible.operations.supervision.process import Identity, ServiceProcess
from crucible.operations.workspace import Workspace, write_json
from tests.browser.test_pages import browsing, chromium  # noqa: F401
from tests.support.plant import answer
from tests.support.processes import REPOSITORY

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
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
    write_json(run.arena, {"market_ts": 60_000, "agents": [agent]})
    port = claim(0, "dashboard")
    environment = {**os.environ, "CRUCIBLE_HOME": str(workspace.path)}
    command = (sys.executable, "-m", "crucible.dashboard", "--port", str(port))
    process = ServiceProcess("dashboard", command, environment, workspace.logs, REPOSITORY)
    try:
        answer(f"http://127.0.0.1:{port}/health", process)
        with browsing(chromium) as page:
            page.goto(f"http://127.0.0.1:{port}/")
            page.get_by_text("<img src=x").first.wait_for()
            assert "no funding rates known of <img src=x" in page.locator("#market").inner_text()
            links = page.eval_on_selector_all("a", "all => all.map((a) => a.href)")
            assert "http://127.0.0.1:9/runs" in links
            allowed = (f"http://127.0.0.1:{port}/", "http://127.0.0.1:9/")
            assert [each for each in links if not each.startswith(allowed)] == []
            # What a page made of every kind of address, as `ours` sees it.
            judged = page.evaluate("all => all.map((each) => ours(each))", list(AWAY))
            assert judged == [None] * len(AWAY)
            page.evaluate(
                "() => document.querySelectorAll('td, td span').forEach((e) => e.click())"
            )
            assert page.locator("td img, td script, span img").count() == 0
            assert page.title() == "Crucible"
    finally:
        process.stop(5.0)
