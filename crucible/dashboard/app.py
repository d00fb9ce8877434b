"""The page's web application: a document for each view, data under ``/api``, orders, and no outside asset."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from fastapi.staticfiles import StaticFiles

from crucible.dashboard.document import (
    HEADERS,
    LONGEST_PATH,
    STATIC,
    VIEWS,
    document,
    nowhere_document,
    plotly_file,
)
from crucible.dashboard.facts import Source
from crucible.dashboard.questions import Questions
from crucible.dashboard.state import mlflow_address, read_state
from crucible.dashboard.steering import (
    HEADER,
    LARGEST_BODY,
    ForbiddenError,
    LateError,
    Steering,
    SteeringError,
    names_something,
    read_command,
)
from crucible.dashboard.stream import Stream
from crucible.errors import CrucibleError
from crucible.operations.errors import OperationsError
from crucible.operations.supervision.servers import forge_runs_experiment
from crucible.operations.workspace import Workspace
from crucible.registry.pages import experiments_page, models_page, runs_page

NOBODY: tuple[set[str], set[str]] = set(), set()


class Json(JSONResponse):
    """JSON in which what is no number is null: damaged figures must not take a view away."""

    def render(self, content: Any) -> bytes:  # noqa: ANN401 - JSON values
        """Write the body."""
        try:
            return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
        except ValueError:
            return json.dumps(_finite(content), separators=(",", ":")).encode()


def make_app(workspace: Workspace) -> FastAPI:
    """Build the application for one workspace.

    Parameters
    ----------
    workspace : Workspace
        Read; orders go to its Cerebellum and change nothing here.
    """
    source = Source(workspace)
    questions = Questions(source)
    steering, stream = Steering(workspace), Stream(source)

    @asynccontextmanager
    async def listening(_: FastAPI) -> AsyncIterator[None]:
        source.tape.start()
        # Sums over a long run take seconds, once: they begin before anybody looks.
        asyncio.get_running_loop().run_in_executor(None, _warm, questions)
        yield
        source.tape.stop()

    app = FastAPI(
        title="Crucible", openapi_url=None, docs_url=None, redoc_url=None, lifespan=listening
    )
    app.include_router(_documents(steering))
    app.include_router(_links(workspace))
    app.include_router(_data(workspace, questions, stream))
    app.include_router(_orders(source, steering))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.exception_handler(404)
    async def nowhere(request: Request, _: Exception) -> Response:
        path = request.url.path
        if path.startswith(("/api/", "/static/")):
            return Json({"error": f"there is nothing at {path[:LONGEST_PATH]!r}"}, status_code=404)
        return HTMLResponse(nowhere_document(path), status_code=404, headers=HEADERS)

    @app.exception_handler(CrucibleError)
    async def unreadable(_: Request, error: Exception) -> Response:
        return Json({"error": str(error)}, status_code=503)

    return app


def _documents(steering: Steering) -> APIRouter:
    router = APIRouter()

    def shown(path: str, title: str) -> Callable[[], Response]:
        return lambda: HTMLResponse(document(path, title, steering.token), headers=HEADERS)

    for path, title in VIEWS.items():
        router.add_api_route(path, shown(path, title), response_class=HTMLResponse)

    @router.get("/agents/{name}")
    def agent(name: str) -> Response:
        return HTMLResponse(document("/agents", name, steering.token), headers=HEADERS)

    @router.get("/static/plotly.min.js")
    def plotly() -> Response:
        path = plotly_file()
        if path is None:
            return PlainTextResponse("plotly is not installed: make setup", status_code=404)
        headers = {"Cache-Control": "private, max-age=86400"}
        return FileResponse(path, media_type="text/javascript", headers=headers)

    # Not in a thread: it answers while all of them are taken.
    @router.get("/health")
    async def health() -> Response:
        return PlainTextResponse("ok")

    return router


def _links(workspace: Workspace) -> APIRouter:
    router = APIRouter()

    @router.get("/forgings")
    def forge_runs() -> Response:
        return lead_on(workspace, forge_runs_address)

    @router.get("/models")
    def models() -> Response:
        return lead_on(workspace, models_page)

    return router


def _data(workspace: Workspace, questions: Questions, stream: Stream) -> APIRouter:
    router = APIRouter(prefix="/api", default_response_class=Json)

    @router.get("/state")
    def state() -> Response:
        return Json(read_state(workspace))

    @router.get("/stream")
    async def updates() -> Response:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream.listen(), media_type="text/event-stream", headers=headers)

    @router.get("/{name}")
    def view(name: str, request: Request) -> Response:
        return _answer(questions, name, dict(request.query_params))

    @router.get("/agents/{name}")
    def agent(name: str) -> Response:
        return _answer(questions, "agent", {"name": name})

    return router


def _answer(questions: Questions, name: str, asked: Mapping[str, str]) -> Response:
    found = questions.answer(name, asked)
    if found is None:
        return Json({"error": questions.absent(name, asked)}, status_code=404)
    return Json(found, headers={"Cache-Control": "no-store"})


def _orders(source: Source, steering: Steering) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.post("/control")
    async def control(request: Request) -> Response:
        try:
            # Before the body is read: whoever may not order need not be read.
            steering.admit(request.headers.get("content-type", ""), request.headers.get(HEADER))
            body = b""
            async for part in request.stream():
                body += part
                if len(body) > LARGEST_BODY:
                    break
            # What is about everything waits for nothing that is read.
            names = await asyncio.to_thread(_names, source) if names_something(body) else NOBODY
            command = read_command(body, *names)
            effect = await asyncio.to_thread(steering.carry_out, command)
        except ForbiddenError as error:
            return Json({"error": str(error)}, status_code=403)
        except LateError as error:
            return Json({"error": str(error)}, status_code=409)
        except SteeringError as error:
            return Json({"error": str(error)}, status_code=422)
        return Json(effect.to_json())

    return router


def _warm(questions: Questions) -> None:
    """Ask what the first page will ask, so that it does not wait for a long ledger to be read."""
    for name in ("overview", "curve"):
        with suppress(CrucibleError):
            questions.answer(name, {})


def _names(source: Source) -> tuple[set[str], set[str]]:
    """Give the agents and symbols that an order may name."""
    with source.facts() as facts:
        agents = {row.agent for row in facts.agents} | set(facts.shown)
        return agents, set(facts.symbols)


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


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON values
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
