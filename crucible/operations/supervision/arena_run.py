"""The arena's flow run: started through Prefect, watched through its process.

Trading does not depend on what Prefect believes: while the process lives the arena is up, whatever
the server says or whether it answers at all.
"""

from __future__ import annotations

import signal

from crucible.operations.errors import ServerError, WorkspaceError
from crucible.operations.supervision.process import Identity, interrupt, stop_trees, wait_until_gone
from crucible.operations.supervision.restarts import Restarts
from crucible.operations.supervision.servers import TERMINAL, PrefectServer
from crucible.operations.supervision.stack import Service, Stack
from crucible.operations.workspace import Run, read_json

DEPLOYMENT = "arena/arena"
ASK_EVERY_S = 2.0
# The flow has been told to run, yet no process reports: the worker may have died with it.
LOST_AFTER_S = 120.0
GRACE_S = 12.0


class ArenaRun:
    """The one arena of a run.

    Parameters
    ----------
    stack : Stack
        Where its state is written down.
    prefect : PrefectServer
    run : Run
    """

    def __init__(self, stack: Stack, prefect: PrefectServer, run: Run) -> None:
        self._stack = stack
        self._prefect = prefect
        self._run = run
        self._restarts = Restarts()
        self._flow_run: str | None = None
        self._started = 0.0
        self._asked = 0.0
        self._retry_at: float | None = None
        self._count = 0

    @property
    def service(self) -> Service:
        """How the arena stands."""
        return self._stack.services["arena"]

    def start(self) -> None:
        """Ask Prefect for a run of the arena flow.

        Raises
        ------
        ServerError
            If Prefect refuses.
        """
        self._count += 1
        again = f", start {self._count}" if self._count > 1 else ""
        # Singularity starts an arena too when it misses one; two would fight over the only slot.
        self._flow_run = self._prefect.unfinished_of(DEPLOYMENT) or self._prefect.start(
            DEPLOYMENT, f"arena {self._run.run_id}{again}"
        )
        self._started = 0.0
        service = self.service
        service.state, service.identity = "starting", None
        service.extra["flow_run_id"] = self._flow_run
        self._stack.event("arena", "starting")

    def tick(self, now: float) -> None:
        """Look after the arena; cheap when there is nothing to do."""
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            try:
                self.start()
            except ServerError:
                self._retry_at = now + ASK_EVERY_S
            return
        if self._flow_run is None or now - self._asked < ASK_EVERY_S:
            return
        self._asked = now
        self._started = self._started or now
        service = self.service
        if service.identity is not None and service.identity.alive:
            if service.state == "starting" and self._run.arena.exists():
                service.state = "up"
                self._stack.event("arena", "ready")
            elif service.state == "up":
                self._stack.event("arena", self._reported() or "ready")
            return
        self._ask(now)

    def stop(self) -> None:
        """End the arena in order: its flow is told, its process is asked, then ended."""
        flow_run, identity = self._flow_run, self.service.identity
        self._flow_run = self._retry_at = None
        if identity is not None and identity.alive:
            self._stack.event("arena", "stopping")
            interrupt(identity, signal.SIGTERM)
            if not wait_until_gone(identity, GRACE_S):
                stop_trees([identity], 1.0)
            self._stack.event("arena", "stopped")
        self.service.state, self.service.identity = "down", None
        if flow_run is not None:
            self._force(flow_run, "CANCELLED", "stopped with the stack")

    def _ask(self, now: float) -> None:
        """Find the process of the flow run, or learn that it has ended."""
        assert self._flow_run is not None
        try:
            found = self._prefect.run(self._flow_run)
        except ServerError:
            # Prefect restarts; a living process is found again when it is back.
            return
        service = self.service
        state = str(found["state_type"])
        if state in TERMINAL:
            message = str((found["state"] or {}).get("message") or "")
            self._again(now, f"its flow run ended {state}: {message[:200]}")
            return
        pid = found.get("infrastructure_pid")
        identity = Identity.of(int(pid)) if pid else None
        if identity is not None and identity.alive and service.identity is None:
            service.identity = identity
            service.state = "starting"
            self._stack.event("arena", f"its flow runs as process {identity.pid}")
        elif service.identity is not None:
            self._lost(now, "its process ended")
        elif now - self._started > LOST_AFTER_S:
            self._lost(now, "no process took its flow run")

    def _reported(self) -> str:
        """Give what keeps the arena from opening positions, as it says; empty where nothing does."""
        try:
            reported = (read_json(self._run.arena) or {}).get("trouble", "")
        except WorkspaceError:
            return ""  # it writes the file anew each minute; whoever shows it says what is wrong
        return f"opens no position: {reported}" if isinstance(reported, str) and reported else ""

    def _lost(self, now: float, why: str) -> None:
        assert self._flow_run is not None
        # The run still counts as running and would hold the only slot of its deployment.
        self._force(self._flow_run, "CRASHED", why)
        self._again(now, why)

    def _again(self, now: float, why: str) -> None:
        service = self.service
        service.state, service.identity = "down", None
        self._flow_run = None
        self._stack.on_end("arena", why)
        pause = self._restarts.pause(now)
        self._retry_at = now + pause
        often = ", again and again, see the worker's log" if self._restarts.failing else ""
        self._stack.event("arena", f"{why}{often}; starting again in {pause:g} s")

    def _force(self, flow_run: str, state: str, reason: str) -> None:
        try:
            self._prefect.force(flow_run, state, reason)
        except ServerError as error:
            self._stack.event("arena", f"its flow run could not be marked: {error}")
