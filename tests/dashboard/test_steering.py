"""Orders are taken from this server's own page alone, and only those that make sense."""

import json
import os
import time

import pytest
from starlette.testclient import TestClient

from crucible.dashboard.__main__ import BindError, require_loopback
from crucible.dashboard.app import make_app
from crucible.dashboard.steering import HEADER, Command, SteeringError, read_command
from crucible.gate import Gate
from tests.support.pages import LIVES, traded

AGENTS, SYMBOLS = {LIVES}, {"BTCUSDT"}


@pytest.fixture
def orders(workspace, monkeypatch):
    """Every order that reaches Cerebellum's side of the page."""
    taken = []

    def carry_out(addresses, command, by):
        taken.append((command, by))
        raise AssertionError

    monkeypatch.setattr("crucible.dashboard.steering.reach", lambda _: (None, ""))
    monkeypatch.setattr("crucible.dashboard.steering.carry_out", carry_out)
    traded(workspace)
    return taken


@pytest.fixture
def client(workspace, orders):
    return TestClient(make_app(workspace), raise_server_exceptions=False)


def token_of(client):
    page = client.get("/").text
    return page.split('name="crucible-token" content="')[1].split('"')[0]


def order(age_s=0.0, **parts):
    return json.dumps({**parts, "given_ms": round((time.time() - age_s) * 1_000)})


def kill():
    return order(action="kill")


JSON = "application/json"


def test_an_order_without_the_token_changes_nothing(client, orders):
    token = token_of(client)
    for headers in (
        {},
        {HEADER: ""},
        {HEADER: "guess"},
        {HEADER: token[:-1]},
        {HEADER: f"{token}x"},
    ):
        answer = client.post(
            "/api/control", content=kill(), headers={**headers, "content-type": JSON}
        )
        assert answer.status_code == 403
        assert token not in answer.text
    for address in (f"/api/control?token={token}", f"/api/control?{HEADER}={token}"):
        assert (
            client.post(address, content=kill(), headers={"content-type": JSON}).status_code == 403
        )
    assert orders == []


def test_what_a_page_elsewhere_may_send_unasked_is_no_order_even_with_the_token(client, orders):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        headers = {HEADER: token_of(client), "content-type": kind}
        assert client.post("/api/control", content=kill(), headers=headers).status_code == 403
    assert client.get("/api/control", headers={HEADER: token_of(client)}).status_code == 404
    assert orders == []


def test_an_order_with_the_token_reaches_cerebellum_under_a_name(client, orders):
    headers = {HEADER: token_of(client), "content-type": JSON}
    client.post("/api/control", content=kill(), headers=headers)
    [(command, by)] = orders
    assert command == Command("kill", None, None, command.given_ms)
    assert by.endswith("on the page")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"host": "evil.example:8400"},
        {"host": "127.0.0.1:1"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
    ],
)
def test_an_order_from_another_origin_or_for_another_host_changes_nothing(
    workspace, orders, headers
):
    app = make_app(workspace)
    token = token_of(TestClient(app))
    gate = Gate(app, lambda _client, _server: os.getuid())
    client = TestClient(gate, base_url="http://127.0.0.1:8400", raise_server_exceptions=False)
    usual = {HEADER: token, "content-type": JSON, "host": "127.0.0.1:8400"}
    assert (
        client.post("/api/control", content=kill(), headers={**usual, **headers}).status_code == 403
    )
    assert orders == []
    client.post(
        "/api/control", content=kill(), headers={**usual, "origin": "http://127.0.0.1:8400"}
    )
    assert len(orders) == 1


def test_another_user_of_the_machine_gets_neither_the_token_nor_an_order(workspace, orders):
    gate = Gate(make_app(workspace), lambda _client, _server: os.getuid() + 1)
    client = TestClient(gate, base_url="http://127.0.0.1:8400")
    headers = {"host": "127.0.0.1:8400"}
    assert client.get("/", headers=headers).status_code == 403
    assert client.post("/api/control", content=kill(), headers=headers).status_code == 403
    assert orders == []


