"""Where a version comes from, in words: from its forge run back to its seed; what is not known says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNKNOWN = "not known"


def origin_of_version(
    version: str, forge_run: str, facts: Mapping[str, str], judged: Mapping[str, Any]
) -> dict[str, str]:
    """Tell where a version of the registry comes from.

    Parameters
    ----------
    version : str
        Its name, for a person.
    forge_run : str
        Its forge run: an id or an address.
    facts : mapping of str to str
        Tags and parameters of that run in MLflow.
    judged : mapping
        The lineage that the forge run wrote; empty where there is none.
    """
    return {
        "version": version,
        "forge run": forge_run,
        "flow run": facts.get("prefect_link") or facts.get("prefect_flow_run") or UNKNOWN,
        "ordered because": facts.get("reason", UNKNOWN),
        **origin_of_run({"seed": facts.get("seed", UNKNOWN), **judged}),
    }


def origin_of_run(judged: Mapping[str, Any]) -> dict[str, str]:
    """Tell what a forge run depended on, down to its seed.

    Examples
    --------
    >>> origin_of_run({"seed": 7})["seed"], origin_of_run({})["candles"]
    ('7', 'not known')
    """
    span = judged.get("span")
    described = span.get("description", UNKNOWN) if isinstance(span, Mapping) else UNKNOWN
    return {
        "data hash": str(judged.get("data_hash", UNKNOWN)),
        "candles": str(described),
        "funding": str(judged.get("funding", UNKNOWN)),
        "feature schema": str(judged.get("feature_schema", UNKNOWN)),
        "code revision": str(judged.get("code_revision", UNKNOWN)),
        "trials": str(judged.get("trials", UNKNOWN)),
        "seed": str(judged.get("seed", UNKNOWN)),
    }
