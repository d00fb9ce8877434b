"""An address answers, or it does not; nothing else comes out."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from crucible.operations.probe import answers


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
