"""Commands about what the radar learns from and what it sees."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crucible.commands.options import AsJson, CandlesFolder, print_json

radar_app = typer.Typer(
    no_args_is_help=True, help="What the topological radar learns from and what it sees."
)


@radar_app.command("training-set")
def radar_training_set(
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    candles: Annotated[
        Path | None, typer.Option(help="Folder of candles; simulated markets otherwise.")
    ] = None,
    markets: Annotated[
        int, typer.Option(min=1, help="Simulated markets of each kind of change.")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same markets.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Write what the radar measures, by giotto-tda: of candles, or labelled of simulated changes."""
    from crucible.features.topology.giotto import write_training_set
    from crucible.settings import load_settings

    reported = write_training_set(out, candles, markets, seed, load_settings().features)
    if as_json:
        print_json(reported)
    else:
        print(
            f"{out}: {reported['evaluations']} evaluations, {reported['labelled']} within a change"
        )


@radar_app.command("picture")
def radar_picture(
    candles: CandlesFolder,
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
    at: Annotated[
        int | None, typer.Option(help="Close of the window, epoch ms; the newest otherwise.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw one window as the radar sees it: its cloud and its persistence diagram."""
    from crucible.features.topology.giotto import write_picture
    from crucible.settings import load_settings

    reported = write_picture(out, candles, at, load_settings().features)
    if as_json:
        print_json(reported)
    else:
        print(f"{out}: the window that closed at {reported['ts']}")
