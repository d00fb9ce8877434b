"""A web page that somebody has open gets nothing from the venue: not by REST, sockets or admin."""

import json

import pytest
import requests
import websocket

from tests.support.polling import until

PATHS = ["/v5/market/time", "/admin/status", "/admin/ledger", "/v5/order/realtime", "/nowhere"]
FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "evil.example:{port}"},
    {"Host": "127.0.0.1"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://evil.example:{port}"},
    {"Sec-Fetch-Site": "cross-site"},
]


def filled(venue, headers):
    port = venue.rest.rsplit(":", 1)[1]
    return {name: value.replace("{port}", port) for name, value in headers.items()}


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_foreign_host_or_origin_is_answered_403_on_every_path(venue, headers):
    for path in PATHS:
        answer = requests.get(venue.rest + path, headers=filled(venue, headers), timeout=5)
        assert answer.status_code == 403, path
        assert answer.json()["error"]


def test_a_foreign_page_moves_no_fault_into_the_venue(venue):
    body = json.dumps({"kind": "error", "probability": 1.0, "endpoint": "any"})
    answer = requests.post(
        venue.rest + "/admin/fault",
        data=body,
        headers={"Origin": "http://evil.example", "Content-Type": "text/plain"},
        timeout=5,
    )
    assert answer.status_code == 403
    assert venue.get("/admin/status")["faults"]["armed"] == []


@pytest.mark.parametrize("path", ["/v5/public/linear", "/v5/private", "/v5/trade"])
def test_a_foreign_page_opens_no_socket(venue, path):
    for wrong in ({"origin": "http://evil.example"}, {"host": "evil.example"}):
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            websocket.create_connection(venue.ws + path, timeout=5, **wrong)
        assert refused.value.status_code == 403
    port = venue.rest.rsplit(":", 1)[1]
    for own in ({"origin": f"http://localhost:{port}"}, {"suppress_origin": True}):
        socket = websocket.create_connection(venue.ws + path, timeout=5, **own)
        socket.send(json.dumps({"op": "ping"}))
        assert "pong" in until(socket.recv)
        socket.close()


def test_its_own_names_and_those_that_are_allowed_are_let_in(fresh):
    venue = fresh("--allow-host", "venue.lan:8300,tunnel.lan", "--history-days", "1")
    port = venue.rest.rsplit(":", 1)[1]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", "venue.lan:8300", "tunnel.lan"):
        headers = {"Host": host, "Origin": f"http://{host}"}
        answer = requests.get(venue.rest + "/v5/market/time", headers=headers, timeout=5)
        assert answer.status_code == 200, host
    answer = requests.get(venue.rest, headers={"Host": f"venue.lan:{port}"}, timeout=5)
    assert answer.status_code == 403