def test_each_start_has_a_token_of_its_own_and_no_file_holds_it(workspace):
    first, second = (token_of(TestClient(make_app(workspace))) for _ in range(2))
    assert first != second
    assert len(first) >= 40
    files = [path for path in workspace.path.rglob("*") if path.is_file()]
    assert not [path for path in files if first.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"kill"',
        b"[" * 1_500,
        b"{" + b" " * 2_500 + b"}",
        b'{"action": "promote"}',
        b'{"action": ["kill"]}',
        b'{"action": "kill", "agent": "nobody@1"}',
        b'{"action": "kill", "agent": 7}',
        b'{"action": "kill", "symbol": "DOGEUSDT"}',
        b'{"action": "kill", "operator": "me"}',
        b'{"action": "close", "symbol": "BTCUSDT"}',
        b'{"action": "close"}',
        b'{"action": "kill", "agent": "<script>@1"}',
        b'{"action": "kill"}',
        b'{"action": "kill", "given_ms": "now"}',
        b'{"action": "kill", "given_ms": true}',
        b'{"action": "kill", "given_ms": 1e400}',
        b'{"action": "kill", "given_ms": -1}',
    ],
)
def test_an_order_that_makes_no_sense_is_refused_by_name(client, orders, body):
    with pytest.raises(SteeringError):
        read_command(body, AGENTS, SYMBOLS)
    headers = {HEADER: token_of(client), "content-type": JSON}
    answer = client.post("/api/control", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert orders == []


@pytest.mark.parametrize("action", ["kill", "resume", "halt", "close"])
@pytest.mark.parametrize("age_s", [11.0, 300.0, -11.0])
def test_an_order_that_was_given_long_ago_is_refused_and_says_so(client, orders, action, age_s):
    headers = {HEADER: token_of(client), "content-type": JSON}
    body = order(age_s, action=action, agent=LIVES, symbol="BTCUSDT")
    answer = client.post("/api/control", content=body, headers=headers)
    assert answer.status_code == 409
    assert "nothing was done" in answer.json()["error"]
    assert orders == []
    body = order(8.0, action=action, agent=LIVES, symbol="BTCUSDT")
    client.post("/api/control", content=body, headers=headers)
    assert len(orders) == 1


def test_an_order_that_waits_here_until_it_is_old_is_refused(client, orders, monkeypatch):
    headers = {HEADER: token_of(client), "content-type": JSON}
    body = order(action="halt", symbol="BTCUSDT")
    later = time.time() + 11

    def slow(_):
        monkeypatch.setattr("crucible.dashboard.steering.time.time", lambda: later)
        return AGENTS, SYMBOLS

    monkeypatch.setattr("crucible.dashboard.app._names", slow)
    answer = client.post("/api/control", content=body, headers=headers)
    assert answer.status_code == 409
    assert orders == []


def test_the_page_is_handed_this_servers_clock(client):
    began = time.time() * 1_000 - 1
    now = int(client.get("/").text.split('name="crucible-now" content="')[1].split('"')[0])
    assert began <= now <= time.time() * 1_000


def test_a_kill_of_everything_waits_for_no_view(workspace, orders, monkeypatch):
    def busy(_):
        raise AssertionError

    client = TestClient(make_app(workspace), raise_server_exceptions=False)
    headers = {HEADER: token_of(client), "content-type": JSON}
    monkeypatch.setattr("crucible.dashboard.app._names", busy)
    client.post("/api/control", content=kill(), headers=headers)
    assert len(orders) == 1


def test_a_title_that_looks_like_a_mark_of_the_document_is_not_filled_in(client):
    page = client.get("/agents/@TOKEN@").text
    assert page.count(token_of(client)) == 1


def test_an_order_names_what_it_is_about():
    for parts, scope in (
        ({"action": "halt", "symbol": "BTCUSDT"}, "BTCUSDT"),
        ({"action": "close", "agent": LIVES, "symbol": "BTCUSDT"}, f"{LIVES} in BTCUSDT"),
        ({"action": "resume"}, "everything"),
    ):
        assert read_command(order(**parts).encode(), AGENTS, SYMBOLS).scope == scope


def test_without_cerebellum_an_order_ends_in_a_sentence(workspace):
    traded(workspace)
    client = TestClient(make_app(workspace))
    headers = {HEADER: token_of(client), "content-type": JSON}
    answer = client.post("/api/control", content=kill(), headers=headers)
    assert answer.status_code == 503
    assert "cerebellum" in answer.json()["error"].lower()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "localhost.evil.example", ""])  # noqa: S104
def test_the_page_is_refused_on_any_other_interface(host):
    with pytest.raises(BindError, match="loopback"):
        require_loopback(host)
