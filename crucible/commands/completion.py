"""What the shell completes: names that can be had without asking a server, in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from crucible.errors import CrucibleError

if TYPE_CHECKING:
    from crucible.operations.workspace import Run


def services(incomplete: str) -> list[str]:
    """Give the services whose log can be read."""
    from crucible.operations.background.logs import LOGGED

    return [name for name in (*LOGGED, "arena") if name.startswith(incomplete)]


def slots(incomplete: str) -> list[str]:
    """Give the slots of the deployment strategy; none where the settings cannot be read."""
    from crucible.settings import load_settings

    try:
        found = load_settings().slots
    except CrucibleError:
        return []
    return [slot.name for slot in found if slot.name.startswith(incomplete)]


def agents(incomplete: str) -> list[str]:
    """Give the agents that the arena of this workspace last wrote down."""
    run = _run()
    held = [] if run is None else _read(run.arena).get("agents", [])
    names = [str(agent.get("agent", "")) for agent in held]
    return [name for name in names if name.startswith(incomplete)]


def symbols(incomplete: str) -> list[str]:
    """Give the symbols of the newest run."""
    run = _run()
    names = [] if run is None else _read(run.facts).get("symbols", [])
    return [name for name in names if name.startswith(incomplete)]


def _run() -> Run | None:
    from crucible.operations.workspace import Workspace
    from crucible.whereabouts import find_workspace

    try:
        return Workspace(find_workspace().workspace).current()
    except (CrucibleError, OSError):
        return None


def _read(path: Path) -> dict[str, Any]:
    from crucible.operations.state_files import read_json

    try:
        return dict(read_json(path) or {})
    except CrucibleError:
        return {}
