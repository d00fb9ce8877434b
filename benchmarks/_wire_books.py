"""Frames of order books for the wire benchmark, recorded or taken from the paper venue."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import websocket

from benchmarks._harness import BenchmarkError
from benchmarks._wire_stack import venue
from tests.support.processes import REPOSITORY, binary

RECORDED = "l2/bybit-v5/bybit_v5_capture_2026-08-09.jsonl.gz"
PLACES = {"BTCUSDT": [1, 3], "ETHUSDT": [2, 2], "SOLUSDT": [3, 1], "DOGEUSDT": [5, 0]}
DEPTH = 200
OWN_SECONDS = 25


@dataclass(frozen=True, slots=True)
class Frames:
    """A file of raw order book frames, one a line.

    Attributes
    ----------
    levels : int
        Level changes in it; one delta is one level.
    """

    path: Path
    source: str
    count: int
    levels: int
    places: dict[str, list[int]]


def frames(folder: Path) -> Frames:
    """Take the recorded frames of Bybit, or record the paper venue's own where there are none."""
    shared = Path(os.environ.get("CRUCIBLE_SHARED", REPOSITORY.parent / "shared" / "data"))
    recorded = shared / RECORDED
    if recorded.is_file():
        return _keep(
            folder, _recorded(recorded), "recorded on Bybit mainnet, 4 symbols, 200 levels"
        )
    return _keep(folder, _own(folder), "recorded from the paper venue, 2 symbols, 200 levels")


def _recorded(path: Path) -> list[str]:
    with gzip.open(path, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    linear = [row for row in rows if row.get("conn") == "BYBIT.ws.2" and row["t"] != "send"]
    texts = [row.get("data") for row in linear]
    return [text for text in texts if isinstance(text, str) and '"orderbook.' in text]


def _own(folder: Path) -> list[str]:
    with venue(folder, "--speed", "20", "--step-ms", "100") as market:
        socket = websocket.create_connection(market["ws"] + "/v5/public/linear", timeout=10)
        topics = [f"orderbook.{DEPTH}.{symbol}" for symbol in ("BTCUSDT", "ETHUSDT")]
        socket.send(json.dumps({"op": "subscribe", "args": topics}))
        texts = []
        end = time.monotonic() + OWN_SECONDS
        while time.monotonic() < end:
            text = socket.recv()
            if '"orderbook.' in text and '"data"' in text:
                texts.append(text)
        socket.close()
    return texts


def _keep(folder: Path, texts: list[str], source: str) -> Frames:
    path = folder / "frames.jsonl"
    path.write_text("\n".join(texts) + "\n")
    bodies = [json.loads(text)["data"] for text in texts]
    symbols = {body["s"] for body in bodies}
    places = {symbol: PLACES[symbol] for symbol in PLACES if symbol in symbols}
    levels = sum(len(body["b"]) + len(body["a"]) for body in bodies)
    if not levels:
        message = f"no level change in the frames {source}"
        raise BenchmarkError(message)
    return Frames(path, source, len(texts), levels, places)


def ours(given: Frames, repeat: int) -> dict[str, Any]:
    """Parse and apply the frames `repeat` times in Cerebellum; its own clock, one thread."""
    places = ",".join(f"{symbol}:{one[0]}:{one[1]}" for symbol, one in given.places.items())
    command = [
        binary("cerebellum"), "replay-frames", str(given.path), "--places", places,
        "--depth", str(DEPTH), "--repeat", str(repeat), "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        message = f"cerebellum replay-frames failed: {done.stderr[-400:]}"
        raise BenchmarkError(message)
    reported: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if reported["levels"] != given.levels * repeat:
        message = f"replay-frames applied {reported['levels']} levels of {given.levels * repeat}"
        raise BenchmarkError(message)
    return reported


def best(reported: dict[str, Any]) -> dict[str, list[str | None]]:
    """Best prices at the end, as the peer tells them."""
    return {
        symbol: [side[0][0] if side else None for side in (book["bids"], book["asks"])]
        for symbol, book in reported["books"].items()
    }
