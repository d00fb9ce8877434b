"""The real binaries, started for a test and ended with it."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
ORIGIN_MS = 1_735_689_600_000
DAY_MS = 86_400_000


def binary(name: str) -> str:
    """Find a Rust binary; a missing one is a failure, since the product is nothing without it."""
    target = REPOSITORY / (os.environ.get("CARGO_TARGET_DIR") or "cerebellum_core/target")
    path = target / "release" / name
    if not path.is_file():
        message = f"{path} is not built; run: make setup"
        raise FileNotFoundError(message)
    return str(path)


# Beneath what the system gives out by itself, and another stretch for each process of a test run: what is free now and
# taken by a server only later must not be given to anybody else meanwhile. Two runs at once begin at different places.
_STRETCH = 1_000
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw")) % 10
_PORTS = (
    20_000 + _STRETCH * _WORKER + (os.getpid() + number) % _STRETCH for number in itertools.count()
)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, each another one, and none of the thousand given last."""
    found: list[int] = []
    while len(found) < count:
        port = next(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found


def started(command: list[str], log: Path) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """Start a process that prints a ready line, and read it; what it logs is added to `log`."""
    with log.open("a") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        line = process.stdout.readline()
        assert line, f"{command[0]} ended with {process.wait()}: {log.read_text()[-2000:]}"
        return process, json.loads(line)
    except BaseException:
        process.kill()
        process.wait()
        raise


def end(process: subprocess.Popen[Any], seconds: float = 8.0) -> int:
    """End a process in order, or for certain; give its code."""
    process.terminate()
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


@contextmanager
def running(
    command: list[str], log: Path
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start a process that prints a ready line; end it in order, or for certain."""
    process, ready = started(command, log)
    try:
        yield process, ready
    finally:
        end(process)


def printed(code: str) -> str:
    """What code prints as a program of its own, whose sets and dictionaries hash otherwise."""
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=REPOSITORY, env=environment
    ).stdout


@contextmanager
def python(code: str, *words: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run code as a program of its own, whose lines can be read; kill it in the end."""
    command = [sys.executable, "-c", code, *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def write_keys(folder: Path, accounts: int = 1, usdt: str = "100000") -> Path:
    """Write keys of paper accounts as the venue and Cerebellum expect them."""
    path = folder / "keys.json"
    rows = [
        {"key": secrets.token_hex(9), "secret": secrets.token_hex(18), "usdt": usdt}
        for _ in range(accounts)
    ]
    path.write_text(json.dumps(rows))
    path.chmod(0o600)
    return path


def venue_command(folder: Path, keys: Path, symbols: str, speed: float, days: int = 3) -> list[str]:
    """Command of a simulated paper venue with some days of history."""
    return [
        binary("paper_venue"), "--rest", "127.0.0.1:0", "--market", "simulated", "--rules", "none",
        "--seed", "7",
        "--speed", f"{speed:g}", "--keys", str(keys), "--symbols", symbols,
        "--origin", str(ORIGIN_MS), "--start", str(ORIGIN_MS + days * DAY_MS),
    ]  # fmt: skip


def cerebellum_command(folder: Path, keys: Path, symbols: str, venue: dict[str, Any]) -> list[str]:
    """Command of a Cerebellum on that venue; its journal and sockets live in `folder`."""
    sockets = folder / "s"
    sockets.mkdir(mode=0o700, exist_ok=True)
    return [
        binary("cerebellum"), "--venue", "paper", "--rest", venue["rest"], "--ws", venue["ws"],
        "--keys", str(keys), "--journal", str(folder / "journal.sqlite"), "--symbols", symbols,
        "--run-folder", str(sockets), "--metrics", "127.0.0.1:0", "--deadman-ms", "60000",
    ]  # fmt: skip
