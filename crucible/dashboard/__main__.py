"""`python -m crucible.dashboard --port N`: serve the page on the loopback interface."""

from __future__ import annotations

import argparse
import ipaddress
import sys

import uvicorn

from crucible.dashboard.app import make_app
from crucible.errors import CrucibleError
from crucible.gate import Gate
from crucible.operations.supervision.ports import HOST
from crucible.operations.workspace import Workspace
from crucible.settings import load_settings


class BindError(CrucibleError, ValueError):
    """An address on which the page is not served."""


def require_loopback(host: str) -> str:
    """Give an address of this machine alone.

    Raises
    ------
    BindError
        For any other: who asks from elsewhere cannot be told, and nothing on the way is secret.

    Examples
    --------
    >>> require_loopback("127.0.0.1")
    '127.0.0.1'
    """
    try:
        local = ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        message = (
            f"--host {host}: the page gives orders and tells its user by the connection, so it is served on "
            f"the loopback interface only, without TLS; use {HOST} and reach it through ssh -L"
        )
        raise BindError(message)
    return host


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="crucible.dashboard", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--host", default=HOST, help="an address of the loopback interface")
    given = parser.parse_args()
    try:
        host = require_loopback(given.host)
    except BindError as error:
        sys.exit(f"crucible: {error}")
    app = make_app(Workspace.at(load_settings().home))
    # Who asks is told by the connection, never by a header. No address is logged: the token is in none, and
    # what somebody looks at is nobody else's.
    uvicorn.run(
        Gate(app),
        host=host,
        port=given.port,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        # An open page listens for ever; a stop does not wait for it.
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
