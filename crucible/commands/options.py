"""Options that several commands share, and how each prints JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")]

CandlesFolder = Annotated[Path, typer.Option(help="Folder of SYMBOL-1m.parquet.")]
FundingFolder = Annotated[
    Path | None, typer.Option(help="Folder of SYMBOL-funding.parquet; by default the candles'.")
]
InfluenceFile = Annotated[Path | None, typer.Option(help="Trained influence arrays (.npz).")]


def print_json(value: object) -> None:
    """Print a value as one JSON document."""
    print(json.dumps(value, indent=1))
