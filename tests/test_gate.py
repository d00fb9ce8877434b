"""The gate lets through what its own user asks from its own pages, and nothing else."""

import asyncio
import os
import socket
import subprocess
import sys
import threading

import pytest
import uvicorn

from crucible.gate import Gate, owner_of
from tests.support.polling import until

PORT = 8400
OURS = {"host": f"127.0.0.1:{PORT}"}
FETCH = {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
LINK = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
FRAME = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
PICTURE = {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}


async def behind(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"behind the gate"})


def ask(headers, *, method="GET", kind="http", owner=os.getuid, gate=None):
    """Give the status, or the code with which a WebSocket was closed."""
    scope = {
        "type": kind,
        "method": method,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 55_555),
        "server": ("127.0.0.1", PORT),
    }
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run((gate or Gate(behind, lambda _client, _server: owner()))(scope, None, send))
    return sent[0].get("status") or sent[0]["code"]


@pytest.mark.parametrize(
    ("headers", "method", "status"),
    [
        ({"host": f"127.0.0.1:{PORT}"}, "GET", 200),
        ({"host": f"LocalHost:{PORT}"}, "GET", 200),
        ({}, "GET", 403),
        ({"host": "127.0.0.1"}, "GET", 403),
        ({"host": f"evil.example:{PORT}"}, "GET", 403),
        ({"host": f"127.0.0.1:{PORT + 1}"}, "GET", 403),
        ({**OURS, "origin": f"http://127.0.0.1:{PORT}"}, "POST", 200),
        ({**OURS, "origin": f"http://localhost:{PORT}"}, "POST", 200),
        ({**OURS, "origin": f"http://127.0.0.1:{PORT + 1}"}, "POST", 403),
        ({**OURS, "origin": f"https://127.0.0.1:{PORT}"}, "POST", 403),
        ({**OURS, "origin": "http://evil.example"}, "GET", 403),
        ({**OURS, "origin": "null"}, "POST", 403),
        ({**OURS, "origin": f"http://localhost:{PORT}.evil.example"}, "POST", 403),
        ({**OURS, **FETCH, "sec-fetch-site": "same-origin"}, "POST", 200),
        ({**OURS, **LINK, "sec-fetch-site": "none"}, "GET", 200),
        ({**OURS, **LINK, "sec-fetch-site": "cross-site"}, "GET", 200),
        ({**OURS, **LINK, "sec-fetch-site": "same-site"}, "POST", 403),
        ({**OURS, **FRAME, "sec-fetch-site": "same-site"}, "GET", 403),
        ({**OURS, **FETCH, "sec-fetch-site": "same-site"}, "GET", 403),
        ({**OURS, **FETCH, "sec-fetch-site": "cross-site"}, "GET", 403),
        ({**OURS, **PICTURE, "sec-fetch-site": "same-site"}, "GET", 200),
        ({**OURS, **PICTURE, "sec-fetch-site": "cross-site"}, "GET", 403),
        ({**OURS, **PICTURE, "sec-fetch-site": "same-site"}, "POST", 403),
    ],
)
def test_only_our_own_pages_pass(headers, method, status):
    assert ask(headers, method=method) == status


@pytest.mark.parametrize("owner", [None, 0, 65_534, os.getuid() + 1])
def test_only_our_own_user_passes(owner):
    if owner != os.getuid():
        assert ask(OURS, owner=lambda: owner) == 403


def test_where_the_system_does_not_tell_who_asks_nobody_passes():
    def unreported():
        raise FileNotFoundError

    assert ask(OURS, owner=unreported) == 403


def test_a_websocket_of_another_origin_is_closed_before_it_is_opened():
    assert ask({**OURS, "origin": "http://127.0.0.1:1"}, kind="websocket") == 1008


@pytest.fixture(scope="module")
def server():
    config = uvicorn.Config(Gate(behind), port=0, log_level="error", proxy_headers=False)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
    yield running.servers[0].sockets[0].getsockname()[1]
    running.should_exit = True
    thread.join(10)


# Another user may not be able to read the libraries of this one: everything is imported before.
ASK = """
import encodings.idna, os, socket, sys
port, user = int(sys.argv[1]), int(sys.argv[2])
if user != os.getuid():
    os.setgroups([]); os.setgid(65534); os.setuid(user)
asked = socket.create_connection(("127.0.0.1", port), 20)
words = f"GET / HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\nX-Forwarded-For: 127.0.0.1\\r\\n"
asked.sendall((words + "Connection: close\\r\\n\\r\\n").encode())
print(asked.makefile().read())
"""


def asked_as(user, port):
    command = [sys.executable, "-c", ASK, str(port), str(user)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


@pytest.fixture(params=["asked", "read"])
def way(request, monkeypatch):
    """Both ways to learn it: the kernel is asked for one connection, or its tables are read."""
    if request.param == "read":
        monkeypatch.setattr("crucible.gate._SOCK_DIAG", 10_000)
    else:
        monkeypatch.setattr("crucible.gate._TABLES", ())


@pytest.mark.process
def test_the_other_end_of_a_real_connection_is_known(server, way):
    assert asked_as(os.getuid(), server).startswith("HTTP/1.1 200 OK")
    with socket.create_connection(("127.0.0.1", server)) as client:
        ends = client.getsockname(), client.getpeername()
        assert owner_of(*ends) == os.getuid()
        # The other half is there once the kernel has handled the last packet of the greeting.
        until(lambda: owner_of(ends[1], ends[0]) is not None, "its owner", seconds=5, pause=0.01)
        assert owner_of(ends[1], ends[0]) == os.getuid()
        assert owner_of(("127.0.0.1", server), ("127.0.0.1", ends[0][1] ^ 1)) is None
    assert owner_of(*ends) is None
    assert owner_of(("::1", 5), ends[1]) is None
    with socket.socket(socket.AF_INET6) as client:
        client.connect(("::ffff:127.0.0.1", server))
        assert (
            owner_of(("127.0.0.1", client.getsockname()[1]), ("127.0.0.1", server)) == os.getuid()
        )


@pytest.mark.process
@pytest.mark.skipif(os.getuid() != 0, reason="only root can ask as another user")
def test_another_user_of_the_machine_is_refused_on_a_real_connection(server, way):
    reported = asked_as(65_534, server)
    assert reported.startswith("HTTP/1.1 403 Forbidden")
    assert "crucible: another user of this machine may not ask here" in reported
    assert "behind the gate" not in reported
