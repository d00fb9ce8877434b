"""One service's process: started in a session of its own, known again later, stopped for certain.

A process is named by its pid, the tick of this boot at which it started and the boot itself, so that a
reused pid is never mistaken for it, and a clock that is set changes nothing. Every service and its children carry two marks in their environment, which find what a killed
parent left behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from crucible.files import require_room
from crucible.operations.errors import ServiceError

HOME_MARK = "CRUCIBLE_HOME"
SERVICE_MARK = "CRUCIBLE_SERVICE"
LOG_LIMIT = 10 * 1024 * 1024
MEGABYTE = 1024 * 1024
# Fields of /proc/PID/stat after the program's name.
_STATE, _START = 0, 19
_ENDED = frozenset("ZXx")


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that cannot be confused with a later one of the same pid, whatever the clock says.

    Attributes
    ----------
    pid : int
    start_ticks : int
        Clock ticks from the start of the machine to the start of the process: field 22 of
        ``/proc/PID/stat``.
    boot_id : str
        Which start of the machine that was.
    """

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Take the identity of a living process; None if there is none."""
        found = _stat(pid)
        return None if found is None else cls(pid, found[1], boot_id())

    @classmethod
    def from_json(cls, value: object) -> Identity | None:
        """Read what `to_json` gave; None if that is not what it is."""
        if not isinstance(value, Mapping):
            return None
        pid, ticks, boot = (value.get(name) for name in ("pid", "start_ticks", "boot_id"))
        # A bool is an int to Python, and a file may hold anything.
        if type(pid) is not int or type(ticks) is not int or not isinstance(boot, str):
            return None
        return cls(pid, ticks, boot)

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {"pid": self.pid, "start_ticks": self.start_ticks, "boot_id": self.boot_id}

    def process(self) -> psutil.Process | None:
        """Give the living process, or None if it has ended."""
        if not self.alive:
            return None
        try:
            return psutil.Process(self.pid)
        except psutil.Error:
            return None

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        found = _stat(self.pid)
        return (
            found is not None
            and found[0] not in _ENDED
            and found[1] == self.start_ticks
            and self.boot_id == boot_id()
        )


def boot_id() -> str:
    """Name this start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start tick of a process; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The program's name stands in parentheses and may hold anything, spaces and parentheses too.
    fields = text.rpartition(")")[2].split()
    return fields[_STATE], int(fields[_START])


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
        self.unreported = ""
        """Why what it writes is not kept; empty where it is."""
        self._memory: IO[bytes] | None = None
        with ExitStack() as stack:
            errors, output = self._streams(stack)
            try:
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
        self.identity = identity or Identity(self._popen.pid, 0, "")

    def _streams(self, stack: ExitStack) -> tuple[IO[bytes] | int, IO[bytes]]:
        """Open what the service writes to: files, since it outlives a killed supervisor.

        On a full disk it must start all the same: its log is then nowhere, and its ready line is kept
        in memory, where it is found by the path of the open file.
        """
        try:
            self.log.parent.mkdir(exist_ok=True)
            require_room(self.log.parent)
            rotate(self.log)
            errors = stack.enter_context(self.log.open("ab"))
            return errors, stack.enter_context(self.output.open("wb"))
        except OSError as error:
            self.unreported = str(error)
            self._memory = os.fdopen(os.memfd_create(f"{self.name}.out"), "wb")
            self.output = Path(f"/proc/{os.getpid()}/fd/{self._memory.fileno()}")
            return subprocess.DEVNULL, self._memory

    def poll(self) -> int | None:
        """Give the exit code, or None while it runs."""
        return self._popen.poll()

    def ready_line(self) -> dict[str, Any] | None:
        """Give the JSON line that says it is ready, or None so far."""
        try:
            text = self.output.read_text(errors="replace")
        except OSError:  # somebody removed the folder of the logs
            return None
        for line in text.splitlines():
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
        return (
            f"what it wrote is not kept: {self.unreported}"
            if self.unreported
            else "it wrote nothing"
        )

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


def marked(workspace: Path, service: str | None = None) -> list[Identity]:
    """Find every living process that is a service of `workspace`, or was started by one.

    Parameters
    ----------
    workspace : Path
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
                and environment.get(HOME_MARK) == str(workspace)
                and not _zombie(process)
            ):
                identity = Identity.of(process.pid)
                if identity is not None:
                    found.append(identity)
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
    with suppress(OSError):
        if log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))


def last_line(path: Path) -> str:
    """Last line with text in it of a file that may be long; empty if there is none."""
    with suppress(OSError), path.open("rb") as file:
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
