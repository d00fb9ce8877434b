"""The command ``crucible walk-forward``; what it needs is imported when it is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crucible.commands.options import (
    AsJson,
    CandlesFolder,
    FundingFolder,
    InfluenceFile,
    print_json,
)

if TYPE_CHECKING:
    from crucible.registry.models import Registry
    from crucible.settings import Settings


def walk_forward_command(
    candles: CandlesFolder,
    out: Annotated[Path, typer.Option(help="Folder for the outcome; forge runs there are kept.")],
    slots: Annotated[
        str | None, typer.Option(help="Slots, separated by commas; the deployment's otherwise.")
    ] = None,
    refit: Annotated[
        str, typer.Option(help="Market time between two forge runs of a slot.")
    ] = "7d",
    start: Annotated[
        str | None,
        typer.Option("--from", help="First forge run, UTC; 35 days after the first candle."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="End, UTC; the last candle.")] = None,
    policy: Annotated[str | None, typer.Option(help="strict or explore; as the settings.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same outcome.", min=0)] = 0,
    generations: Annotated[int | None, typer.Option(min=1)] = None,
    population: Annotated[int | None, typer.Option(min=4)] = None,
    influence: InfluenceFile = None,
    funding: FundingFolder = None,
    to_mlflow: Annotated[
        bool, typer.Option("--record", help="Record it as a run of this workspace's MLflow.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what the whole factory would have earned on candles of the past, beside simpler rules."""
    from crucible.settings import load_settings
    from crucible.walk_forward.command import Asked, walk_forward

    asked = Asked(
        candles=candles,
        out=out,
        slots=tuple(filter(None, (slots or "").split(","))),
        refit=refit,
        start=start,
        end=end,
        seed=seed,
        policy=policy,
        generations=generations,
        population=population,
        funding=funding,
        influence=influence,
    )
    settings = load_settings()
    registry = _registry(settings) if to_mlflow else None
    try:
        summary = walk_forward(asked, settings, registry)
    except KeyboardInterrupt:
        print(f"crucible: interrupted; the same again goes on from {out}", file=sys.stderr)
        sys.exit(130)
    if as_json:
        print_json(summary)
        return
    from crucible.operations.sheet import open_console
    from crucible.walk_forward.tables import summary_table

    open_console().print(summary_table(summary))
    print(f"{out / 'report.html'}: the whole story")


def _registry(settings: Settings) -> Registry:
    """Reach this workspace's MLflow before anything is walked."""
    from crucible.operations.supervision.ownership import address_of
    from crucible.operations.workspace import Workspace
    from crucible.registry.models import Registry

    return Registry(address_of(Workspace.at(settings.home), "mlflow"))
