"""The JSON files of a workspace: what each holds, and what to do where one does not.

A file may be emptied by a loss of power, cut short, or edited by hand. It is read only where it has its
shape; the message of any other names the file, what is wrong in it and the next step.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from crucible.operations.errors import WorkspaceError


class _Entry(TypedDict, total=False):
    state: str
    address: str
    event: str
    pid: int | None
    ready: dict[str, Any] | None


class _Services(TypedDict, total=False):
    supervisor: dict[str, Any] | None
    run: str
    socket_folder: str
    services: dict[str, _Entry]


class _MarketConfiguration(TypedDict, total=False):
    market: str
    symbols: list[str]
    seed: int
    origin_ms: int
    start_ms: int
    last_market_ms: int
    candles: str | None
    end_ms: int | None


class _Agent(TypedDict, total=False):
    agent: str
    slot: str
    version: str
    role: str
    symbol: str
    kind: str
    proven: bool
    proven_by: str
    position: Decimal
    trades: int
    pnl: Decimal | None
    last_signal: str | None
    last_event: str | None


class _Arena(TypedDict, total=False):
    market_ts: int | None
    agents: list[_Agent]
    trouble: str


class _Account(TypedDict):
    key: str
    secret: str
    usdt: Decimal


class _Facts(TypedDict, total=False):
    run: str
    prefect: str
    mlflow: str
    dashboard: str
    symbols: list[str]
    versions: int | None


class _Statement(TypedDict):
    initial: Decimal
    wallet: Decimal
    positions: list[dict[str, Any]]
    executions: list[dict[str, Any]]


# By the file's name: its shape, and what somebody does who has lost it.
_FILES: dict[str, tuple[Any, str]] = {
    "services.json": (
        _Services,
        "a running stack writes it anew within seconds; where none runs, remove it",
    ),
    "world.json": (
        _MarketConfiguration,
        "it says which market this workspace lived in, and until when: put a copy back or use a new workspace",
    ),
    "arena.json": (_Arena, "a running arena writes it anew at the next market minute"),
    "keys.json": (
        list[_Account],
        "remove it while the stack is stopped; the next start makes new keys for the paper account",
    ),
    "run.json": (_Facts, "remove it: it only describes how the run was started"),
    "statement.json": (
        _Statement,
        "remove it: the venue's book of that run is then reported as missing",
    ),
}


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON values
    """Read a state file; None where it is missing.

    Raises
    ------
    WorkspaceError
        If it is there but cannot be read, is not JSON, or does not hold what a file of its name holds.
    """
    shape, step = _FILES.get(path.name, (Any, "remove it if it was edited by hand"))
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read: {error}; {step}"
        raise WorkspaceError(message) from error
    if not text.strip("\0 \n\t\r"):
        message = f"{path}: is empty, as after a loss of power; {step}"
        raise WorkspaceError(message)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"{path}: is not JSON: {error}; {step}"
        raise WorkspaceError(message) from error
    try:
        msgspec.convert(value, shape)
    except (msgspec.ValidationError, ArithmeticError, ValueError) as error:
        message = f"{path}: is not what belongs there: {error}; {step}"
        raise WorkspaceError(message) from error
    return value
