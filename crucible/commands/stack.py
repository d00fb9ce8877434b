"""Commands that start the stack, stop it and look at it."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from crucible.commands.options import AsJson, FundingFolder, open_workspace, print_json
from crucible.text import terminal


def up(
    candles: Annotated[
        Path | None, typer.Option(help="Replay this folder of SYMBOL-1m.parquet.")
    ] = None,
    speed: Annotated[float | None, typer.Option(help="Market seconds per second.")] = None,
    start: Annotated[int | None, typer.Option(help="Market time to start at, epoch ms.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Symbols, separated by commas.")] = None,
    funding: FundingFolder = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the simulated market.")] = None,
    run_for: Annotated[
        float | None, typer.Option(help="Stop this many seconds after everything is up.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open Crucible's page.")] = True,
) -> None:
    """Start everything on this machine and watch it; Ctrl-C stops it in order."""
    from crucible.operations.supervision.options import UpOptions, options_settings
    from crucible.operations.supervision.supervisor import up as run_up
    from crucible.setting_names import SettingsError, read_symbols

    if run_for is not None and not 0 <= run_for < math.inf:
        message = f"--run-for {run_for:g}: no span of time; write seconds from 0 on"
        raise SettingsError(message)
    settings = options_settings(speed, seed)
    options = UpOptions(
        candles=candles,
        start_ms=start,
        symbols=read_symbols("--symbols", symbols),
        funding=funding,
        run_for_s=run_for,
        browser=browser,
    )
    run_up(settings, options, terminal(patient=True))


def status(as_json: AsJson = False) -> None:
    """Say what runs, where, with how much memory, and what every agent does."""
    from crucible.operations.status import read_status

    found = read_status(open_workspace())
    if as_json:
        print_json(found.to_json())
    else:
        from crucible.operations.sheet import open_console
        from crucible.operations.tables import status_view

        footer = f"run {found.run}" if found.run else "nothing has run here yet: crucible up"
        open_console().print(status_view(found, footer))
    if found.down:
        print(f"crucible: down: {', '.join(found.down)}", file=sys.stderr)


def report(
    as_json: AsJson = False,
    run: Annotated[str | None, typer.Option(help="A run's number; the newest otherwise.")] = None,
) -> None:
    """Sum up a run and compare its three books."""
    from crucible.operations.reconciliation.report import make_report
    from crucible.operations.workspace import Workspace
    from crucible.settings import load_settings

    made = make_report(Workspace.at(load_settings().home), run)
    if as_json:
        print_json(made.to_json())
    else:
        from crucible.operations.sheet import open_console
        from crucible.operations.tables import report_view

        open_console().print(report_view(made))
    if not made.books_agree:
        print("crucible: the books differ", file=sys.stderr)


def password() -> None:
    """Print what Prefect's page asks for, once in each browser."""
    print(open_workspace().password())
