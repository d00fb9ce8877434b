"""Which processes belong to this workspace: its servers, asked before any command believes what one says, and its supervisor.

Several workspaces live on one machine, ports are given to the next who asks, and a file outlives the
process that it names. A server belongs to a workspace when the workspace's ``services.json`` names it and the
very process that was started for it still lives: whoever holds its port is that process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil

from crucible.errors import CrucibleError
from crucible.operations.errors import WorkspaceError
from crucible.operations.supervision.process import Identity
from crucible.operations.workspace import Workspace, read_json

SUPERVISOR = "up"
"""The supervisor's command, and its name among the logs."""
# What the tools of a server take its address from, whatever workspace it belongs to.
ADDRESS_VARIABLES = {"mlflow": "MLFLOW_TRACKING_URI", "prefect": "PREFECT_API_URL"}
_PATHS = {"prefect": "/api"}


def alive_server(workspace: Workspace, service: str) -> dict[str, Any]:
    """Give what ``services.json`` says of a service of this workspace whose process lives.

    Raises
    ------
    WorkspaceError
        If nothing was started here, or its process has ended: another program, of another workspace
        perhaps, may have its address by now.
    """
    known = _services(workspace).get(service)
    if not isinstance(known, dict) or not known.get("address"):
        message = (
            f"{workspace.path}: no {_TITLES.get(service, service)} server is known; start the stack "
            "(crucible up), or name the workspace that you mean: CRUCIBLE_HOME=FOLDER"
        )
        raise WorkspaceError(message)
    identity = Identity.from_json(known)
    if identity is None or not identity.alive:
        message = (
            f"{workspace.path}: its {_TITLES.get(service, service)} server at {known['address']} has ended; "
            "whatever answers there now belongs to somebody else. Start the stack (crucible up), or "
            "name the workspace that you mean: CRUCIBLE_HOME=FOLDER"
        )
        raise WorkspaceError(message)
    return known


def living_supervisor(document: Mapping[str, Any]) -> Identity | None:
    """Give the supervisor that the content of a ``services.json`` names, if it lives."""
    found = Identity.from_json(document.get("supervisor"))
    return found if found is not None and found.alive else None


def living_services(document: Mapping[str, Any]) -> dict[str, Identity]:
    """Give the services that the content of a ``services.json`` names and that live."""
    services = document.get("services", {})
    found = {name: Identity.from_json(entry) for name, entry in services.items()}
    return {name: each for name, each in found.items() if each is not None and each.alive}


def supervisor_of(workspace: Workspace) -> Identity | None:
    """Find the supervisor of a workspace: the one that its services name, else the lock's holder if that is one.

    The lock is held for a moment by others too, by a stop for example. It is not tried: a start at this moment would be
    refused.
    """
    with suppress(CrucibleError):
        found = living_supervisor(read_json(workspace.services_file) or {})
        if found is not None:
            return found
    # Before a supervisor has written its first file.
    with suppress(OSError, ValueError, psutil.Error):
        found = Identity.of(int((workspace.path / "up.lock").read_text()))
        process = None if found is None else found.process()
        if process is not None and SUPERVISOR in process.cmdline()[1:]:
            return found
    return None


def address_of(workspace: Workspace, service: str) -> str:
    """Give the address of a living server of this workspace.

    Raises
    ------
    WorkspaceError
        If there is none, or the environment names another one.
    """
    address = str(alive_server(workspace, service)["address"])
    refuse_another(workspace, service, address)
    return address


def refuse_another(workspace: Workspace, service: str, address: str | None = None) -> None:
    """Refuse to go on where the environment names a server that is not this workspace's.

    Parameters
    ----------
    workspace : Workspace
    service : str
    address : str, optional
        Of this workspace's server; None takes what ``services.json`` says, alive or not.

    Raises
    ------
    WorkspaceError
        Naming both servers.
    """
    variable = ADDRESS_VARIABLES[service]
    asked = os.environ.get(variable)
    if address is None:
        known = _services(workspace).get(service)
        address = str(known.get("address") or "") if isinstance(known, dict) else ""
    own = address + _PATHS.get(service, "")
    if asked and address and asked.rstrip("/") != own.rstrip("/"):
        message = (
            f"{variable} is {asked}, but the server of {workspace.path} is {own}; unset {variable}, or "
            "name the workspace that you mean: CRUCIBLE_HOME=FOLDER"
        )
        raise WorkspaceError(message)


_TITLES = {"mlflow": "MLflow", "prefect": "Prefect", "paper_venue": "paper venue"}


def _services(workspace: Workspace) -> dict[str, Any]:
    document = read_json(workspace.services_file)
    services = document.get("services") if isinstance(document, dict) else None
    return services if isinstance(services, dict) else {}
