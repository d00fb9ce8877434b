"""Runs a schedule against the real binaries: starts, breaks, kills, restarts, waits for rest.

The driver owns the processes. It acts when the trader has reached an event's order, so the moments
are the schedule's; what happens inside a moment is up to the machine.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import requests

from tests.chaos import books
from tests.chaos.schedule import AGENTS, START_MS, SYMBOLS, Event, Schedule, write
from tests.support.processes import ORIGIN_MS, REPOSITORY, binary, running, write_keys

DEPOSIT = "10000000"
# No order left for so long: something hangs.
STALL_S = 75.0
# Rows on their way have so long to arrive after the last order.
SETTLE_S = 60.0
LIMITS = """
[order]
max_notional = "1000000"
per_second_per_agent = 1000

[position]
max_notional = "5000000"
max_total_notional = "9000000"
"""


class CampaignError(AssertionError):
    """The campaign does not come to its end."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the market and the trader go.

    Attributes
    ----------
    speed : float
        Market seconds per wall second.
    step_ms : int
        Market time advances in such steps.
    window : int
        Most orders under way at once.
    stride_ms : int
        Market time passes only between two orders, so much each time; 0: it passes by itself.
    """

    speed: float = 60.0
    step_ms: int = 1_000
    window: int = 16
    stride_ms: int = 0

    @property
    def is_still(self) -> bool:
        """Whether prices do not move while an order is under way."""
        return self.speed < 1 or self.stride_ms > 0


LIVELY = Pace()
# One order after the other on a market that stands still: what decides a fill is the order alone.
STILL = Pace(speed=0.001, step_ms=60_000, window=1)
# One order after the other on a lively market, whose time passes between them.
STEPPED = Pace(window=1, stride_ms=37_000)


@dataclass(slots=True)
class Happening:
    """Something that happened, for the timeline: seconds since the start, order count, what."""

    at: float
    number: int
    what: str
    detail: str = ""


@dataclass(slots=True)
class Outcome:
    """What a campaign left behind."""

    schedule: Schedule
    folder: Path
    venue: books.Record
    journal: books.Record
    arena: books.Record
    happenings: list[Happening]
    sent_at: dict[int, float]
    seconds: float
    verified: dict[str, Any]
    faults: list[str] = field(default_factory=list)


class Process:
    """One process that is killed and started again; its lines arrive in the driver's queue."""

    def __init__(self, name: str, command: list[str], log: Path, news: Queue[Any]) -> None:
        self.name, self.command, self.log, self.news = name, command, log, news
        self.lives = 0
        self.child: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin a new life."""
        self.lives += 1
        with self.log.open("a") as stderr:
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                text=True, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            )  # fmt: skip
        threading.Thread(target=self._listen, args=(self.child, self.lives), daemon=True).start()

    def _listen(self, child: subprocess.Popen[str], life: int) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            self.news.put((self.name, life, json.loads(line)))
        self.news.put((self.name, life, {"event": "ended", "code": child.wait()}))

    def report_line(self, **fields: Any) -> None:
        """Write one JSON line to it; one that has just died does not hear it."""
        assert self.child is not None
        assert self.child.stdin is not None
        try:
            self.child.stdin.write(json.dumps(fields) + "\n")
            self.child.stdin.flush()
        except BrokenPipeError:
            pass

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        assert self.child is not None
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def stop(self, seconds: float) -> int:
        """Send SIGTERM and wait for the end in order."""
        assert self.child is not None
        self.child.terminate()
        return self.child.wait(timeout=seconds)

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.child is not None and self.child.poll() is None


class Campaign:
    """One schedule, one venue, one Cerebellum, one trader.

    Parameters
    ----------
    schedule : Schedule
    folder : Path
        Everything lies here; its path is short, since sockets take 107 bytes.
    pace : Pace
    """

    def __init__(self, schedule: Schedule, folder: Path, pace: Pace = LIVELY) -> None:
        self.schedule, self.folder, self.pace = schedule, folder, pace
        self.news: Queue[Any] = Queue()
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.counter = itertools.count()
        self.happenings: list[Happening] = []
        self.sent_at: dict[int, float] = {}
        self.begun: set[int] = set()
        self.number = 0
        self.moved_at = time.monotonic()
        self.trader_is_done = False
        self.errors: list[str] = []
        self.start_at = time.time()
        self.keys = write_keys(folder, usdt=DEPOSIT)
        self.key = json.loads(self.keys.read_text())[0]["key"]
        write(schedule, folder / "schedule.jsonl")
        (folder / "limits.toml").write_text(LIMITS)
        (folder / "s").mkdir(mode=0o700)

    def run(self) -> Outcome:
        """Run everything and return what each side wrote down.

        Raises
        ------
        CampaignError
            If a process ends by itself or orders stop moving.
        """
        with running(self._venue_command(), self.folder / "venue.log") as (_, ready):
            self.rest = ready["rest"]
            log = self.folder / "cerebellum.log"
            self.cerebellum = Process("cerebellum", self._cerebellum_command(ready), log, self.news)
            self.trader = Process("arena", [], self.folder / "trader.log", self.news)
            try:
                return self._drive()
            finally:
                for process in (self.trader, self.cerebellum):
                    if process.is_alive:
                        process.kill()

    def _drive(self) -> Outcome:
        self.cerebellum.start()
        self.trader.command = self._trader_command(self._wait_ready())
        self.trader.start()
        while not (self.trader_is_done and not self.timers):
            self._turn()
        self._fault({"kind": "clear"})
        self.note("rest", "every fault is cleared")
        settled = self._settle()
        seconds = time.time() - self.start_at
        self.trader.stop(10)
        code = self.cerebellum.stop(5)
        if code:
            self.errors.append(f"cerebellum ended with {code} when told to stop")
        # Where all three agreed, that instant counts: the market goes on, and an exit that Cerebellum
        # makes between the trader's end and its own is booked by no trader.
        venue, journal, arena = settled or self._records()
        faults = books.faults(venue, journal, arena, self.schedule.orders)
        return Outcome(
            self.schedule, self.folder, venue, journal, arena, self.happenings, self.sent_at,
            seconds, self._verify(), self.errors + faults,
        )  # fmt: skip

    # --- commands ----------------------------------------------------------------------------------

    def _venue_command(self) -> list[str]:
        return [
            binary("paper_venue"), "--rest", "127.0.0.1:0", "--market", "simulated", "--rules", "none",
            "--seed", str(self.schedule.seed % 2**31), "--keys", str(self.keys),
            "--symbols", ",".join(SYMBOLS), "--origin", str(ORIGIN_MS), "--start", str(START_MS),
            *self._passing(),
        ]  # fmt: skip

    def _passing(self) -> list[str]:
        if self.pace.stride_ms:
            return ["--stepped"]
        return ["--speed", f"{self.pace.speed:g}", "--step-ms", str(self.pace.step_ms)]

    def _cerebellum_command(self, venue: dict[str, Any]) -> list[str]:
        return [
            binary("cerebellum"), "--venue", "paper", "--rest", venue["rest"], "--ws", venue["ws"],
            "--keys", str(self.keys), "--journal", str(self.folder / "journal.sqlite"),
            "--symbols", ",".join(SYMBOLS), "--run-folder", str(self.folder / "s"),
            "--limits", str(self.folder / "limits.toml"), "--metrics", "127.0.0.1:0",
            "--deadman-ms", "60000", "--ping-ms", "1000", "--dead-after-ms", "3000",
            *self._stale(),
        ]  # fmt: skip

    def _stale(self) -> list[str]:
        # A market that stands still sends no update, which is no fault of its book.
        return ["--stale-after-ms", "600000"] if self.pace.is_still else []

    def _trader_command(self, ready: dict[str, Any]) -> list[str]:
        addresses = {name: ready[name] for name in ("commands", "events", "market")}
        return [
            sys.executable, "-m", "tests.chaos.trader", "--folder", str(self.folder),
            "--addresses", json.dumps(addresses), "--window", str(self.pace.window),
            *(["--rest", self.rest] if self.pace.is_still else []),
            *(["--stride-ms", str(self.pace.stride_ms), "--key", self.key] if self.pace.stride_ms else []),
        ]  # fmt: skip

    def _wait_ready(self) -> dict[str, Any]:
        name, _, said = self.news.get(timeout=60)
        if (name, said["event"]) != ("cerebellum", "ready"):
            message = f"{name} said {said} instead of being ready; see {self.folder}/{name}.log"
            raise CampaignError(message)
        return dict(said)

    # --- one turn ----------------------------------------------------------------------------------

    def _turn(self) -> None:
        now = time.monotonic()
        if now > self.moved_at + STALL_S:
            message = f"orders stopped moving at {self.number}: {self._stuck()}"
            raise CampaignError(message)
        while self.timers and self.timers[0][0] <= now:
            heapq.heappop(self.timers)[2]()
        patience = min(0.2, max(0.0, self.timers[0][0] - now)) if self.timers else 0.2
        try:
            name, life, said = self.news.get(timeout=patience)
        except Empty:
            return
        if name == "arena" and life == self.trader.lives:
            self._trader_said(said)
        elif name == "cerebellum" and life == self.cerebellum.lives:
            self._cerebellum_said(said)

    def _trader_said(self, said: dict[str, Any]) -> None:
        match said["event"]:
            case "sent":
                self.moved_at = time.monotonic()
                self.number = said["number"]
                self.sent_at[self.number] = said["at"] - self.start_at
            case "reached":
                self._reached(said["number"])
            case "done":
                self.trader_is_done = True
            case "ended":
                message = f"the trader ended with {said['code']}; see {self.trader.log}"
                raise CampaignError(message)
            case "error":
                self.errors.append(f"Cerebellum refused to read a command: {said}")
            case "up":
                self.trader_is_done = False
                self.note("up_arena", f"event {said['last_seq']}, order {said['place']}")

    def _cerebellum_said(self, said: dict[str, Any]) -> None:
        if said["event"] == "ended":
            message = f"cerebellum ended with {said['code']}; see {self.cerebellum.log}"
            raise CampaignError(message)
        self.note("up_cerebellum")

    def _reached(self, number: int) -> None:
        """Do what the schedule has at this order, once, and let the trader go on."""
        if number not in self.begun:
            self.begun.add(number)
            for event in self.schedule.events:
                if event.at == number:
                    self.later(event.after_ms, lambda event=event: self._do(event))
        # What is due at once comes before the order itself.
        now = time.monotonic()
        while self.timers and self.timers[0][0] <= now:
            heapq.heappop(self.timers)[2]()
        self.trader.report_line(go=number)

    def later(self, ms: float, action: Callable[[], None]) -> None:
        """Do something in so many milliseconds."""
        heapq.heappush(self.timers, (time.monotonic() + ms / 1000, next(self.counter), action))

    def _do(self, event: Event) -> None:
        detail = json.dumps({k: v for k, v in event.body.items() if k != "kind"}, sort_keys=True)
        self.note(event.what, detail if event.body else f"for {event.lasts_ms} ms")
        if event.what == "kill_cerebellum":
            self._kill(self.cerebellum, event.lasts_ms)
        elif event.what == "kill_arena":
            self._kill(self.trader, event.lasts_ms)
        else:
            self._fault(event.body)
            if event.what == "clock_offset":
                self.later(event.lasts_ms, lambda: self._fault({"kind": "clock_offset", "ms": 0}))

    def _kill(self, process: Process, lasts_ms: int) -> None:
        if process.is_alive:
            process.kill()
            process.lives += 1
            self.later(lasts_ms, process.start)

    def _fault(self, body: dict[str, Any]) -> None:
        answer = requests.post(self.rest + "/admin/fault", json=body, timeout=10)
        if answer.status_code != 200:
            message = f"the venue refused the fault {body}: {answer.text}"
            raise CampaignError(message)

    def note(self, what: str, detail: str = "") -> None:
        """Keep something for the timeline."""
        at = time.time() - self.start_at
        self.happenings.append(Happening(at, self.number, what, detail))

    # --- the end -----------------------------------------------------------------------------------

    def _records(self) -> tuple[books.Record, books.Record, books.Record]:
        answer = requests.get(self.rest + "/admin/ledger", params={"key": self.key}, timeout=10)
        answer.raise_for_status()
        (account,) = answer.json()["accounts"]
        return (
            books.venue_record(account),
            books.journal_record(self.folder / "journal.sqlite"),
            books.arena_record(self.folder),
        )

    def _settle(self) -> tuple[books.Record, books.Record, books.Record] | None:
        """Give rows on their way the time to arrive; None if something differs after that."""
        self.moved_at = time.monotonic()
        while time.monotonic() < self.moved_at + SETTLE_S:
            self._turn()
            if not self.trader_is_done:
                continue
            records = self._records()
            if not books.faults(*records, self.schedule.orders):
                return records
        return None

    def _verify(self) -> dict[str, Any]:
        done = subprocess.run(
            [binary("cerebellum"), "verify-journal", str(self.folder / "journal.sqlite")],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            self.errors.append(f"verify-journal: {done.stdout} {done.stderr}")
        return json.loads(done.stdout or "{}")

    def _stuck(self) -> str:
        found = books.faults(*self._records(), self.schedule.orders)
        return (
            f"{len(found)} differences, such as {found[:5]}; {len(AGENTS)} agents in {self.folder}"
        )
