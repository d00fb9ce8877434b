"""What the registry knows of an agent's version: its rule in words and where it comes from; "not known" without it.

MLflow is asked over REST and only at an address where this user listens. A version never changes, so what was once
read stays.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from crucible.errors import CrucibleError
from crucible.forge.reporting.origin import origin_of_version
from crucible.gate import listener_of
from crucible.registry.pages import file_address, run_page, version_page
from crucible.strategies.document import LARGEST_FILE, parse_document

WAIT_S = 2.0
UNKNOWN_VERSION: Mapping[str, Any] = {
    "known": False,
    "why": "",
    "rules": None,
    "gates": None,
    "lineage": {},
    "links": {},
}
"""An answer that tells nothing yet."""
RESULTS = ("champion.json", "candidate.json")
"""What a forge run leaves of its winner, with its lineage and gates."""


def version_of(mlflow: str, slot: str, version: str) -> dict[str, Any]:
    """Give a version's rule, gates and lineage as JSON values.

    Parameters
    ----------
    mlflow : str
        Address of MLflow; empty where none is known.
    slot, version : str

    Returns
    -------
    dict
        ``known`` says whether MLflow answered; what it did not tell is None.
    """
    nothing = UNKNOWN_VERSION
    if not mlflow or not _is_ours(mlflow):
        return {**nothing, "why": "MLflow does not run: the rule and its lineage are not known"}
    try:
        with httpx.Client(base_url=mlflow, timeout=WAIT_S) as client:
            return {**nothing, **_ask(client, mlflow, slot, version)}
    except (httpx.HTTPError, CrucibleError, ValueError, KeyError, TypeError) as error:
        return {
            **nothing,
            "why": f"not known: MLflow did not tell ({type(error).__name__}: {error})",
        }


def _is_ours(address: str) -> bool:
    parts = urlsplit(address)
    try:
        local = parts.hostname in {"127.0.0.1", "localhost"} and parts.port is not None
        return local and listener_of(int(parts.port or 0)) == os.getuid()
    except (OSError, ValueError):
        return False


def _ask(client: httpx.Client, mlflow: str, slot: str, version: str) -> dict[str, Any]:
    answer = client.get(
        "/api/2.0/mlflow/model-versions/get", params={"name": slot, "version": version}
    )
    if answer.status_code == httpx.codes.NOT_FOUND:
        return {"known": True, "why": "MLflow has no such version"}
    answer.raise_for_status()
    run_id = str(answer.json()["model_version"].get("run_id") or "")
    links = {"model": version_page(mlflow, slot, version)}
    if not run_id:
        return {"known": True, "why": "it has no forge run", "links": links}
    run = client.get("/api/2.0/mlflow/runs/get", params={"run_id": run_id})
    run.raise_for_status()
    info, data = run.json()["run"]["info"], run.json()["run"].get("data", {})
    tags, params = (
        {str(each["key"]): str(each["value"]) for each in data.get(kind, ())}
        for kind in ("tags", "params")
    )
    links["forge run"] = run_page(mlflow, info["experiment_id"], run_id)
    if tags.get("prefect_link"):
        links["flow run"] = tags["prefect_link"]
    judged = _judged(client, run_id)
    document = _file(client, run_id, "strategy.json")
    return {
        "known": True,
        "rules": None if document is None else _in_words(document),
        "gates": judged.get("gates"),
        "links": links,
        "lineage": origin_of_version(
            f"{slot} version {version}", run_id, {**tags, **params}, judged
        ),
    }


def _judged(client: httpx.Client, run_id: str) -> Mapping[str, Any]:
    for name in RESULTS:
        lineage = (_file(client, run_id, name) or {}).get("lineage")
        if isinstance(lineage, dict):
            return lineage
    return {}


def _file(client: httpx.Client, run_id: str, name: str) -> dict[str, Any] | None:
    """Fetch a JSON file of a run, within bounds; None where there is none."""
    with client.stream("GET", file_address("", run_id, name)) as answer:
        if not answer.is_success:
            return None
        read = b""
        for part in answer.iter_bytes():
            read += part
            if len(read) > LARGEST_FILE:
                return None
    return parse_document(read)


def _in_words(document: dict[str, Any]) -> dict[str, Any]:
    from crucible.forge.reporting.description import exits_in_words, rules
    from crucible.strategies.load import load_strategy

    strategy = load_strategy(document)
    return {
        "kind": strategy.kind,
        **rules(strategy),
        "exits": exits_in_words(strategy.exits),
        "features": list(strategy.features)[:40],
    }
