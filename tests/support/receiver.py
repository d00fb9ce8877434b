"""A receiver of alerts on the loopback interface."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "s3cr3t-token"
"""What the address of a receiver holds and nobody may show."""


class Receiver:
    """Takes what Apprise posts to a ``json://`` address."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.got: list[dict] = []
        self.status = 200
        self.hangs = threading.Event()
        self.hangs.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.hangs.wait(20)
                if receiver.status == 200:
                    receiver.got.append(body)
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/{self.secret}"

    @property
    def titles(self) -> list[str]:
        return [each["title"].removeprefix("Crucible: ") for each in self.got]


@contextmanager
def receiving(secret: str) -> Iterator[Receiver]:
    """A receiver whose address holds a secret, for as long as the block lasts."""
    made = Receiver(secret)
    try:
        yield made
    finally:
        made.hangs.set()
        made.server.shutdown()
        made.server.server_close()
