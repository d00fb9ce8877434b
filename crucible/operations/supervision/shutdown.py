"""The ordered stop: agents first, then positions, then books, then processes, then a last look.

A paper account ends with its venue, so its positions are closed while somebody can still do it, and
the venue's statement is kept. A venue outside keeps its positions; nothing is closed there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from crucible.errors import CrucibleError
from crucible.execution.cerebellum_link import Addresses
from crucible.operations.control import halt_and_flatten
from crucible.operations.errors import ServerError
from crucible.operations.reconciliation.own_accounts import count_fills
from crucible.operations.reconciliation.report import initial_deposit
from crucible.operations.reconciliation.venue_statement import VenueAccount
from crucible.operations.supervision.arena_run import ArenaRun
from crucible.operations.supervision.process import Identity, interrupt, stop_trees, wait_until_gone
from crucible.operations.supervision.servers import PrefectServer, registered_versions
from crucible.operations.supervision.stack import Stack
from crucible.operations.workspace import read_json, write_json

FLATTEN_LIMIT_S = 8.0
BOOKING_LIMIT_S = 5.0
FLOWS_GRACE_S = 8.0


def shut_down(
    stack: Stack, prefect: PrefectServer, arena: ArenaRun, report_line: Callable[[str], None]
) -> None:
    """Stop everything that `stack` runs; whatever fails on the way, no process is left.

    Parameters
    ----------
    stack : Stack
    prefect : PrefectServer
    arena : ArenaRun
    say : callable
        Told what happens.
    """
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("stopping selection", lambda: stack.stop("selection")),
        ("positions", lambda: _close_positions(stack, report_line)),
        ("arena", arena.stop),
        ("versions", lambda: _count_versions(stack)),
        ("statement", lambda: _take_statement(stack, report_line)),
        ("flows", lambda: _end_flows(stack, report_line)),
        ("unfinished runs", lambda: _close_runs(stack, prefect)),
    )
    for what, step in steps:
        attempt(what, step, report_line)
    for name in ("deploy", "cerebellum", "paper_venue", "worker", "dashboard", "mlflow", "prefect"):
        attempt(f"stopping {name}", partial(stack.stop, name), report_line)
    attempt("leftovers", partial(_sweep, stack, report_line), report_line)
    attempt("services.json", stack.save, report_line)


def attempt(what: str, step: Callable[[], None], report_line: Callable[[str], None]) -> None:
    """Do one step of the stop; whatever it raises is said, and the next step follows.

    Parameters
    ----------
    what : str
        Names the step where it fails.
    step, say : callable
    """
    try:
        step()
    except (CrucibleError, OSError) as error:
        report_line(f"{what}: {error}")
    except Exception as error:  # noqa: BLE001 - a defect in one step must leave no process behind
        report_line(f"{what}: {type(error).__name__}: {error}")


def _sweep(stack: Stack, report_line: Callable[[str], None]) -> None:
    left = stack.sweep()
    if left:
        report_line(f"{left} processes did not end with their service; they were stopped")


def _close_positions(stack: Stack, report_line: Callable[[str], None]) -> None:
    if not (stack.up("cerebellum") and stack.up("paper_venue")):
        return
    halted = halt_and_flatten(
        Addresses.read(stack.workspace.services_file), "stop", FLATTEN_LIMIT_S
    )
    for one in halted.unacknowledged:
        report_line(f"positions: not acknowledged: {one}")
    if not halted.flat:
        report_line(
            f"positions: {halted.open_positions} could not be closed in {FLATTEN_LIMIT_S:g} s"
        )
    # The arena books the last fills before it is stopped.
    if stack.services["arena"].identity is not None:
        deadline = time.monotonic() + BOOKING_LIMIT_S
        while count_fills(stack.run.ledger) < halted.fills and time.monotonic() < deadline:
            time.sleep(0.1)


def _count_versions(stack: Stack) -> None:
    if stack.up("mlflow"):
        facts = read_json(stack.run.facts) or {}
        facts["versions"] = registered_versions(stack.services["mlflow"].address)
        write_json(stack.run.facts, facts)


def _take_statement(stack: Stack, report_line: Callable[[str], None]) -> None:
    if not stack.up("paper_venue"):
        return
    venue = stack.services["paper_venue"].address
    account = VenueAccount.from_keys(venue, stack.workspace.keys_file, timeout_s=5.0)
    statement = account.statement(initial_deposit(stack.workspace))
    write_json(stack.run.statement, statement.to_json())
    fills = statement.book().fills
    report_line(f"paper_venue: statement kept, {fills} fills, wallet {statement.wallet} USDT")


def _end_flows(stack: Stack, report_line: Callable[[str], None]) -> None:
    """Ask every flow that still runs to end: a forge run keeps its checkpoint."""
    worker = stack.services["worker"].identity
    process = worker.process() if worker else None
    flows = [
        identity
        for child in (process.children() if process else [])
        if (identity := Identity.of(child.pid)) is not None
    ]
    if not flows:
        return
    report_line(f"worker: asking {len(flows)} running flows to end")
    for flow in flows:
        interrupt(flow)
    deadline = time.monotonic() + FLOWS_GRACE_S
    gone = [wait_until_gone(flow, max(0.0, deadline - time.monotonic())) for flow in flows]
    stop_trees([flow for flow, ended in zip(flows, gone, strict=True) if not ended], 0.5)


def _close_runs(stack: Stack, prefect: PrefectServer) -> None:
    if stack.up("prefect"):
        try:
            prefect.clear("the stack was stopped", state="CANCELLED")
        except ServerError as error:
            stack.event("prefect", f"unfinished runs stay unfinished: {error}")
