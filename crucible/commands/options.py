"""Options that several commands share, and how each prints JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

import typer

from crucible.text import terminal, visible, wrapped

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


def print_text(text: str, *, fault: bool = False) -> None:
    """Print what a command has to say; in a terminal no word is broken at its edge.

    Parameters
    ----------
    text : str
        Foreign parts of it are made visible.
    fault : bool
        On standard error instead of standard output.
    """
    stream = sys.stderr if fault else sys.stdout
    shown = visible(text, lines=True)
    # What is piped elsewhere is broken there, or not at all.
    print(wrapped(shown, get_terminal_size().columns) if stream.isatty() else shown, file=stream)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show, in a terminal, that something is waited for, and for how long; it is gone when the block ends.

    What the block prints on standard error stands above it; on standard output nothing may be printed.
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    console = terminal(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as shown:
        shown.add_task(visible(text), total=None)
        yield


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
