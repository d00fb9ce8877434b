"""The page shows what is, needs nothing from outside, and changes nothing unless its own user orders it."""

import re
import tomllib
from decimal import Decimal

import pytest
from starlette.testclient import TestClient

from crucible.dashboard.app import make_app
from crucible.dashboard.curves import thin
from crucible.dashboard.document import STATIC, VIEWS, plotly_file
from crucible.ledger.ledger import Ledger
from crucible.operations.workspace import Workspace, write_json
from tests.support.factories import agent_row

NAME = "BTCUSDT-gp-1@1"


def traded(workspace: Workspace) -> None:
    run = workspace.new_run()
    write_json(run.facts, {"prefect": "http://127.0.0.1:4200", "mlflow": "http://127.0.0.1:5000"})
    write_json(
        run.arena, {"market_ts": 1_735_689_600_000, "agents": [{"agent": NAME, "proven": False}]}
    )
    with Ledger(run.ledger) as ledger:
        ledger.seat(agent_row(NAME))


def test_an_empty_home_has_a_page_and_a_state(workspace: Workspace):
    client = TestClient(make_app(workspace))
    assert client.get("/").status_code == 200
    assert client.get("/health").text == "ok"
    state = client.get("/api/state").json()
    assert state["status"]["agents"] == []
    assert state["market_time"] == "no market time yet"


def test_the_state_is_what_status_says_and_does_not_grow_with_the_ledger(workspace: Workspace):
    traded(workspace)
    client = TestClient(make_app(workspace))
    before = client.get("/api/state")
    assert before.json()["status"]["agents"][0]["agent"] == NAME
    assert before.json()["market_time"] == "2025-01-01 00:00 UTC"
    run = workspace.current()
    assert run is not None
    with Ledger(run.ledger) as ledger:
        for minute in range(500):
            ledger.book_equity(minute * 60_000, [(NAME, "live", Decimal(10_000 + minute))])
            ledger.book_verdict(minute, NAME, "1", "keep", "too few trades", {})
    assert client.get("/api/state").json().keys() == before.json().keys()
    assert len(client.get("/api/state").content) == len(before.content)


def test_a_ledger_that_cannot_be_read_is_said_on_the_page(workspace: Workspace):
    run = workspace.new_run()
    run.ledger.write_text("this is not a database, it is a long enough text")
    answer = TestClient(make_app(workspace)).get("/api/overview")
    assert answer.status_code == 503
    assert "ledger.sqlite cannot be read" in answer.json()["error"]


def test_a_damaged_home_is_an_answer_not_a_crash(workspace: Workspace):
    workspace.services_file.write_text("{")
    answer = TestClient(make_app(workspace)).get("/api/state")
    assert answer.status_code == 503
    assert "services.json" in answer.json()["error"]


@pytest.mark.parametrize("path", [*VIEWS, "/agents/BTCUSDT-gp-1@1"])
def test_every_view_has_an_address_of_its_own_and_runs_only_what_the_server_serves(
    workspace: Workspace, path: str
):
    client = TestClient(make_app(workspace))
    page = client.get(path)
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert address.startswith(("/", "#", "data:,")), address
        if address.startswith("/static/"):
            assert client.get(address).status_code == 200
    assert re.search(r"<script(?! type=.module. src=)", page.text) is None
    assert "style=" not in page.text


def test_no_script_of_the_page_makes_markup_of_text_or_runs_text():
    scripts = list(STATIC.glob("*.js"))
    assert len(scripts) > 10
    for script in scripts:
        text = script.read_text()
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "new Function",
            "https://",
        ):
            assert word not in text, f"{script.name}: {word}"


def test_every_static_file_is_shipped():
    shipped = tomllib.loads((STATIC.parents[2] / "pyproject.toml").read_text())
    patterns = shipped["tool"]["setuptools"]["package-data"]["crucible"]
    for path in STATIC.iterdir():
        name = path.relative_to(STATIC.parents[1])
        assert any(name.match(pattern) for pattern in patterns), name


