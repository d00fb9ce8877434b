"""Commands that work on a folder of candles without any server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from crucible.commands.options import (
    AsJson,
    CandlesFolder,
    FundingFolder,
    InfluenceFile,
    print_json,
)


def features(
    candles: CandlesFolder,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    symbols: Annotated[str | None, typer.Option(help="Symbols, separated by commas.")] = None,
    influence: InfluenceFile = None,
) -> None:
    """Compute the features of a folder of candles: the same numbers as the live path."""
    from crucible.features.command import write_features
    from crucible.features.store import FeatureStore
    from crucible.setting_names import read_symbols
    from crucible.settings import load_settings

    names, settings = read_symbols("--symbols", symbols), load_settings()
    store = FeatureStore.of(settings)
    schema = write_features(candles, out, names, settings.features, influence, store)
    print(f"{out}: {len(schema.names)} features, schema {schema.hash}")


def forge(
    slot: Annotated[str, typer.Option(help="SYMBOL-KIND-NUMBER, for example BTCUSDT-gp-1.")],
    candles: CandlesFolder,
    out: Annotated[Path, typer.Option(help="Folder for the outcome.")],
    seed: Annotated[int, typer.Option(help="Same seed, same outcome.", min=0)] = 1,
    generations: Annotated[int | None, typer.Option(min=1)] = None,
    population: Annotated[int | None, typer.Option(min=4)] = None,
    influence: InfluenceFile = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Written after every generation; resumed if there.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Stop after the generation in which this time ends, for example 5m."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in the outcome's folder.")
    ] = False,
    funding: FundingFolder = None,
    as_json: AsJson = False,
) -> None:
    """Evolve one specialist without any server: champion.json or refusal.json, and a report."""
    from crucible.commands.forge_outcome import outcome_json, print_outcome
    from crucible.forge.command import forge_to_folder, seconds_of
    from crucible.settings import load_settings

    try:
        result = forge_to_folder(
            slot,
            candles,
            seed,
            out,
            load_settings(),
            generations=generations,
            population=population,
            influence=influence,
            checkpoint=checkpoint,
            budget_s=None if budget is None else seconds_of(budget),
            funding_dir=funding,
            resume=resume,
        )
    except KeyboardInterrupt:
        print(f"crucible: interrupted; the same with --resume goes on from {out}", file=sys.stderr)
        sys.exit(130)
    if as_json:
        print_json(outcome_json(result, out))
    else:
        print_outcome(result, out)


def backtest(
    strategy: Annotated[Path, typer.Argument(help="A champion.json.")],
    candles: CandlesFolder,
    influence: InfluenceFile = None,
    funding: FundingFolder = None,
    as_json: AsJson = False,
) -> None:
    """Trade one strategy over a folder of candles."""
    from functools import partial

    from crucible.arena.sizing.of_backtest import sized
    from crucible.forge.command import backtest_command
    from crucible.settings import load_settings

    settings = load_settings()
    sizes = partial(sized, settings=settings.arena)
    done = backtest_command(strategy, candles, settings, influence, funding, sizes)
    if as_json:
        print_json(done)
        return
    from crucible.commands.backtest_outcome import print_backtest

    print_backtest(done)
