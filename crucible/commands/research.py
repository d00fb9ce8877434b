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
    as_json: AsJson = False,
) -> None:
    """Compute the features of a folder of candles: the same numbers as the live path."""
    from crucible.features.command import write_features
    from crucible.features.store import FeatureStore
    from crucible.setting_names import read_symbols
    from crucible.settings import load_settings

    names, settings = read_symbols("--symbols", symbols), load_settings()
    store = FeatureStore.of(settings)
    schema = write_features(candles, out, names, settings.features, influence, store)
    if as_json:
        print_json({"file": str(out), "features": len(schema.names), "schema_hash": schema.hash})
    else:
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


def lookahead(
    target: Annotated[
        str, typer.Argument(help="FILE.py:FUNCTION, or a strategy's JSON file.", metavar="TARGET")
    ],
    candles: CandlesFolder,
    symbol: Annotated[
        str | None, typer.Option(help="Whose candles a function gets; by default the first.")
    ] = None,
    rows: Annotated[int, typer.Option(help="Newest candles that are used.", min=200)] = 10_000,
    cuts: Annotated[int, typer.Option(help="Instants at which the history is cut.", min=2)] = 6,
    seed: Annotated[int, typer.Option(help="Same seed, same check.", min=0)] = 1,
    influence: InfluenceFile = None,
    as_json: AsJson = False,
) -> None:
    """Find out whether a strategy, or a function of your own, knows the future; exit code 3 if it does.

    A function gets a pandas DataFrame (index: UTC open times; open, high, low, close, volume) and gives a Series,
    a DataFrame or an array. FILE.py is executed in this very process, with all that it may do: name only files
    that you would run yourself.
    """
    from crucible.forge.command import progress_bars
    from crucible.forge.lookahead.command import check_lookahead
    from crucible.settings import load_settings

    with progress_bars() as bars:
        task = bars.add_task("computations", total=None)
        found = check_lookahead(
            target,
            candles,
            load_settings(),
            symbol=symbol,
            rows=rows,
            cuts=cuts,
            seed=seed,
            influence=influence,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
    if as_json:
        print_json(found.to_json())
    else:
        from crucible.commands.lookahead_outcome import print_lookahead

        print_lookahead(found)
    if found.leaks:
        from crucible.errors import Rule

        names = ", ".join(each.name for each in found.leaks)
        print(
            f"crucible: refused by the rule {Rule.NO_LOOKAHEAD}: the future is known to {names}",
            file=sys.stderr,
        )
        sys.exit(3)
