"""Our links lead straight to what counts in MLflow, and the trading state stands first on our page."""

from __future__ import annotations

import os
import sqlite3
import threading

import pytest
import uvicorn

from crucible.dashboard.app import make_app
from crucible.ledger.ledger import Ledger
from crucible.lifecycle.records import EVALUATIONS, Records
from crucible.operations.supervision.ports import claim
from crucible.operations.supervision.process import Identity
from crucible.operations.supervision.servers import forge_runs_experiment, prepare_forge_runs
from crucible.operations.workspace import Workspace, write_json
from crucible.settings import Slot
from tests.browser.test_pages import browsing, chromium
from tests.lifecycle.test_records import QUARTER_MS, judge, registered
from tests.support.factories import agent_row, fill
from tests.support.polling import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

__all__ = ["chromium"]
SLOT = "PAGEUSDT-gp-1"
LIVES = Slot(symbol="LIVESUSDT", kind="gp", number=1)
FORGED = "SIXUSDT-gp-1"
METRICS = {"gates_failed": 3.0, "deflated_sharpe": 0.4242, "sealed_net_return": -0.0123}


@pytest.fixture(scope="module")
def forged(registry):
    """A forge run and a model, on a server that `crucible up` has prepared."""
    prepare_forge_runs(registry.tracking_uri)
    run = registry.open_run("page", f"forge {SLOT}", {"slot": SLOT, "verdict": "refused"})
    rows = [(name, value, 0) for name, value in METRICS.items()]
    registry.log(run, metrics=[*rows, ("generation/best_score", 1.0, 0)])
    registry.close_run(run, "FINISHED")
    registry._client.create_registered_model(SLOT)
    return registry


@pytest.fixture(scope="module")
def front(forged, tmp_path_factory):
    """Our page, for a workspace whose Cerebellum lives and whose journal says HALTED."""
    workspace = Workspace.at(tmp_path_factory.mktemp("home"))
    workspace.create()
    run = workspace.new_run()
    write_json(run.facts, {"mlflow": forged.tracking_uri, "prefect": "http://127.0.0.1:9"})
    agents = [
        {"agent": "BTCUSDT-gp-1@1", "role": "production", "position": "0.5", "pnl": "1.25"},
        {"agent": "BTCUSDT-gp-1@2", "role": "challenger", "position": "9", "pnl": "777.77"},
    ]
    write_json(run.arena, {"market_ts": 1_735_689_600_000, "agents": agents})
    with Ledger(run.ledger) as ledger:
        ledger.seat(agent_row("BTCUSDT-gp-1@1"))
        ledger.seat(agent_row("BTCUSDT-gp-1@2", "challenger"))
        changes = {"agent": "BTCUSDT-gp-1@2", "mode": "shadow"}
        ledger.book_shadow_fill(fill(1, "buy", "1", "100", **changes))
        ledger.book_shadow_fill(fill(2, "sell", "1", "877.77", **changes))
    me = Identity.of(os.getpid())
    assert me is not None
    incumbents = {**me.to_json(), "state": "up", "address": ""}
    write_json(
        workspace.services_file, {"services": {"cerebellum": incumbents, "arena": incumbents}}
    )
    with sqlite3.connect(run.journal) as database:
        database.execute("CREATE TABLE states (agent, symbol, state)")
        database.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, ts, type, body)")
        database.execute("INSERT INTO states VALUES ('', '', 'HALTED')")
    database.close()
    port = claim(0, "dashboard")
    server = uvicorn.Server(
        uvicorn.Config(make_app(workspace), host="127.0.0.1", port=port, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "our page", seconds=30)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=10)


def picture(page, name):
    if folder := os.environ.get("CRUCIBLE_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png")


def test_our_links_lead_to_the_forgings_with_the_columns_that_count_and_to_the_models(
    front, chromium
):
    with browsing(chromium) as page:
        page.goto(f"{front}/forgings")
        page.get_by_text(f"forge {SLOT}").first.wait_for()
        for name in METRICS:
            page.get_by_text(name, exact=True).first.wait_for()
        # All three are in sight, without a move of the hand.
        for value in ("0.4242", "-0.0123"):
            page.get_by_text(value).first.wait_for()
        for name in METRICS:
            box = page.get_by_text(name, exact=True).first.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] < 1400
        picture(page, "forgings")
        assert "/experiments/" in page.url
        assert "/runs" in page.url
        assert "traces" not in page.url
        page.goto(f"{front}/models")
        page.get_by_text(SLOT).first.wait_for()
        picture(page, "models")


