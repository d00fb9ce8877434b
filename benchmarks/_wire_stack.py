"""What the wire benchmark starts: the paper venue, Cerebellum, the bare echo, and their client."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from benchmarks import _wire_arena
from benchmarks._harness import BenchmarkError
from tests.support.processes import DAY_MS, ORIGIN_MS, REPOSITORY, binary, running, write_keys

SYMBOLS = "BTCUSDT,ETHUSDT"
# Limits that do not bind, so that what is measured is the path and not a refusal.
LIMITS = "[order]\nper_second_per_agent = 1000000\n[position]\nmax_notional = '1000000000'\n"
# The same, and as many orders as are wanted wait here: nearly none leaves.
PATIENT_LIMITS = LIMITS + "[venue]\nmax_waiting = 1000000\norders_per_second = 1\n"


def timing_tool() -> str:
    """Build the yardstick and return its path."""
    manifest = str(REPOSITORY / "cerebellum_core" / "Cargo.toml")
    build = ["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", manifest]
    done = subprocess.run(
        [*build, "-p", "cerebellum", "--example", "wire_timing"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        message = f"the yardstick wire_timing cannot be built: {done.stderr[-600:]}"
        raise BenchmarkError(message)
    return str(Path(binary("cerebellum")).parent / "examples" / "wire_timing")


@contextmanager
def venue(folder: Path, *settings: str) -> Iterator[dict[str, Any]]:
    """Run a simulated paper venue; market time is wall time unless `settings` say otherwise."""
    keys = write_keys(folder, usdt="10000000")
    command = [
        binary("paper_venue"), "--rest", "127.0.0.1:0", "--market", "simulated", "--rules", "none",
        "--seed", "7",
        "--keys", str(keys), "--symbols", SYMBOLS, *settings,
    ]  # fmt: skip
    with running(command, folder / "venue.log") as (process, ready):
        yield {**ready, "keys": keys, "pid": process.pid}


@contextmanager
def cerebellum(
    folder: Path, market: dict[str, Any], name: str, journal: str, limits: str = LIMITS
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Run a Cerebellum on that venue; gives its process id and ready line."""
    (folder / f"{name}.toml").write_text(limits)
    sockets = folder / name
    sockets.mkdir(mode=0o700)
    command = [
        binary("cerebellum"), "--venue", "paper", "--rest", market["rest"], "--ws", market["ws"],
        "--keys", str(market["keys"]), "--journal", journal, "--symbols", SYMBOLS,
        "--run-folder", str(sockets), "--limits", str(folder / f"{name}.toml"),
        "--metrics", "127.0.0.1:0", "--deadman-ms", "0",
    ]  # fmt: skip
    with running(command, folder / f"{name}.log") as (process, ready):
        yield process.pid, ready


@contextmanager
def echo(tool: str, folder: Path, reply_bytes: int, sync: Path | None) -> Iterator[str]:
    """Run the bare echo; gives its address."""
    address = f"ipc://{folder}/{'synced' if sync else 'plain'}"
    command = [tool, "echo", address, "--reply-bytes", str(reply_bytes)]
    if sync:
        command += ["--sync", str(sync)]
    with running(command, folder / "echo.log"):
        yield address


def intents(path: Path, count: int, rest: str, agents: int = 1, *, keep: bool = False) -> Path:
    """Write so many submits of resting orders of some agents, each followed by its cancel.

    With `keep` the orders stay open: a heartbeat stands where the cancel would.
    """
    query = {"category": "linear", "symbol": "BTCUSDT", "limit": "1"}
    book = requests.get(f"{rest}/v5/market/orderbook", params=query, timeout=10).json()["result"]
    price = f"{float(book['b'][0][0]) * 0.95:.1f}"
    lines = []
    for number in range(count):
        now = time.time_ns() // 1_000_000
        intent_id = uuid7(now)
        submit = {
            "v": 1, "type": "submit", "ts": now, "request_id": f"s{number}",
            "intent_id": intent_id, "agent": f"BTCUSDT-gp-1@{number % agents + 1}", "version": "1",
            "symbol": "BTCUSDT", "side": "buy", "kind": "limit", "qty": "0.010",
            "limit_price": price, "reduce_only": False, "ttl_ms": 600_000,
            "protect": {"stop": "1.0", "take_profit": None, "deadline_ts": None},
            "reason": "entry",
        }  # fmt: skip
        after: dict[str, Any] = {"v": 1, "type": "heartbeat", "ts": now, "request_id": f"c{number}"}
        if not keep:
            after |= {"type": "cancel", "intent_id": intent_id}
        lines += [json.dumps(line, separators=(",", ":")) for line in (submit, after)]
    path.write_text("\n".join(lines) + "\n")
    return path


