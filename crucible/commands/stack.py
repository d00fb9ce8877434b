"""Commands that start the stack, stop it and look at it."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from crucible.commands import completion
from crucible.commands.options import (
    AsJson,
    FundingFolder,
    open_workspace,
    print_json,
    print_text,
    waiting,
)
from crucible.text import terminal, visible


def up(
    candles: Annotated[
        Path | None, typer.Option(help="Replay this folder of SYMBOL-1m.parquet, .feather or .csv.")
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
    detach: Annotated[
        bool, typer.Option("--detach", help="Run in the background; return once everything is up.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object once everything is up.")
    ] = False,
) -> None:
    """Start everything on this machine and watch it; Ctrl-C, or crucible down, stops it in order."""
    from crucible.operations.supervision.options import UpOptions, options_settings
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
        ready_line=as_json,
    )
    if not detach:
        from crucible.operations.supervision.supervisor import up as run_up

        run_up(settings, options, terminal(stderr=as_json, patient=True))
        return
    given = {
        "--candles": candles and candles.absolute(),
        "--funding": funding and funding.absolute(),
        "--speed": speed,
        "--start": start,
        "--symbols": symbols,
        "--seed": seed,
        "--run-for": run_for,
    }
    _up_detached(settings.home, given, as_json)


def _up_detached(folder: Path, given: Mapping[str, object], as_json: bool) -> None:
    from crucible.operations.background.start import command, start_detached
    from crucible.operations.workspace import Workspace

    words = [
        word
        for option, value in given.items()
        if value is not None
        for word in (option, str(value))
    ]
    try:
        with waiting("starting"):
            ready = start_detached(Workspace.at(folder), command(words), _progress)
    except KeyboardInterrupt:
        sys.exit(130)
    if as_json:
        print_json(ready)
        return
    print_text(
        f"everything is up, run {ready['run']}: Crucible {ready['dashboard']}  "
        f"Prefect {ready['prefect']}  MLflow {ready['mlflow']}"
    )
    print_text(
        "crucible status looks at it, crucible logs up reads its log, crucible down stops it"
    )


def down(
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for the orderly end.", min=0)
    ] = 120.0,
    as_json: AsJson = False,
) -> None:
    """Stop everything in order, as Ctrl-C does where it was started; nothing is left behind."""
    from crucible.operations.background.stop import stop_stack

    workspace = open_workspace()
    with waiting("stopping in order"):
        stopped = stop_stack(workspace, _progress, wait)
    if as_json:
        print_json(stopped.to_json())
    elif stopped.was_up:
        kept = f"run {stopped.run} is kept: crucible report" if stopped.run else "nothing was run"
        print_text(f"everything has stopped; {kept}")
    else:
        print_text(f"nothing runs in {workspace.path}")


def logs(
    service: Annotated[str, typer.Argument(help="Whose log.", autocompletion=completion.services)],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written, until Ctrl-C.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", help="Newest lines to begin with.", min=0)
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """Print what a service wrote."""
    from contextlib import suppress

    from crucible.operations.background import logs as written

    known = (*written.LOGGED, "arena")
    if service not in known:
        message = f"{service!r} writes no log; these do: {', '.join(known)}"
        raise typer.BadParameter(message)
    if follow and as_json:
        message = "--follow does not end, so it gives no JSON object; leave one of both out"
        raise typer.BadParameter(message)
    path = written.log_of(open_workspace(), service)
    found = written.tail(path, lines)
    if as_json:
        print_json({"service": service, "file": str(path), "lines": found})
        return
    for line in found:
        print(visible(line))
    if follow:
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            for line in written.follow(path):
                print(visible(line), flush=True)


def doctor(as_json: AsJson = False) -> None:
    """Check the whole installation and the data; name each fault with its mend; exit code 1 if one fails."""
    from crucible.forge.command import progress_bars
    from crucible.operations.installation.doctor import examine

    with progress_bars() as bars:
        task = bars.add_task("checks", total=None)
        found = examine(
            open_workspace(),
            lambda name, done, total: bars.update(
                task, description=name, completed=done, total=total
            ),
        )
    if as_json:
        print_json({"checks": [check.to_json() for check in found]})
    else:
        from crucible.operations.sheet import Column, Sheet, open_console

        sheet = Sheet(
            "Checks",
            *(Column(name, "name") for name in ("check", "state")),
            *(Column(name, "text") for name in ("found", "mend")),
        )
        for check in found:
            sheet.add(check.name, check.state, check.found, check.mend)
        open_console().print(sheet)
    failed = [check.name for check in found if check.state == "fail"]
    if failed:
        print(f"crucible: failed: {', '.join(failed)}", file=sys.stderr)
        sys.exit(1)


def _progress(line: str) -> None:
    """Tell what happens while a person waits, apart from what the command prints."""
    print(visible(line), file=sys.stderr, flush=True)


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
        print_text(f"crucible: down: {', '.join(found.down)}", fault=True)


def report(
    as_json: AsJson = False,
    run: Annotated[str | None, typer.Option(help="A run's number; the newest otherwise.")] = None,
    agent: Annotated[
        str | None,
        typer.Option(help="Figures of one agent, SLOT@VERSION.", autocompletion=completion.agents),
    ] = None,
    walk_forward: Annotated[
        Path | None, typer.Option(help="Figures of the walk-forward that left this folder.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write everything to this file, one page without network.")
    ] = None,
) -> None:
    """Sum up a run and compare its three accounts; with --html, all figures and charts on one page."""
    from crucible.errors import CrucibleError
    from crucible.operations.reconciliation.report import make_report
    from crucible.operations.workspace import Workspace
    from crucible.outputs import ask_for_file
    from crucible.settings import load_settings

    if walk_forward is not None and (run is not None or agent is not None):
        message = "--walk-forward is a report of its own: leave --run and --agent out"
        raise typer.BadParameter(message)
    if html is not None:
        ask_for_file("--html", html)
    settings = load_settings()
    workspace = Workspace.at(settings.home)
    only_figures = agent is not None or walk_forward is not None
    made = None if only_figures else make_report(workspace, run)
    reported: dict[str, object] = {} if made is None else made.to_json()
    if only_figures or html is not None or as_json:
        # Imported here: the accounts alone are shown in a moment.
        from crucible.reports.command import make, make_page

        try:
            with waiting("computing the figures"):
                found = make(workspace, settings, run=run, agent=agent, walk_forward=walk_forward)
        except CrucibleError as error:
            # What was asked for cannot be given; beside the accounts it is a note.
            if only_figures or html is not None:
                raise
            reported["figures"], reported["figures_missing"] = None, str(error)
        else:
            reported["figures"] = found.to_json()
            if html is not None:
                make_page(found, html)
                reported["html"] = str(html)
            if only_figures and not as_json:
                from crucible.operations.sheet import open_console
                from crucible.reports.tables import figures_sheet

                open_console().print(figures_sheet(found.subject, found.figures))
    if as_json:
        print_json(reported)
    elif made is not None:
        from crucible.operations.sheet import open_console
        from crucible.operations.tables import report_view

        open_console().print(report_view(made))
    if html is not None and not as_json:
        print(f"{html}: the whole report")
    if made is not None and not made.books_agree:
        print("crucible: the books differ", file=sys.stderr)


def password(as_json: AsJson = False) -> None:
    """Print what Prefect's page asks for, once in each browser."""
    asked = open_workspace().password()
    if as_json:
        print_json({"password": asked})
    else:
        print(asked)
