"""`crucible up`: start everything in order, watch it, and stop it in order.

The sequence reads top to bottom in `Supervisor`; while it waits for one thing it keeps watching all
the others.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

from rich.console import Console

from crucible.errors import CrucibleError
from crucible.files import append_line
from crucible.operations.alerts.dispatch import open_alerts
from crucible.operations.display import Display
from crucible.operations.errors import OperationsError, ServiceError
from crucible.operations.status import read_status
from crucible.operations.supervision import services
from crucible.operations.supervision.arena_run import ArenaRun
from crucible.operations.supervision.disk_space import Room
from crucible.operations.supervision.options import (
    UpOptions,
    configuration_of,
    refuse_foreign_slots,
)
from crucible.operations.supervision.ports import claim
from crucible.operations.supervision.servers import (
    TERMINAL,
    PrefectServer,
    market_clock,
    prepare_forge_runs,
)
from crucible.operations.supervision.services import FORGE_QUEUE, POOL, REPOSITORY, Ports
from crucible.operations.supervision.shutdown import attempt, shut_down
from crucible.operations.supervision.stack import Stack, clear_leftovers
from crucible.operations.trading_state import journal_trouble, read_trading
from crucible.operations.workspace import Run, Workspace, write_json
from crucible.settings import MINUTE_MS, Settings

TICK_S = 0.25
TABLE_EVERY_S = 2.0
WORLD_EVERY_S = 5.0
# First starts on a loaded machine are slow: they create databases.
START_LIMIT_S = 300.0
INGEST_LIMIT_S = 900.0
# Their schedules are for a server without `crucible up`.
SCHEDULED = ("watchtower/watchtower", "singularity/singularity")


class StopRequested(BaseException):
    """Ctrl-C, SIGTERM or the end of ``--run-for``: unwinds from whatever was being waited for."""


def up(settings: Settings, options: UpOptions, console: Console) -> None:
    """Run the whole stack until it is told to stop; it leaves no process behind.

    Raises
    ------
    OperationsError
        If it cannot start, or something that cannot be had again ended.
    """
    workspace = Workspace.at(settings.home)
    workspace.create()
    with workspace.lock(), Display(console) as display:
        clear_leftovers(workspace, display.report_line)
        Supervisor(settings, options, workspace, display).run()


class Supervisor:
    """One `up`, from the first process to the last.

    Parameters
    ----------
    settings : Settings
    options : UpOptions
    workspace : Workspace
        Locked by the caller.
    display : Display
    """

    def __init__(
        self, settings: Settings, options: UpOptions, workspace: Workspace, display: Display
    ) -> None:
        self._options = options
        self._workspace = workspace
        self._display = display
        self._configuration = configuration_of(settings, options, workspace)
        for line in self._configuration.describe():
            display.report_line(line)
        refuse_foreign_slots(settings, self._configuration)
        self._settings = settings
        self._ports = Ports(
            prefect=claim(settings.ports.prefect, "prefect"),
            mlflow=claim(settings.ports.mlflow, "mlflow"),
            dashboard=claim(settings.ports.dashboard, "dashboard"),
            paper_venue=claim(settings.ports.paper_venue, "paper_venue"),
        )
        # Outside, positions outlive a stop: the next start must know them, so it keeps the journal.
        held = workspace.current() if settings.execution.venue != "paper" else None
        self._run = held or workspace.new_run()
        self._environment = services.environment(
            settings, workspace, self._run, self._ports, self._configuration, os.environ
        )
        self._stack = Stack(
            workspace, self._run, self._environment, REPOSITORY, display.report_line
        )
        self._alerts = open_alerts(settings.alerts, self._run)
        if self._alerts is not None:
            self._stack.on_end = self._alerts.part_ended
        self._prefect = PrefectServer(self._ports.prefect_api, workspace.password())
        self._arena = ArenaRun(self._stack, self._prefect, self._run)
        self._signals = 0
        self._room = Room(workspace.path)
        self._failing: dict[str, str] = {}
        self._shown = self._remembered = 0.0
        self._trading: tuple[str, int | None] | None = None
        self._footer = "starting"

    def run(self) -> None:
        """Start, watch, stop.

        Raises
        ------
        CrucibleError
            Why it ended, where nobody asked for it; every process has been stopped by then.
        """
        self._describe_run()
        if self._alerts is not None:
            self._alerts.start()
        with self._signals_asked():
            try:
                self._bring_up()
                self._watch()
            except StopRequested:
                self._display.report_line("stopping everything in order; this takes some seconds")
            except CrucibleError as error:
                self._display.report_line(f"{error}; stopping everything in order")
                self._alert_of_end(str(error))
                raise
            except Exception as error:
                self._alert_of_end(f"crucible up ended by {type(error).__name__}")
                raise self._defect(error) from error
            finally:
                self._end()
        self._display.report_line(
            f"stopped; run {self._run.run_id} is kept: crucible report --run {self._run.run_id}"
        )

    def _end(self) -> None:
        show = partial(self._show, time.monotonic(), always=True)
        self._footer = "stopping"
        if self._alerts is not None:
            self._alerts.finish()
        attempt("the table", show, self._display.report_line)
        attempt("the market's time", self._remember, self._display.report_line)
        shut_down(self._stack, self._prefect, self._arena, self._display.report_line)
        self._footer = f"run {self._run.run_id} has stopped"
        self._prefect.close()
        if self._alerts is not None:
            attempt("alerts", self._alerts.close, self._display.report_line)
            self._report_alerts()
        attempt("the table", show, self._display.report_line)

    def _alert_of_end(self, why: str) -> None:
        if self._alerts is not None:
            self._alerts.stack_ended(why)

    def _report_alerts(self) -> None:
        for line in self._alerts.lines() if self._alerts is not None else ():
            self._display.report_line(line)

    def _defect(self, error: Exception) -> ServiceError:
        """Tell a defect of the code in one line; its trace goes to a file."""
        where = self._workspace.logs / "up.log"
        trace = "".join(traceback.format_exception(error))
        self._aside("the trace", partial(append_line, where, trace))
        message = f"crucible up ended by {type(error).__name__}: {error}; the whole trace: {where}"
        self._display.report_line(f"{message}; stopping everything in order")
        return ServiceError(message)

    def _aside(self, what: str, step: Callable[[], None]) -> None:
        """Keep books and tell people; where that fails it is said once, and everything goes on."""
        try:
            step()
        except (CrucibleError, OSError) as error:
            if self._failing.get(what) != str(error):
                self._failing[what] = str(error)
                self._display.report_line(f"{what}: {error}")
        else:
            if self._failing.pop(what, None):
                self._display.report_line(f"{what}: as it should be again")

    # --- the sequence ----------------------------------------------------------------------------

    def _bring_up(self) -> None:
        stack, ports = self._stack, self._ports
        paper = self._settings.execution.venue == "paper"
        stack.start(services.prefect(ports))
        stack.start(services.mlflow(self._workspace, ports))
        if paper:
            stack.start(
                services.paper_venue(self._settings, self._workspace, ports, self._configuration)
            )
            self._wait(lambda: stack.up("paper_venue"), "the paper venue")
        self._aside("the market's time", self._remember)
        stack.start(
            services.cerebellum(
                self._settings,
                self._workspace,
                self._run,
                self._configuration,
                stack.services["paper_venue"].ready if paper else None,
            )
        )
        self._wait(lambda: stack.up("prefect"), "Prefect")
        self._prefect.ensure_pool(POOL)
        self._prefect.ensure_queue(POOL, FORGE_QUEUE, limit=1)
        stale = self._prefect.clear("left behind by an earlier run")
        if stale:
            self._display.report_line(
                f"prefect: {stale} unfinished runs of an earlier start marked crashed"
            )
        stack.start(services.worker(self._run), self._worker_online)
        stack.start(services.dashboard(ports))
        self._deploy()
        # The selection process takes their turns; nothing is judged or forged before there is history.
        for deployment in SCHEDULED:
            self._prefect.rest(deployment)
        for name in ("worker", "mlflow", "cerebellum", "dashboard"):
            self._wait(partial(stack.up, name), name)
        try:
            prepare_forge_runs(ports.mlflow_url)
        except OperationsError as error:
            self._display.report_line(f"mlflow: its table of forge runs shows no metrics: {error}")
        self._ingest()
        self._arena.start()
        stack.start(services.selection())
        for name in ("arena", "selection"):
            self._wait(partial(stack.up, name), name)
        self._open_browser()

    def _watch(self) -> None:
        self._footer = (
            f"run {self._run.run_id}   Crucible {self._ports.dashboard_url}   "
            f"forge runs {self._ports.dashboard_url}/forgings   "
            f"models {self._ports.dashboard_url}/models   Prefect {self._ports.prefect_url}   "
            "Ctrl-C stops everything"
        )
        self._display.report_line(
            f"everything is up: Crucible {self._ports.dashboard_url}  "
            f"forge runs and models in MLflow {self._ports.dashboard_url}/forgings "
            f"{self._ports.dashboard_url}/models  Prefect {self._ports.prefect_url}"
        )
        self._display.report_line(
            "Prefect's page asks once for a password: crucible password prints it"
        )
        if self._options.ready_line:
            self._aside("the ready line", self._print_ready)
        until = self._options.run_for_s
        began = time.monotonic()
        while until is None or time.monotonic() - began < until:
            self._tick()
            time.sleep(TICK_S)
        self._display.report_line(f"ran for {until:g} s as asked")
        raise StopRequested

    def _print_ready(self) -> None:
        ready = {
            "event": "ready",
            "run": self._run.run_id,
            "pid": os.getpid(),
            "dashboard": self._ports.dashboard_url,
            "prefect": self._ports.prefect_url,
            "mlflow": self._ports.mlflow_url,
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()

    def _deploy(self) -> None:
        """Deploy every flow of ``prefect.yaml``; the command ends by itself."""
        self._display.report_line("prefect: deploying the flows")
        process = self._stack.helper("deploy", services.deploy_command())
        self._wait(lambda: process.poll() is not None, "the flows' deployment")
        code = process.poll()
        if code != 0:
            message = (
                f"the flows could not be deployed (code {code}): {process.last_words()}; "
                f"the whole log: {process.log} and {process.output}"
            )
            raise ServiceError(message)

    def _ingest(self) -> None:
        """Fill the lake; nothing can be forged or traded without history."""
        name = f"ingest at start of {self._run.run_id}"
        run_id = self._prefect.start("ingest/ingest", name)
        self._display.report_line("prefect: reading the market's history into the lake")
        seen: dict[str, str] = {}

        def ended() -> bool:
            seen.update(_state_of(self._prefect, run_id))
            return seen["type"] in TERMINAL

        self._wait(ended, "the candles' ingestion", INGEST_LIMIT_S, every_s=1.0)
        if seen["type"] != "COMPLETED":
            message = (
                f"ingest ended {seen['type']}: {seen['message']}; see "
                f"{self._ports.prefect_url}/runs/flow-run/{run_id} or {self._workspace.logs}/worker.log"
            )
            raise ServiceError(message)
        self._display.report_line("prefect: the lake is filled")

    # --- while waiting ---------------------------------------------------------------------------

    def _wait(
        self,
        done: Callable[[], bool],
        what: str,
        limit_s: float = START_LIMIT_S,
        every_s: float = TICK_S,
    ) -> None:
        deadline = time.monotonic() + limit_s
        looked = 0.0
        while True:
            self._tick()
            now = time.monotonic()
            if now - looked >= every_s:
                looked = now
                if done():
                    return
            if now > deadline:
                message = f"{what} was not ready after {limit_s:g} s; logs: {self._workspace.logs}"
                raise ServiceError(message)
            time.sleep(TICK_S)

    def _tick(self) -> None:
        if self._signals:
            raise StopRequested
        now = time.monotonic()
        self._stack.tick(now)
        self._arena.tick(now)
        self._report_alerts()
        self._aside("the table", partial(self._show, now))
        if now - self._remembered > WORLD_EVERY_S:
            self._remembered = now
            self._aside("the market's time", self._remember)
            self._room.look(self._display.report_line)
            self._aside("the trading state", self._report_trading)

    def _show(self, now: float, *, always: bool = False) -> None:
        if self._display.interactive and (always or now - self._shown > TABLE_EVERY_S):
            self._shown = now
            self._display.show(read_status(self._workspace, ask=False), self._footer)

    def _remember(self) -> None:
        """Write down how far the market has come, so that the next start goes on from there."""
        if self._configuration.market == "venue":
            self._configuration.save(self._workspace, self._configuration.start_ms)
            return
        venue = self._stack.services["paper_venue"]
        if venue.state != "up":
            return
        market_ms, ended = market_clock(venue.address)
        if market_ms is not None:
            # A minute more: the next start must not relive an instant that was already seen.
            self._configuration.save(self._workspace, market_ms + MINUTE_MS)
        if ended:
            self._stack.event("paper_venue", "the recording has ended; nothing trades any more")

    def _report_trading(self) -> None:
        """Say when entries are held back, and when they are no more: a log has no table."""
        up = self._stack.up
        trouble = journal_trouble(self._stack.services["cerebellum"].address)
        now = read_trading(
            self._run.journal, cerebellum=up("cerebellum"), arena=up("arena"), trouble=trouble
        )
        reported = (now.state, trouble)
        if reported == self._trading or now.state not in {"ACTIVE", "REDUCE_ONLY", "HALTED"}:
            return
        if reported != ("ACTIVE", 0) or self._trading is not None:
            self._display.report_line(f"trading: {now.lines[0]}")
        self._trading = reported

    def _worker_online(self) -> bool:
        try:
            return self._prefect.online_worker(POOL, services.worker_name(self._run))
        except OperationsError:
            return False

    def _open_browser(self) -> None:
        if self._options.browser and self._display.interactive:
            # Some systems wait for the browser to end.
            opener = threading.Thread(
                target=webbrowser.open, args=(self._ports.dashboard_url,), daemon=True
            )
            opener.start()

    def _describe_run(self) -> None:
        configuration = self._configuration
        facts = {
            "run": self._run.run_id,
            "market": configuration.market,
            "candles": configuration.candles,
            "symbols": list(configuration.symbols),
            "seed": configuration.seed,
            "speed": self._settings.market.speed,
            "origin_ms": configuration.origin_ms,
            "start_ms": configuration.start_ms,
            "unknown_funding": list(configuration.unknown_funding),
            "venue": self._settings.execution.venue,
            "prefect": self._ports.prefect_url,
            "mlflow": self._ports.mlflow_url,
            "dashboard": self._ports.dashboard_url,
        }
        write_json(self._run.facts, facts)

    @contextmanager
    def _signals_asked(self) -> Iterator[None]:
        def ask(_number: int, _frame: FrameType | None) -> None:
            self._signals += 1

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, ask) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _state_of(prefect: PrefectServer, run_id: str) -> dict[str, str]:
    try:
        run = prefect.run(run_id)
    except OperationsError:
        # A server that restarts is the stack's business; the run goes on without it.
        return {"type": "UNKNOWN", "message": ""}
    state = run["state"] or {}
    return {"type": str(run["state_type"]), "message": str(state.get("message") or "")}


__all__ = ["Run", "StopRequested", "Supervisor", "up"]
