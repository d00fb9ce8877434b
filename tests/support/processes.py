"""The real binaries, started for a test and ended with it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def running(
    command: list[str], log: Path
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start a process that prints a ready line; end it in order, or for certain."""
    with log.open("a") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        try:
            line = process.stdout.readline()
            if not line:
                message = f"{command[0]} ended with {process.wait()}: {log.read_text()[-2000:]}"
                raise RuntimeError(message)
            yield process, json.loads(line)
        finally:
            process.terminate()
            try:
                process.wait(timeout=8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


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
        binary("paper_venue"), "--rest", "127.0.0.1:0", "--market", "simulated", "--seed", "7",
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