def test_our_page_says_halted_first_and_keeps_what_is_simulated_apart(front, chromium):
    with browsing(chromium) as page:
        page.goto(front)
        page.locator("#banner").get_by_text("HALTED: no order of an agent leaves").wait_for()
        page.get_by_role("heading", name="Services").wait_for()
        reported = page.locator("body").inner_text()
        assert "lift it: crucible resume --operator NAME" in reported
        assert reported.index("HALTED") < reported.index("Services")
        picture(page, "page")
        page.goto(f"{front}/agents")
        venue = page.locator("tr:not(.simulated)[data-agent]")
        simulated = page.locator("tr.simulated[data-agent]")
        venue.first.wait_for()
        assert venue.count() == 1
        assert "777.77" in simulated.inner_text()
        assert "simulated" in simulated.inner_text()
        assert "777.77" not in venue.inner_text()
        # A page that gets no answer never goes on saying what it said before.
        page.route("**/api/stream", lambda route: route.abort())
        page.reload()
        page.locator("#banner").get_by_text("UNKNOWN: this page gets no answer").wait_for()
        assert "HALTED" not in page.locator("#trading").inner_text()


def test_an_older_experiment_gets_the_view_and_keeps_what_a_person_wrote(forged):
    client = forged._client
    experiment = forge_runs_experiment(forged.tracking_uri)
    client.set_experiment_tag(experiment, "mlflow.note.content", "mine")
    client.set_experiment_tag(experiment, "mlflow.sharedViewState.crucible", "{}")
    prepare_forge_runs(forged.tracking_uri)
    tags = client.get_experiment(experiment).tags
    assert tags["mlflow.note.content"] == "mine"
    assert "gates_failed" in tags["mlflow.sharedViewState.crucible"]


@pytest.fixture(scope="module")
def lives(registry, tmp_path_factory):
    """Six agents that were judged eight times each."""
    records = Records(registry)
    versions = [registered(registry, LIVES) for _ in range(6)]
    with Ledger(tmp_path_factory.mktemp("lives") / "ledger.sqlite") as ledger:
        for number, version in enumerate(versions):
            for step in range(1, 9):
                judge(
                    ledger,
                    version,
                    600_000 + step * QUARTER_MS,
                    trades=step,
                    gain_evidence=1.0 + number * step,
                )
        records.evaluate("run", ledger.unrecorded())
    return registry


def select_six_and_compare(page, name):
    """Tick the newest six runs and press Compare."""
    page.get_by_text(name).first.wait_for()
    for number in range(6):
        row = page.get_by_role("row").filter(has_text=name).nth(number)
        row.get_by_role("checkbox").first.click(force=True)
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("Comparing 6 Runs").first.wait_for()


def test_six_lives_are_compared_in_one_chart_with_their_evidence(lives, chromium):
    experiment = lives.other_experiment(EVALUATIONS, "").id()
    with browsing(chromium) as page:
        page.goto(f"{lives.tracking_uri}/#/experiments/{experiment}/runs")
        try:
            select_six_and_compare(page, f"evaluate {LIVES.name}@")
        finally:
            if folder := os.environ.get("CRUCIBLE_PICTURES"):
                page.screenshot(path=f"{folder}/lives.png")
        for name in ("gain_evidence", "loss_evidence", "drawdown"):
            page.get_by_text(name, exact=True).first.wait_for()


def test_six_forge_runs_are_compared_by_their_gates(registry, chromium):
    prepare_forge_runs(registry.tracking_uri)
    for number in range(6):
        run = registry.open_run(f"six-{number}", f"forge {FORGED}", {"slot": FORGED})
        registry.log(
            run, metrics=[("gate/deflated_sharpe", 0.1 * number, 0), ("gates_failed", number, 0)]
        )
        registry.close_run(run, "FINISHED")
    with browsing(chromium) as page:
        experiment = forge_runs_experiment(registry.tracking_uri)
        page.goto(f"{registry.tracking_uri}/#/experiments/{experiment}/runs")
        select_six_and_compare(page, f"forge {FORGED}")
        page.get_by_text("gate/deflated_sharpe", exact=True).first.wait_for()
