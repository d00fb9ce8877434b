"""Many orders at once: none costs more for the others, every client has its turn, a stop is heard."""

import json
import threading
import time
from pathlib import Path

import pytest
import zmq

from tests.cerebellum.client import Cerebellum, Client, uuid7
from tests.cerebellum.conftest import SYMBOLS
from tests.support.processes import cerebellum_command

pytestmark = pytest.mark.timeout(120)

SUBMITS = 30_000
AGENTS = 1_000
LIMITS = "[order]\nper_second_per_agent = 1000\n"


def start(folder: Path, keys: Path, venue: dict, limits: str) -> Cerebellum:
    path = folder / "limits.toml"
    path.write_text(limits)
    command = cerebellum_command(folder, keys, SYMBOLS, venue)
    return Cerebellum([*command, "--limits", str(path)], folder)


class Flood:
    """A client that sends submits as fast as they are taken, and reads the answers beside it."""

    def __init__(self, client: Client, price: str) -> None:
        address = client.commands.getsockopt_string(zmq.LAST_ENDPOINT)
        fields = {"kind": "limit", "limit_price": price}
        intent = {"v": 1, "type": "submit", **client.intent("a", "buy", "0.010", **fields)}
        self.frames = [
            json.dumps(
                {**intent, "intent_id": uuid7(), "agent": f"a{at % AGENTS}", "request_id": f"f{at}"}
            ).encode()
            for at in range(SUBMITS)
        ]
        self.answers: dict[str, int] = {}
        self.error: BaseException | None = None
        self.over = threading.Event()
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(address)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            sent, answered = 0, 0
            while answered < len(self.frames) and not self.over.is_set():
                while sent < len(self.frames) and sent - answered < 5_000:
                    # One that has stopped takes no more, which is no reason to wait for it.
                    if not self.socket.poll(100, zmq.POLLOUT):
                        break
                    self.socket.send(self.frames[sent])
                    sent += 1
                if self.socket.poll(100):
                    reply = json.loads(self.socket.recv())
                    word = reply["code"] or reply["status"]
                    self.answers[word] = self.answers.get(word, 0) + 1
                    answered += 1
        except BaseException as error:
            self.error = error
            raise

    def end(self) -> None:
        self.over.set()
        self.thread.join(20)
        self.socket.close()
        self.context.term()
        assert self.error is None


def price_of(client: Client) -> str:
    while True:
        topic, body = client.market.recv_multipart()
        if topic == b"BTCUSDT.top":
            return f"{float(json.loads(body)['bid']) * 0.95:.1f}"


def test_thirty_thousand_open_orders_leave_another_client_its_turn_and_a_stop_is_heard(
    folder: Path, keys: Path, venue: dict
) -> None:
    one = start(folder, keys, venue, LIMITS + "[venue]\nmax_waiting = 1000000\n")
    flood = Flood(one.client, price_of(one.client))
    try:
        waits = []
        begun = time.monotonic()
        while sum(flood.answers.values()) < SUBMITS * 2 // 3:
            assert time.monotonic() - begun < 60, flood.answers
            asked = time.monotonic()
            one.client.command("heartbeat")
            waits.append(time.monotonic() - asked)
            time.sleep(0.02)
        assert max(waits) < 1.0, max(waits)
        assert set(flood.answers) == {"accepted"}
        asked = time.monotonic()
        one.process.terminate()
        assert one.process.wait(timeout=10) == 0
        assert time.monotonic() - asked < 2.0
    finally:
        flood.end()
        one.client.close()
        if one.process.poll() is None:
            one.process.kill()
    assert one.verify()["ok"]


def test_no_more_orders_wait_than_the_limit_and_every_agent_has_its_share(
    folder: Path, keys: Path, venue: dict
) -> None:
    one = start(folder, keys, venue, LIMITS)
    client = one.client
    try:
        far = {"kind": "limit", "limit_price": price_of(client)}
        loud = [client.submit("loud", "buy", "0.010", **far) for _ in range(150)]
        refused = [ack for ack in loud if ack["status"] == "rejected"]
        assert refused
        assert {ack["code"] for ack in refused} == {"too_many_waiting"}
        assert "limit 100" in refused[0]["text"]
        assert client.submit("quiet", "buy", "0.010", **far)["status"] == "accepted"
        # Nothing of a refused one is kept, so it may be sent again once there is room.
        assert client.command("cancel_all", agent="loud", symbol=None)["status"] == "accepted"
        again = {key: value for key, value in refused[0]["intent"].items() if key != "ts"}
        assert client.command("submit", **again, ts=client.now())["status"] == "accepted"
        assert one.metric("cerebellum_waiting_orders") <= 100
    finally:
        assert one.stop() == 0