def uuid7(now_ms: int) -> str:
    """Make an intent id of this moment."""
    raw = bytearray(now_ms.to_bytes(6, "big") + uuid.uuid4().bytes[6:])
    raw[6] = (raw[6] & 0x0F) | 0x70
    return str(uuid.UUID(bytes=bytes(raw)))


@dataclass(frozen=True, slots=True)
class Answers:
    """What the client saw."""

    p50_us: float
    per_second: float
    reply_bytes: int


def ask(tool: str, address: str, frames: Path, *, window: int = 1, accepted: bool) -> Answers:
    """Send a file of frames and time the answers.

    Raises
    ------
    BenchmarkError
        If Cerebellum does not accept every intent: a refusal is another path than the one measured.
    """
    done = subprocess.run(
        [tool, "ask", address, "--frames", str(frames), "--window", str(window)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode:
        message = f"the client of {address} failed: {done.stderr[-400:]}"
        raise BenchmarkError(message)
    reported = json.loads(done.stdout)
    if accepted and reported["accepted"] * 2 != reported["frames"]:
        message = (
            f"{reported['accepted']} of {reported['frames'] // 2} intents were accepted; the first answer "
            f"was {reported['first_reply']}"
        )
        raise BenchmarkError(message)
    timed = [nanoseconds / 1_000 for nanoseconds in reported["timed_ns"]]
    p50 = statistics.median(timed) if timed else 0.0
    return Answers(p50, reported["frames"] / 2 / reported["seconds"], reported["reply_bytes"])


@dataclass(frozen=True, slots=True)
class Trading:
    """A real arena that trades: who takes part, and what an observer beside has seen."""

    arena: int
    cerebellum: int
    venue: int
    ready: dict[str, Any]
    rest: str
    observer: _wire_arena.Observer
    journal: Path

    def latencies_ms(self, since: int, until: int | None = None) -> list[float]:
        """Give the milliseconds from close to order of each candle that closed in a span of nanoseconds since 1970."""
        return _wire_arena.latencies_ms(self.observer, self.journal, since, until)


@contextmanager
def trading(folder: Path, journal: Path) -> Iterator[Trading]:
    """Run the arena of `_wire_arena` on a venue and a Cerebellum of its own; given once it trades."""
    for old in journal.parent.glob(f"{journal.name}*"):
        old.unlink()
    clock = ["--speed", str(_wire_arena.SPEED), "--step-ms", "1000"]
    clock += ["--origin", str(ORIGIN_MS), "--start", str(ORIGIN_MS + 3 * DAY_MS)]
    with ExitStack() as stack:
        market = stack.enter_context(venue(folder, *clock))
        pid, ready = stack.enter_context(cerebellum(folder, market, "live", str(journal)))
        account = json.loads(market["keys"].read_text())[0]
        observer = _wire_arena.Observer(market["ws"], account["key"], account["secret"])
        addresses = json.dumps({name: ready[name] for name in ("commands", "events", "market")})
        command = [
            sys.executable, "-m", "benchmarks._wire_arena", "--folder", str(folder),
            "--addresses", addresses, "--rest", market["rest"], "--origin", str(ORIGIN_MS),
        ]  # fmt: skip
        process, _ = stack.enter_context(running(command, folder / "arena.log"))
        yield Trading(process.pid, pid, market["pid"], ready, market["rest"], observer, journal)
