"""The running services of one workspace: started, watched, restarted, and written down for others.

`Stack.tick` does all the watching; whoever owns the stack calls it a few times a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from crucible.files import state_of
from crucible.operations.errors import ServiceError
from crucible.operations.supervision.ownership import living_services
from crucible.operations.supervision.probe import answers
from crucible.operations.supervision.process import Identity, ServiceProcess, marked, stop_trees
from crucible.operations.supervision.restarts import Restarts
from crucible.operations.supervision.services import (
    NAMES,
    PREFECT_CLIENT,
    ServiceSpec,
    without_secrets,
)
from crucible.operations.workspace import Run, Workspace, read_json, write_json

State = Literal["up", "starting", "down"]
# A service that never got ready is misconfigured: trying it again and again only hides the reason.
EARLY_RESTARTS = 1


@dataclass(slots=True)
class Service:
    """One service as its owner sees it."""

    name: str
    state: State = "down"
    address: str = ""
    event: str = ""
    identity: Identity | None = None
    ready: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give what others may know."""
        return {
            "state": self.state,
            **(self.identity.to_json() if self.identity else {"pid": None}),
            "address": self.address,
            "event": self.event,
            "ready": self.ready,
            **self.extra,
        }


@dataclass(slots=True)
class _Owned:
    spec: ServiceSpec
    probe: Callable[[], bool] | None
    service: Service
    restarts: Restarts
    process: ServiceProcess | None = None
    retry_at: float | None = None
    was_up: bool = False


