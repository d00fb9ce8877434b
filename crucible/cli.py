"""`crucible ...`: the whole system from a terminal.

Imports wait until a command needs them, so that `crucible --help` and `crucible status` answer at
once.
"""

from __future__ import annotations

import errno
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from crucible.commands.options import (
    AsJson,
    CandlesFolder,
    FundingFolder,
    InfluenceFile,
    print_json,
)
from crucible.commands.walk_forward import walk_forward_command
from crucible.errors import CrucibleError
from crucible.text import let_every_text_through, terminal, visible

if TYPE_CHECKING:
    from crucible.execution.cerebellum_link import Addresses
    from crucible.operations.workspace import Workspace

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A factory of trading strategies: evolve, trade, judge, cull, replace.",
)

_DISK = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EIO,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)

radar_app = typer.Typer(
    no_args_is_help=True, help="What the topological radar learns from and what it sees."
)
app.add_typer(radar_app, name="radar")
app.command(name="walk-forward")(walk_forward_command)


def main() -> NoReturn:
    """Run a command; a fault of ours is one clear line on stderr and exit code 1.

    With ``--json`` the fault is told on stdout as well, as ``{"error": ...}``: whoever reads it gets one
    JSON object in any case.
    """
    let_every_text_through()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except CrucibleError as error:
        _end(str(error))
    except OSError as error:
        # A disk that says no is no fault of ours; anything else is a defect and shows where it is.
        if error.errno not in _DISK:
            raise
        if error.filename:
            _end(f"{error.filename}: {error.strerror}")
        # What was printed so far is lost: nothing more may be tried on that end when Python closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        print(f"crucible: what was printed is not whole: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


def _end(fault: str) -> NoReturn:
    if "--json" in sys.argv[1:]:
        print_json({"error": fault})
    print(f"crucible: {visible(fault, lines=True)}", file=sys.stderr)
    sys.exit(1)


@app.command()
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


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say what runs, where, with how much memory, and what every agent does."""
    from crucible.operations.status import read_status

    found = read_status(_workspace())
    if as_json:
        print_json(found.to_json())
    else:
        from crucible.operations.sheet import open_console
        from crucible.operations.tables import status_view

        footer = f"run {found.run}" if found.run else "nothing has run here yet: crucible up"
        open_console().print(status_view(found, footer))
    if found.down:
        print(f"crucible: down: {', '.join(found.down)}", file=sys.stderr)


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def explain(
    version: Annotated[str, typer.Argument(help="SLOT/VERSION, SLOT/ALIAS or a champion.json.")],
    as_json: AsJson = False,
) -> None:
    """Tell a strategy in words, how it was judged, and where it comes from."""
    from crucible.forge.reporting.explain import explain_file, explain_version, version_number

    path = Path(version)
    if path.is_file() or path.suffix == ".json":
        reported = explain_file(path)
    else:
        from crucible.operations.supervision.ownership import address_of
        from crucible.operations.workspace import Workspace
        from crucible.registry.models import Registry
        from crucible.settings import load_settings

        # A person waits for this answer: a server that is down is told at once.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        workspace = Workspace.at(load_settings().home)
        registry = Registry(address_of(workspace, "mlflow"), workspace.proof_key())
        slot, number = version_number(registry, version)
        reported = explain_version(
            registry, f"{slot}/{number}", _agents(workspace, f"{slot}@{number}")
        )
    if as_json:
        print_json(reported.to_json())
    else:
        print(visible(reported.to_text(), lines=True))


@app.command()
def password() -> None:
    """Print what Prefect's page asks for, once in each browser."""
    print(_workspace().password())


@app.command()
def kill(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for flat positions.")] = 10.0,
) -> None:
    """Halt every agent, cancel every order and close every position, now."""
    from crucible.operations.control import halt_and_flatten

    addresses = _cerebellum()
    if not yes:
        typer.confirm("Halt all trading and close every position?", abort=True)
    halted = halt_and_flatten(addresses, "operator's kill switch", wait)
    print(
        f"halted; {halted.cancels}; "
        f"open positions {halted.open_positions}, open orders {halted.open_orders}; "
        "to go on: crucible resume --operator NAME"
    )
    if not halted.flat:
        print("crucible: not everything could be closed yet; run it again", file=sys.stderr)
        sys.exit(1)


@app.command()
def resume(
    operator: Annotated[str, typer.Option(help="Your name, for the journal.")],
    agent: Annotated[str | None, typer.Option(help="Only this agent, SLOT@VERSION.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol.")] = None,
) -> None:
    """Let trading go on after a halt, a kill, a tripped dead-man switch or a day's loss."""
    from crucible.operations.control import resume as move_up

    resumed = move_up(_cerebellum(), operator, agent, symbol)
    scope = " in ".join(filter(None, (agent, symbol))) or "everything"
    print(f"{scope} is ACTIVE again; it was {resumed.before}")
    for held in resumed.still_held:
        print(f"{held} all the same; crucible status tells why")


@radar_app.command("training-set")
def radar_training_set(
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    candles: Annotated[
        Path | None, typer.Option(help="Folder of SYMBOL-1m.parquet; simulated markets otherwise.")
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


def _workspace() -> Workspace:
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


def _cerebellum() -> Addresses:
    from crucible.operations.control_link import reach

    addresses, doubt = reach(_workspace())
    if doubt:
        print(f"crucible: {doubt}", file=sys.stderr)
    return addresses


def _agents(workspace: Workspace, agent: str) -> list[dict[str, object]]:
    """Tell what the newest run's ledger knows of an agent; nothing where there is none."""
    from crucible.ledger.reader import LedgerReader

    run = workspace.current()
    if run is None or not run.ledger.exists():
        return []
    with LedgerReader(run.ledger) as ledger:
        return [
            {
                "agent": row.agent,
                "role": row.role,
                "since_ts": row.since_ts,
                "until_ts": row.until_ts,
                "orders": len(orders := ledger.orders(agent)),
                "last_order": orders[-1] if orders else None,
                "fills": sum(fill.mode == "live" for fill in fills),
                "simulated_fills": sum(fill.mode == "shadow" for fill in fills),
            }
            for fills in (ledger.fills(agent),)
            for row in ledger.agents()
            if row.agent == agent
        ]


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
