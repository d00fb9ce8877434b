"""`crucible ...`: the whole system from a terminal.

The commands are in `crucible.commands`. Imports wait until a command needs them, so that `crucible --help`
and `crucible status` answer at once. How every command ends: 0 done, 1 a fault of the input or the system,
2 a wrong call, 3 refused by a rule, which is named.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import NoReturn

import typer

from crucible.commands import control, market_data, research, stack, versions
from crucible.commands.configuration import alerts_app, config_app
from crucible.commands.options import print_json, print_text
from crucible.commands.radar import radar_app
from crucible.commands.walk_forward import walk_forward_command
from crucible.errors import CrucibleError, RefusedError
from crucible.text import let_every_text_through

WRONG_CALL = 2
REFUSED = 3
"""How a command ends that a rule refused."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A factory of trading strategies: evolve, trade, judge, cull, replace.",
    epilog="Exit codes: 0 done, 1 a fault of the input or the system, 2 a wrong call, 3 refused by a rule.",
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

app.command()(stack.up)
app.command()(stack.down)
app.command()(stack.status)
app.command()(stack.logs)
app.command()(stack.doctor)
app.command()(stack.report)
app.command()(stack.password)
app.command()(control.kill)
app.command()(control.halt)
app.command()(control.resume)
app.command()(market_data.download)
app.command()(research.features)
app.command()(research.forge)
app.command()(research.backtest)
app.command()(research.lookahead)
app.command(name="walk-forward")(walk_forward_command)
app.command()(versions.explain)
app.command()(versions.why)
app.command()(versions.promote)
app.command()(versions.rollback)
app.command()(versions.retire)
app.command(name="forge-now")(versions.forge_now)
app.add_typer(radar_app, name="radar")
app.add_typer(config_app, name="config")
app.add_typer(alerts_app, name="alerts")
app.add_typer(market_data.data_app, name="data")


def main() -> NoReturn:
    """Run a command; a fault of ours is one clear line on stderr and exit code 1, a refusal 3.

    With ``--json`` the fault is told on stdout as well, as ``{"error": ...}``, with the rule's name where one
    refused: whoever reads it gets one JSON object in any case.
    """
    let_every_text_through()
    try:
        try:
            app()
        except SystemExit as ended:
            if ended.code == WRONG_CALL and "--json" in sys.argv[1:]:
                print_json({"error": "a wrong call; standard error says what is wrong with it"})
            raise
        finally:
            sys.stdout.flush()
    except RefusedError as error:
        _end(f"refused by the rule {error.rule}: {error}", REFUSED, rule=error.rule)
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


def _end(fault: str, code: int = 1, **more: str) -> NoReturn:
    if "--json" in sys.argv[1:]:
        print_json({"error": fault, **more})
    print_text(f"crucible: {fault}", fault=True)
    sys.exit(code)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
