"""Orders are taken from this server's own page alone, and only those that make sense."""

import json
import os

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


KILL = json.dumps({"action": "kill"})
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
            "/api/control", content=KILL, headers={**headers, "content-type": JSON}
        )
        assert answer.status_code == 403
        assert token not in answer.text
    for address in (f"/api/control?token={token}", f"/api/control?{HEADER}={token}"):
        assert client.post(address, content=KILL, headers={"content-type": JSON}).status_code == 403
    assert orders == []


def test_what_a_page_elsewhere_may_send_unasked_is_no_order_even_with_the_token(client, orders):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        headers = {HEADER: token_of(client), "content-type": kind}
        assert client.post("/api/control", content=KILL, headers=headers).status_code == 403
    assert client.get("/api/control", headers={HEADER: token_of(client)}).status_code == 404
    assert orders == []


def test_an_order_with_the_token_reaches_cerebellum_under_a_name(client, orders):
    headers = {HEADER: token_of(client), "content-type": JSON}
    client.post("/api/control", content=KILL, headers=headers)
    [(command, by)] = orders
    assert command == Command("kill", None, None)
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
        client.post("/api/control", content=KILL, headers={**usual, **headers}).status_code == 403
    )
    assert orders == []
    client.post("/api/control", content=KILL, headers={**usual, "origin": "http://127.0.0.1:8400"})
    assert len(orders) == 1


def test_another_user_of_the_machine_gets_neither_the_token_nor_an_order(workspace, orders):
    gate = Gate(make_app(workspace), lambda _client, _server: os.getuid() + 1)
    client = TestClient(gate, base_url="http://127.0.0.1:8400")
    headers = {"host": "127.0.0.1:8400"}
    assert client.get("/", headers=headers).status_code == 403
    assert client.post("/api/control", content=KILL, headers=headers).status_code == 403
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


def test_a_kill_of_everything_waits_for_no_view(workspace, orders, monkeypatch):
    def busy(_):
        raise AssertionError

    client = TestClient(make_app(workspace), raise_server_exceptions=False)
    headers = {HEADER: token_of(client), "content-type": JSON}
    monkeypatch.setattr("crucible.dashboard.app._names", busy)
    client.post("/api/control", content=KILL, headers=headers)
    assert len(orders) == 1


def test_a_title_that_looks_like_a_mark_of_the_document_is_not_filled_in(client):
    page = client.get("/agents/@TOKEN@").text
    assert page.count(token_of(client)) == 1


def test_an_order_names_what_it_is_about():
    assert (
        read_command(b'{"action": "halt", "symbol": "BTCUSDT"}', AGENTS, SYMBOLS).scope == "BTCUSDT"
    )
    whole = json.dumps({"action": "close", "agent": LIVES, "symbol": "BTCUSDT"}).encode()
    assert read_command(whole, AGENTS, SYMBOLS).scope == f"{LIVES} in BTCUSDT"
    assert read_command(b'{"action": "resume"}', AGENTS, SYMBOLS).scope == "everything"


def test_without_cerebellum_an_order_ends_in_a_sentence(workspace):
    traded(workspace)
    client = TestClient(make_app(workspace))
    headers = {HEADER: token_of(client), "content-type": JSON}
    answer = client.post("/api/control", content=KILL, headers=headers)
    assert answer.status_code == 503
    assert "cerebellum" in answer.json()["error"].lower()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "localhost.evil.example", ""])  # noqa: S104
def test_the_page_is_refused_on_any_other_interface(host):
    with pytest.raises(BindError, match="loopback"):
        require_loopback(host)
