"""The page's web application: one page, one JSON address, no outside asset."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from crucible.dashboard.state import mlflow_address, read_state
from crucible.operations.errors import OperationsError
from crucible.operations.supervision.servers import forge_runs_experiment
from crucible.operations.workspace import Workspace
from crucible.registry.pages import experiments_page, models_page, runs_page

PAGE = Path(__file__).with_name("page.html")
# The page needs nothing but itself; a script that slipped into a name could load nothing.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "frame-ancestors 'none'; form-action 'none'; base-uri 'none'"
)


def make_app(workspace: Workspace) -> Starlette:
    """Build the application for one workspace.

    Parameters
    ----------
    workspace : Workspace
        Read, never written.
    """
    page = PAGE.read_text()

    async def index(_request: Request) -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    async def state(_request: Request) -> Response:
        try:
            return JSONResponse(await asyncio.to_thread(read_state, workspace))
        except OperationsError as error:
            return JSONResponse({"error": str(error)}, status_code=503)

    async def health(_request: Request) -> Response:
        return PlainTextResponse("ok")

    async def forge_runs(_request: Request) -> Response:
        return await asyncio.to_thread(lead_on, workspace, forge_runs_address)

    async def models(_request: Request) -> Response:
        return await asyncio.to_thread(lead_on, workspace, models_page)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/state", state),
            Route("/health", health),
            Route("/forgings", forge_runs),
            Route("/models", models),
        ]
    )


def lead_on(workspace: Workspace, page: Callable[[str], str]) -> Response:
    """Send a browser to a page of this workspace's MLflow, whose root opens on something else."""
    try:
        address = mlflow_address(workspace)
        return RedirectResponse(page(address), status_code=302)
    except OperationsError as error:
        return PlainTextResponse(str(error), status_code=503)


def forge_runs_address(mlflow_url: str) -> str:
    """Give the table of forge runs; the list of experiments before there is one.

    Raises
    ------
    ServerError
        If MLflow does not answer.
    """
    experiment = forge_runs_experiment(mlflow_url)
    return experiments_page(mlflow_url) if experiment is None else runs_page(mlflow_url, experiment)
