"""A bare client of the wire: raw ZeroMQ and JSON, nothing of the product."""

import json
import os
import signal
import sqlite3
import subprocess
import time
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests
import zmq

from tests.support.polling import until
from tests.support.processes import binary, started


def uuid7() -> str:
    raw = bytearray(int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10))
    raw[6] = (raw[6] & 0x0F) | 0x70
    raw[8] = (raw[8] & 0x3F) | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


class Client:
    """Commands, events and market data of one Cerebellum."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self.context = zmq.Context()
        self.commands = self._socket(zmq.DEALER, ready["commands"])
        self.events = self._socket(zmq.SUB, ready["events"])
        self.market = self._socket(zmq.SUB, ready["market"])
        self.events.subscribe(b"event")
        self.market.subscribe(b"")
        self.count = 0
        self.seen: list[dict[str, Any]] = []

    def _socket(self, kind: int, address: str) -> zmq.Socket:
        socket = self.context.socket(kind)
        socket.linger = 0
        socket.connect(address)
        return socket

    def close(self) -> None:
        self.context.destroy(linger=0)

    def raw(self, *frames: bytes, timeout_ms: int = 5000) -> dict[str, Any]:
        self.commands.send_multipart(frames)
        assert self.commands.poll(timeout_ms), "no reply"
        return json.loads(self.commands.recv())

    def command(self, kind: str, /, **fields: Any) -> dict[str, Any]:
        self.count += 1
        message = {"v": 1, "type": kind, "ts": 0, "request_id": f"r-{self.count}", **fields}
        reply = self.raw(json.dumps(message).encode())
        assert reply["request_id"] == message["request_id"]
        return reply

    def now(self) -> int:
        return self.command("heartbeat")["ts"]

    def intent(self, agent: str, side: str, qty: str, **fields: Any) -> dict[str, Any]:
        return {
            "intent_id": uuid7(), "agent": agent, "version": f"{agent}@1", "symbol": "BTCUSDT",
            "side": side, "kind": "market", "qty": qty, "limit_price": None, "reduce_only": False,
            "ttl_ms": 600_000, "protect": None, "reason": "entry", "ts": self.now(), **fields,
        }  # fmt: skip

    def submit(self, agent: str, side: str, qty: str, **fields: Any) -> dict[str, Any]:
        """Submit and return the ack; the intent is under ``intent``."""
        intent = self.intent(agent, side, qty, **fields)
        return {**self.command("submit", **intent), "intent": intent}

    def until(self, check: Any, seconds: float = 15.0) -> dict[str, Any]:
        """Read events until one fits, and return it; all are kept in ``seen``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.events.poll(100):
                event = json.loads(self.events.recv_multipart()[1])
                self.seen.append(event)
                if check(event):
                    return event
        kinds = [(e["type"], e.get("code") or e.get("order", {}).get("status")) for e in self.seen]
        message = f"no such event in {seconds} s; seen: {kinds[-30:]}"
        raise AssertionError(message)

    def until_order(self, intent: dict[str, Any], status: str) -> dict[str, Any]:
        def fits(event: dict[str, Any]) -> bool:
            if event["type"] != "order":
                return False
            order = event["order"]
            return order["intent_id"] == intent["intent_id"] and order["status"] == status

        return self.until(fits)

    def replay(self, since_seq: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        while True:
            reply = self.command("replay", since_seq=since_seq, limit=limit)
            events += reply["events"]
            if not reply["more"]:
                return events
            since_seq = reply["events"][-1]["seq"]

    def until_wallet(self, balance: Decimal, seconds: float = 40.0) -> None:
        """Wait for the venue's balance, which it tells apart from its fills and after them."""

        def wallet() -> Decimal:
            return Decimal(self.command("snapshot")["venue"]["wallet"])

        until(lambda: wallet() == balance, lambda: f"{balance}, not {wallet()}", seconds=seconds)

    def positions(self) -> dict[tuple[str, str], str]:
        rows = self.command("snapshot")["positions"]
        return {(row["agent"], row["symbol"]): row["qty"] for row in rows}


class Cerebellum:
    """A Cerebellum process that can be stopped, killed and started again on its journal."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.command = command
        self.journal = folder / "journal.sqlite"
        self.log = folder / "cerebellum.log"
        self.process: subprocess.Popen[str]
        self.client: Client
        self.start()

    def start(self) -> None:
        self.process, self.ready = started(self.command, self.log)
        self.client = Client(self.ready)

    def kill(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.client.close()
        self.process.terminate()
        return self.process.wait(timeout=5)

    def metric(self, name: str) -> float:
        """Sum a metric over its labels; `name` may carry some of them, as in ``x{way="rest"}``."""
        name, _, labels = name.partition("{")
        wanted = labels.rstrip("}").split(",") if labels else []
        total = 0.0
        for line in requests.get(self.ready["metrics"], timeout=5).text.splitlines():
            key, _, value = line.rpartition(" ")
            has = all(label in key for label in wanted)
            if has and (key == name or key.startswith(name + "{")):
                total += float(value)
        return total

    def until_metric(self, name: str, at_least: float, seconds: float = 15.0) -> None:
        until(
            lambda: self.metric(name) >= at_least,
            lambda: f"{name} of {at_least:g}, not {self.metric(name):g}",
            seconds=seconds,
            pause=0.05,
        )

    def logged(self) -> list[dict[str, Any]]:
        """Every whole line of the log."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def verify(self) -> dict[str, Any]:
        done = subprocess.run(
            [binary("cerebellum"), "verify-journal", str(self.journal)],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def rows(self, query: str) -> list[tuple]:
        with sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True) as connection:
            return connection.execute(query).fetchall()


def fault(venue: dict[str, Any], kind: str, **fields: Any) -> None:
    answer = requests.post(
        venue["rest"] + "/admin/fault", json={"kind": kind, **fields}, timeout=10
    ).json()
    assert answer.get("ok"), answer
