"""Options that several commands share, and how each prints JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from crucible.execution.cerebellum_link import Addresses
    from crucible.operations.workspace import Workspace

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")]

CandlesFolder = Annotated[Path, typer.Option(help="Folder of SYMBOL-1m.parquet, .feather or .csv.")]
FundingFolder = Annotated[
    Path | None, typer.Option(help="Folder of SYMBOL-funding files; by default the candles'.")
]
InfluenceFile = Annotated[Path | None, typer.Option(help="Trained influence arrays (.npz).")]


def print_json(value: object) -> None:
    """Print a value as one JSON document."""
    print(json.dumps(value, indent=1))


def open_workspace() -> Workspace:
    """Find the workspace without the settings: what stops and shows must not need them to be in order."""
    from crucible.operations.workspace import Workspace
    from crucible.whereabouts import find_workspace

    found = find_workspace()
    for doubt in found.doubts:
        print(
            f"crucible: {doubt}; the workspace is {found.workspace}, by {found.source}",
            file=sys.stderr,
        )
    return Workspace(found.workspace)


def find_cerebellum() -> Addresses:
    """Find the sockets of this workspace's Cerebellum, also where a file that names them is damaged."""
    from crucible.operations.control_link import reach

    addresses, doubt = reach(open_workspace())
    if doubt:
        print(f"crucible: {doubt}", file=sys.stderr)
    return addresses