def test_charts_are_drawn_by_the_javascript_of_the_locked_package(workspace: Workspace):
    found = plotly_file()
    assert found is not None
    answer = TestClient(make_app(workspace)).get("/static/plotly.min.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.content == found.read_bytes()


def test_a_name_in_an_address_stays_text_in_the_document(workspace: Workspace):
    page = TestClient(make_app(workspace)).get("/agents/%3Cscript%3Ealert(1)%3Cscript%3E")
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text


def test_no_view_takes_an_order(workspace: Workspace):
    client = TestClient(make_app(workspace))
    for path in (*VIEWS, "/api/state", "/api/overview", "/health"):
        assert client.post(path).status_code == 405


def test_thinning_keeps_the_ends():
    points = [[float(number), 0.0] for number in range(1000)]
    kept = thin(points, 7)
    assert len(kept) == 7
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]


def test_the_way_to_mlflow_leads_nowhere_else_and_says_what_is_missing(workspace: Workspace):
    client = TestClient(make_app(workspace), follow_redirects=False)
    assert client.get("/models").status_code == 503
    assert "crucible up" in client.get("/models").text
    traded(workspace)
    there = client.get("/models").headers["location"]
    assert there == "http://127.0.0.1:5000/#/models"
    # Nobody listens at that port of the test; the answer is a sentence, no traceback.
    run = workspace.current()
    assert run is not None
    write_json(run.facts, {"mlflow": "http://127.0.0.1:9"})
    assert "MLflow at http://127.0.0.1:9 did not describe" in client.get("/forgings").text


def test_what_placebos_say_stands_on_the_page_whatever_is_traded(workspace: Workspace):
    traded(workspace)
    found = {"alarm": True, "sentence": "ALARM: Placebos: 9 of 9 promoted"}
    write_json(workspace.current().placebos, found)
    state = TestClient(make_app(workspace)).get("/api/state").json()
    assert state["status"]["placebos"] == found
    assert 'id="placebos"' in TestClient(make_app(workspace)).get("/").text


def test_a_question_about_what_is_not_here_names_it_and_what_there_is(workspace: Workspace):
    traded(workspace)
    client = TestClient(make_app(workspace))
    for path, named, there in (
        ("/api/agents/NOBODY-gp-1@7", "'NOBODY-gp-1@7'", "stand under Agents"),
        ("/api/version?name=NOBODY-gp-1@7", "'NOBODY-gp-1@7'", "stand under Agents"),
        ("/api/market?symbol=NOPE", "'NOPE'", "BTCUSDT"),
        ("/api/book?symbol=NOPE", "'NOPE'", "BTCUSDT"),
        ("/api/nothing", "'nothing'", "no question"),
    ):
        answer = client.get(path)
        assert answer.status_code == 404
        assert named in answer.json()["error"]
        assert there in answer.json()["error"]


def test_an_address_of_no_view_names_itself_and_leads_to_the_views(workspace: Workspace):
    client = TestClient(make_app(workspace))
    answer = client.get("/agent/<b>")
    assert answer.status_code == 404
    assert answer.headers["content-security-policy"]
    assert "No view is at /agent/&lt;b&gt;" in answer.text
    for address in VIEWS:
        assert f'href="{address}"' in answer.text
    assert client.get("/static/none.js").json() == {
        "error": "there is nothing at '/static/none.js'"
    }


def test_a_placebos_page_says_that_it_has_no_rule(workspace: Workspace):
    name = "BTCUSDT-placebo-1@1"
    with Ledger(workspace.new_run().ledger) as ledger:
        ledger.seat(agent_row(name, "placebo", kind="placebo"))
    found = TestClient(make_app(workspace)).get(f"/api/version?name={name}").json()
    assert found["known"] is True
    assert found["why"].startswith("A placebo has no rule")
