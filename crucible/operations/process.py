"""One service's process: started in a session of its own, known again later, stopped for certain.

A process is named by its pid and creation time together, so that a reused pid is never mistaken for
it. Every service and its children carry two marks in their environment, which find what a killed
parent left behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from crucible.operations.errors import ServiceError

HOME_MARK = "CRUCIBLE_HOME"
SERVICE_MARK = "CRUCIBLE_SERVICE"
LOG_LIMIT = 10 * 1024 * 1024
MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that cannot be confused with a later one of the same pid."""

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Take the identity of a living process; None if there is none."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Identity | None:
        """Read ``pid`` and ``create_time``; None if either is missing."""
        pid, create_time = value.get("pid"), value.get("create_time")
        return None if pid is None or create_time is None else cls(int(pid), float(create_time))

    def process(self) -> psutil.Process | None:
        """Give the living process, or None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) < 0.05
            alive = same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return None
        return process if alive else None

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return self.process() is not None


class ServiceProcess:
    """A started service.

    Parameters
    ----------
    name : str
    command : sequence of str
    environment : mapping
        The whole environment; the marks are added here.
    logs : Path
        Folder: stderr goes to ``NAME.log``, stdout to ``NAME.out``.
    folder : Path
        Working directory.
    nice : int
        Added to the starter's nice value, before the program can have started anything itself.

    Raises
    ------
    ServiceError
        If the program cannot be started at all.
    """

    def __init__(
        self,
        name: str,
        command: Iterable[str],
        environment: Mapping[str, str],
        logs: Path,
        folder: Path,
        nice: int = 0,
    ) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        self.output = logs / f"{name}.out"
        rotate(self.log)
        # Files, not pipes: a service outlives a killed supervisor and must not write into a void.
        try:
            with self.log.open("ab") as errors, self.output.open("wb") as output:
                self._popen = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    env={**environment, SERVICE_MARK: name},
                    cwd=folder,
                    start_new_session=True,
                )
        except OSError as error:
            message = f"{name} cannot be started: {error}; set up again with `make up`"
            raise ServiceError(message) from error
        if nice:
            with suppress(ProcessLookupError):  # it has ended already: `poll` tells
                os.setpriority(os.PRIO_PROCESS, self._popen.pid, os.nice(0) + nice)
        identity = Identity.of(self._popen.pid)
        self.identity = identity or Identity(self._popen.pid, 0.0)

    def poll(self) -> int | None:
        """Give the exit code, or None while it runs."""
        return self._popen.poll()

    def ready_line(self) -> dict[str, Any] | None:
        """Give the JSON line that says it is ready, or None so far."""
        for line in self.output.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict) and value.get("event") == "ready":
                    return value
        return None

    def last_words(self) -> str:
        """Last line that it wrote, for a message about its end."""
        for path in (self.log, self.output):
            line = last_line(path)
            if line and '"ready"' not in line:
                return line
        return "it wrote nothing"

    def stop(self, grace_s: float) -> bool:
        """End the process and its children; True if it went by itself within the grace."""
        orderly = stop_trees([self.identity], grace_s)
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=1.0)
        return orderly


def stop_trees(identities: Iterable[Identity], grace_s: float) -> bool:
    """Ask processes to end, wait, then kill what is left of them and of their children.

    Returns
    -------
    bool
        Whether nothing had to be killed.
    """
    roots = [process for identity in identities if (process := identity.process())]
    family: dict[int, psutil.Process] = {}
    for root in roots:
        family[root.pid] = root
        with suppress(psutil.Error):
            family.update({child.pid: child for child in root.children(recursive=True)})
    for root in roots:
        with suppress(psutil.Error):
            root.terminate()
    _, left = psutil.wait_procs(family.values(), timeout=grace_s)
    for process in left:
        with suppress(psutil.Error):
            family.update({child.pid: child for child in process.children(recursive=True)})
    left = [process for process in family.values() if process.is_running() and not _zombie(process)]
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=2.0)
    return not left


def marked(home: Path, service: str | None = None) -> list[Identity]:
    """Find every living process that is a service of `home`, or was started by one.

    Parameters
    ----------
    home : Path
    service : str, optional
        Only this service and its children.
    """
    found = []
    me = os.getpid()
    for process in psutil.process_iter():
        if process.pid == me:
            continue
        with suppress(psutil.Error, OSError):
            environment = process.environ()
            if (
                SERVICE_MARK in environment
                and service in {None, environment[SERVICE_MARK]}
                and environment.get(HOME_MARK) == str(home)
                and not _zombie(process)
            ):
                found.append(Identity(process.pid, process.create_time()))
    return found


def memory_mb(identity: Identity | None, apart: Iterable[Identity] = ()) -> float:
    """Resident memory of a process and its children, in MiB.

    Parameters
    ----------
    identity : Identity or None
        None, or one that has ended, counts 0.
    apart : iterable of Identity
        Children counted elsewhere, left out with their own children.
    """
    process = identity.process() if identity else None
    if process is None:
        return 0.0
    left_out = {other.pid for other in apart}
    waiting, total = [process], 0
    while waiting:
        one = waiting.pop()
        if one.pid in left_out and one.pid != process.pid:
            continue
        with suppress(psutil.Error):
            total += one.memory_info().rss
            waiting.extend(one.children())
    return round(total / MEGABYTE, 1)


def _zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def rotate(log: Path) -> None:
    """Keep one old log beside the new one when it has grown large."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))


def last_line(path: Path) -> str:
    """Last line with text in it of a file that may be long; empty if there is none."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8192))
        lines = file.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""


def wait_until_gone(identity: Identity, seconds: float) -> bool:
    """Wait for a process that is not our child; True once it has ended."""
    deadline = time.monotonic() + seconds
    while identity.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def interrupt(identity: Identity, number: int = signal.SIGTERM) -> None:
    """Send a signal to that very process, if it still lives."""
    process = identity.process()
    if process is not None:
        with suppress(psutil.Error):
            process.send_signal(number)
