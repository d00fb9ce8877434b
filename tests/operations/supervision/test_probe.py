"""An address answers, or it does not; nothing else comes out."""

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from crucible.operations.supervision.probe import answers
from tests.support.processes import python


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_only_200_is_an_answer(address: str):
    assert answers(f"{address}/health")
    assert not answers(f"{address}/other")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "", "not an address"])
def test_silence_is_no_answer_and_no_fault(url: str):
    assert not answers(url, timeout_s=0.5)


@pytest.mark.process
@pytest.mark.skipif(os.getuid() != 0, reason="only root can listen as another user")
def test_another_users_server_on_the_port_is_no_answer():
    code = (
        "import encodings.idna, http.server, os\n"
        "class Yes(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self): self.send_response(200); self.end_headers()\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "server = http.server.HTTPServer(('127.0.0.1', 0), Yes)\n"
        "print(server.server_address[1], flush=True)\n"
        "server.serve_forever()\n"
    )
    with python(code, stderr=subprocess.DEVNULL) as other:
        port = int(other.stdout.readline())
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
        assert not answers(f"http://127.0.0.1:{port}/", timeout_s=5)