class Stack:
    """Services of one run.

    Parameters
    ----------
    workspace : Workspace
    run : Run
    environment : mapping
        Of every service.
    folder : Path
        Working directory of every service.
    say : callable
        Told one line whenever something happens.
    """

    def __init__(
        self,
        workspace: Workspace,
        run: Run,
        environment: Mapping[str, str],
        folder: Path,
        report_line: Callable[[str], None],
    ) -> None:
        self.workspace = workspace
        self.run = run
        self._environment = dict(environment)
        self._folder = folder
        self._report = report_line
        self._owned: dict[str, _Owned] = {}
        self._helpers: dict[str, ServiceProcess] = {}
        self.on_end: Callable[[str, str], None] = lambda _name, _how: None
        """Called with the name of a part that ended by itself, and how; it returns at once."""
        self.services: dict[str, Service] = {name: Service(name) for name in NAMES}
        self._saved: dict[str, Any] = {}
        self._written: tuple[int, ...] = ()
        self._unsaved = ""

    def __iter__(self) -> Iterator[Service]:
        return iter(self.services.values())

    def start(self, spec: ServiceSpec, probe: Callable[[], bool] | None = None) -> None:
        """Start a service; `probe` says when one is ready that has neither address nor line."""
        service = self.services.setdefault(spec.name, Service(spec.name))
        owned = _Owned(spec, probe, service, Restarts())
        self._owned[spec.name] = owned
        self._launch(owned)

    def helper(self, name: str, command: tuple[str, ...]) -> ServiceProcess:
        """Start a program that does one job at Prefect and ends; the stop ends it too if it has not."""
        environment = without_secrets(self._environment, PREFECT_CLIENT)
        process = ServiceProcess(name, command, environment, self.workspace.logs, self._folder)
        self._helpers[name] = process
        return process

    def up(self, name: str) -> bool:
        """Whether a service is ready."""
        return self.services[name].state == "up"

    def event(self, name: str, text: str) -> None:
        """Note what happened to a service, and say it."""
        service = self.services[name]
        if service.event != text:
            service.event = text
            self._report(f"{name}: {text}")

    def tick(self, now: float) -> None:
        """Look at every service once: ready, ended, or due for a restart.

        Raises
        ------
        ServiceError
            If an essential service ended, or one was never ready and ended.
        """
        for owned in list(self._owned.values()):
            if owned.process is None:
                if owned.retry_at is not None and now >= owned.retry_at:
                    self._launch_again(owned, now)
            elif (code := owned.process.poll()) is not None:
                self._ended(owned, code, now)
            elif owned.service.state == "starting":
                self._look(owned)
        self.save()

    def stop(self, name: str) -> None:
        """End one service in order, with its children; nothing happens if it does not run."""
        helper = self._helpers.pop(name, None)
        if helper is not None and helper.poll() is None:
            helper.stop(2.0)
        owned = self._owned.pop(name, None)
        if owned is None:
            return
        if owned.process is not None:
            self.event(name, "stopping")
            orderly = owned.process.stop(owned.spec.grace_s)
            self.event(name, "stopped" if orderly else "stopped by force")
        service = owned.service
        service.state, service.identity, service.ready = "down", None, None
        self.save()

    def sweep(self) -> int:
        """End every process of this workspace that is still there; give how many there were."""
        left = marked(self.workspace.path)
        stop_trees(left, 2.0)
        return len(left)

    def save(self) -> None:
        """Write ``services.json`` if anything changed, or somebody else changed the file.

        Where that fails it is said, and tried again.
        """
        document = {
            "supervisor": me.to_json() if (me := Identity.of(os.getpid())) else None,
            "run": self.run.run_id,
            "socket_folder": str(self.workspace.socket_folder),
            "services": {service.name: service.to_json() for service in self},
        }
        if document == self._saved and self._written == state_of(self.workspace.services_file):
            return
        try:
            written = write_json(self.workspace.services_file, document)
        except OSError as error:
            if self._unsaved != str(error):
                self._unsaved = str(error)
                self._report(f"{error}; until then others see the services as they were")
            return
        self._saved, self._written = document, written
        if self._unsaved:
            self._unsaved = ""
            self._report(f"{self.workspace.services_file}: written again")

    def _launch_again(self, owned: _Owned, now: float) -> None:
        try:
            self._launch(owned)
        except ServiceError as error:
            # Memory or processes are short for a moment: the others are watched meanwhile.
            self._later(owned, now, str(error))

    def _launch(self, owned: _Owned) -> None:
        service = owned.service
        if owned.spec.name != "worker":
            # Orphans of a killed parent hold its port. The worker's are flows, and live on.
            stop_trees(marked(self.workspace.path, owned.spec.name), 2.0)
        owned.process = ServiceProcess(
            owned.spec.name,
            owned.spec.command,
            without_secrets(self._environment, owned.spec.secrets),
            self.workspace.logs,
            self._folder,
            owned.spec.nice,
        )
        owned.retry_at = None
        service.state, service.identity = "starting", owned.process.identity
        service.address, service.ready = owned.spec.page, None
        self.event(service.name, "starting again" if owned.was_up else "starting")
        if owned.process.unreported:
            self._report(
                f"{service.name}: nothing that it writes is kept: {owned.process.unreported}"
            )
        self.save()

    def _look(self, owned: _Owned) -> None:
        spec, service, process = owned.spec, owned.service, owned.process
        assert process is not None
        if spec.prints_ready:
            service.ready = process.ready_line()
            ready = service.ready is not None
            if service.ready:
                service.address = str(
                    service.ready.get("rest") or service.ready.get("metrics") or ""
                )
        elif spec.ready_url is not None:
            ready = answers(spec.ready_url)
        else:
            ready = owned.probe is None or owned.probe()
        if ready:
            service.state = "up"
            owned.was_up = True
            self.event(service.name, "ready")

    def _ended(self, owned: _Owned, code: int, now: float) -> None:
        process, service = owned.process, owned.service
        assert process is not None
        words = process.last_words()
        owned.process = None
        service.state, service.identity, service.ready = "down", None, None
        how = f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
        if owned.spec.essential:
            message = f"{service.name} {how}: {words}; the whole log: {process.log}"
            raise ServiceError(message)
        if not owned.was_up and owned.restarts.count >= EARLY_RESTARTS:
            message = f"{service.name} does not start, it {how}: {words}; the log: {process.log}"
            raise ServiceError(message)
        self.on_end(service.name, how)
        self._later(owned, now, how)

    def _later(self, owned: _Owned, now: float, why: str) -> None:
        pause = owned.restarts.pause(now)
        owned.retry_at = now + pause
        log = self.workspace.logs / f"{owned.spec.name}.log"
        often = f" again and again, see {log}" if owned.restarts.failing else ""
        self.event(owned.spec.name, f"{why}{often}; starting again in {pause:g} s")


def clear_leftovers(workspace: Workspace, report_line: Callable[[str], None]) -> None:
    """End what a killed run left behind in this workspace; call it while holding the workspace's lock.

    Processes are taken from ``services.json`` (the very same ones) and by the marks that
    every service and flow carries.
    """
    document = read_json(workspace.services_file) or {}
    left = set(living_services(document).values()) | set(marked(workspace.path))
    if left:
        report_line(f"an earlier run left {len(left)} processes behind; stopping them")
        began = time.monotonic()
        stop_trees(left, 8.0)
        report_line(f"stopped them in {time.monotonic() - began:.0f} s")
