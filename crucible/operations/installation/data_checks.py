"""Checks of candles: those of the lake, and those of the folder that a workspace replays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crucible.errors import CrucibleError
from crucible.market.inspection import FaultKind, FileReport, describe_gap, inspect_folder
from crucible.operations.installation.check import Check
from crucible.operations.workspace import Workspace, read_json

# By the check's name: the faults that belong to it, and how they are mended.
_CHECKS: dict[str, tuple[tuple[FaultKind, ...], str]] = {
    "candles-schema": (
        ("schema", "name", "empty"),
        "write ts, open, high, low, close, volume (data/schema.md), or download the file anew",
    ),
    "candles-duplicates": (
        ("duplicates", "order"),
        "keep one row a minute, in the order of time, or download the file anew",
    ),
    "candles-values": (("values",), "leave such rows out, or download the file anew"),
    "candles-times": (
        ("times",),
        "write open times of full minutes in epoch milliseconds, or download the file anew",
    ),
    "funding": (("funding",), "mend that file or move it away; without one no funding is charged"),
}
LISTED = 3


def candles(workspace: Workspace) -> Iterator[Check]:
    """Whether every file of candles can be used, and what is missing in it."""
    reports: list[FileReport] = []
    lake = workspace.path / "lake"
    if (lake / "candles").is_dir():
        reports += inspect_folder(lake / "candles", funding=lake / "funding")
    replayed = _replayed(workspace)
    if replayed is not None:
        if replayed.is_dir():
            reports += inspect_folder(replayed)
        else:
            mend = "put the folder back, or use a new workspace"
            found = f"{replayed} is replayed here, but is no folder"
            yield Check("candles-folder", "fail", found, mend)
    if not reports:
        yield Check("candles", "ok", "none yet; the first start brings them")
        return
    for name, (kinds, mend) in _CHECKS.items():
        faulty = [
            f"{report.path}: {fault.text}"
            for report in reports
            for fault in report.faults
            if fault.kind in kinds
        ]
        if faulty:
            more = f"; and {len(faulty) - LISTED} more" if len(faulty) > LISTED else ""
            yield Check(name, "fail", "; ".join(faulty[:LISTED]) + more, mend)
        else:
            yield Check(name, "ok", f"{len(reports)} files")
    yield _gaps(reports)


def _gaps(reports: list[FileReport]) -> Check:
    found = [
        f"{report.path.name}: {len(report.gaps):,} gaps, {report.missing:,} candles, the longest "
        f"{describe_gap(report.largest_gap)}"
        for report in reports
        if report.largest_gap
    ]
    if not found:
        return Check("candles-gaps", "ok", "nothing is missing")
    more = f"; and {len(found) - LISTED} more files" if len(found) > LISTED else ""
    mend = (
        "the next ingestion, or crucible download, asks the exchange once more for what is missing; what it does not have stays "
        "missing and is never filled"
    )
    return Check("candles-gaps", "warn", "; ".join(found[:LISTED]) + more, mend)


def _replayed(workspace: Workspace) -> Path | None:
    try:
        configuration = read_json(workspace.configuration_file) or {}
    except CrucibleError:
        # The check of state files tells.
        return None
    folder = configuration.get("candles")
    return Path(folder) if folder else None
