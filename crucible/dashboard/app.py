"""The page's web application: one page, one JSON address, no outside asset."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from crucible.dashboard.state import read_state
from crucible.operations.errors import OperationsError
from crucible.operations.home import Home

PAGE = Path(__file__).with_name("page.html")
# The page needs nothing but itself; a script that slipped into a name could load nothing.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "frame-ancestors 'none'; form-action 'none'; base-uri 'none'"
)


def make_app(home: Home) -> Starlette:
    """Build the application for one home.

    Parameters
    ----------
    home : Home
        Read, never written.
    """
    page = PAGE.read_text()

    async def index(_request: Request) -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    async def state(_request: Request) -> Response:
        try:
            return JSONResponse(await asyncio.to_thread(read_state, home))
        except OperationsError as error:
            return JSONResponse({"error": str(error)}, status_code=503)

    async def health(_request: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(
        routes=[Route("/", index), Route("/api/state", state), Route("/health", health)]
    )
