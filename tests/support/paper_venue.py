"""Starts paper venues for tests, and points third-party clients at them."""

import hashlib
import hmac
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests

from crucible.market.candles import Candles
from crucible.settings import MINUTE_MS
from crucible.testing.learnable import Spell
from tests.support.processes import binary, started

KEYS = [
    {"key": "key-one", "secret": "secret-one", "usdt": "100000"},
    {"key": "key-two", "secret": "secret-two", "usdt": "50000"},
]


@dataclass
class Venue:
    """A running paper venue."""

    process: subprocess.Popen
    rest: str
    ws: str
    ready: dict[str, Any]
    errors: Path
    closers: list = field(default_factory=list)

    def get(self, path: str) -> Any:
        return requests.get(self.rest + path, timeout=10).json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return requests.post(self.rest + path, json=body, timeout=10).json()

    def last(self, symbol: str) -> float:
        answer = self.get(f"/v5/market/tickers?category=linear&symbol={symbol}")
        return float(answer["result"]["list"][0]["lastPrice"])

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=5)


def write_keys(folder: Path, mode: int = 0o600) -> Path:
    path = folder / "keys.json"
    path.write_text(json.dumps(KEYS))
    path.chmod(mode)
    return path


def start(folder: Path, *flags: str) -> Venue:
    """Start a venue and wait for its ready line."""
    errors = folder / "venue.log"
    command = [binary("paper_venue"), "--keys", str(write_keys(folder)), *flags]
    process, ready = started(command, errors)
    return Venue(process, ready["rest"], ready["ws"], ready, errors)


def login(key: str, secret: str) -> dict[str, Any]:
    """Build the message that logs in on a private or trade socket."""
    expires = str(int(time.time() * 1000) + 10_000)
    sign = hmac.new(secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
    return {"op": "auth", "req_id": "login", "args": [key, expires, sign]}


def ccxt_options(venue: Venue, account: int = 0) -> dict[str, Any]:
    """Build ccxt's constructor argument for a venue."""
    rest, ws = venue.rest, venue.ws
    private = {
        "spot": {"unified": ws + "/v5/private"},
        "contract": ws + "/v5/private",
        "usdc": ws + "/v5/private",
        "trade": ws + "/v5/trade",
    }
    return {
        "apiKey": KEYS[account]["key"],
        "secret": KEYS[account]["secret"],
        "enableRateLimit": False,
        "urls": {
            "api": {
                "public": rest,
                "private": rest,
                "ws": {"public": {"linear": ws + "/v5/public/linear"}, "private": private},
            }
        },
        "options": {"fetchMarkets": {"types": ["linear"]}},
    }


def candles_of(venue: Venue, symbol: str, first_ms: int, end_ms: int) -> Candles:
    """Read a symbol's closed minutes from the venue, oldest first."""
    rows: list[list[float]] = []
    for begin in range(first_ms, end_ms, 1_000 * MINUTE_MS):
        last = min(begin + 999 * MINUTE_MS, end_ms - MINUTE_MS)
        query = f"category=linear&symbol={symbol}&interval=1&start={begin}&end={last}&limit=1000"
        found = venue.get(f"/v5/market/kline?{query}")["result"]["list"]
        rows.extend([float(value) for value in row[:6]] for row in reversed(found))
    table = np.array(rows)
    columns = (np.ascontiguousarray(table[:, column]) for column in range(1, 6))
    return Candles(symbol, table[:, 0].astype(np.int64), *columns)


def printed_rules(seed: int, origin_ms: int, days: int, symbols: Sequence[str]) -> list[Spell]:
    """Ask the binary when which rule holds."""
    command = [binary("paper_venue"), "--print-rules", str(days), "--seed", str(seed)]
    command += ["--origin", str(origin_ms), "--symbols", ",".join(symbols)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    return [Spell(**json.loads(line)) for line in printed.splitlines()]
