"""`python -m crucible.dashboard --port N`: serve the page on the loopback interface."""

from __future__ import annotations

import argparse

import uvicorn

from crucible.dashboard.app import make_app
from crucible.gate import Gate
from crucible.operations.supervision.ports import HOST
from crucible.operations.workspace import Workspace
from crucible.settings import load_settings


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="crucible.dashboard", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    port = parser.parse_args().port
    app = make_app(Workspace.at(load_settings().home))
    # Who asks is told by the connection, never by a header.
    uvicorn.run(Gate(app), host=HOST, port=port, log_level="warning", proxy_headers=False)


if __name__ == "__main__":
    main()
