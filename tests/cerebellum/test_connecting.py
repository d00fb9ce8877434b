"""A venue that is away, slow or refuses: said in clear lines, and a stop is always heard."""

import hashlib
import hmac
import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.cerebellum.client import Cerebellum, Client, fault
from tests.cerebellum.conftest import SYMBOLS
from tests.support.polling import until
from tests.support.processes import (
    cerebellum_command,
    free_ports,
    running,
    venue_command,
    write_keys,
)

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


class Waiting:
    """A Cerebellum whose ready line has not come."""

    def __init__(self, folder: Path, keys: Path, address: str) -> None:
        venue = {"rest": f"http://{address}", "ws": f"ws://{address}"}
        self.log = folder / "cerebellum.log"
        with self.log.open("a") as stderr:
            self.process = subprocess.Popen(
                cerebellum_command(folder, keys, SYMBOLS, venue),
                stdout=subprocess.PIPE, stderr=stderr, text=True,
            )  # fmt: skip
        self.listening = self.line("listening")
        self.client = Client(self.listening)

    def lines(self, text: str) -> list[dict[str, Any]]:
        found = []
        for line in self.log.read_text().splitlines():
            fields = json.loads(line)["fields"] if line.endswith("}") else {}
            if text in fields.get("message", ""):
                found.append(fields)
        return found

    def line(self, text: str, count: int = 1) -> dict[str, Any]:
        until(lambda: len(self.lines(text)) >= count, f"the line {text!r}", seconds=15, pause=0.05)
        return self.lines(text)[-1]

    def stop(self) -> None:
        begun = time.monotonic()
        self.client.close()
        self.process.terminate()
        assert self.process.wait(timeout=5) == 0
        assert time.monotonic() - begun < 5


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


def test_a_venue_that_is_away_is_told_each_try_and_found_when_it_comes(
    folder: Path, keys: Path, port: int
) -> None:
    waiting = Waiting(folder, keys, f"127.0.0.1:{port}")
    try:
        line = waiting.line("waiting for the venue", 3)
        assert line["address"] == f"http://127.0.0.1:{port}"
        assert line["what"] == "clock"
        assert "refused" in line["error"], line
        refusal = waiting.client.submit("a", "buy", "0.010")
        assert (refusal["status"], refusal["code"]) == ("rejected", "not_ready")
        page = requests.get(waiting.listening["metrics"], timeout=5).text
        assert "cerebellum_ready 0" in page
        assert 'cerebellum_waiting{for="clock"} 1' in page
        command = venue_command(folder, keys, SYMBOLS, 10)
        command[command.index("--rest") + 1] = f"127.0.0.1:{port}"
        with running(command, folder / "venue.log"):
            assert json.loads(waiting.process.stdout.readline())["event"] == "ready"
            page = requests.get(waiting.listening["metrics"], timeout=5).text
            assert "cerebellum_ready 1" in page
            assert 'cerebellum_waiting{for="clock"} 0' in page
            ack = waiting.client.submit("a", "buy", "0.010")
            waiting.client.until_order(ack["intent"], "filled")
    finally:
        waiting.stop()


def test_a_venue_that_takes_connections_and_never_answers_does_not_hold_up_a_stop(
    folder: Path, keys: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        waiting = Waiting(folder, keys, f"127.0.0.1:{mute.getsockname()[1]}")
        assert waiting.client.submit("a", "buy", "0.010")["code"] == "not_ready"
        waiting.stop()


def failed(command: list[str], folder: Path) -> str:
    with (folder / "failed.log").open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert process.stdout.readline() == ""
        assert process.wait(timeout=10) != 0
    return (folder / "failed.log").read_text().splitlines()[-1]


def test_a_wrong_key_ends_with_one_line_that_names_it_as_a_key(folder: Path, venue: dict) -> None:
    other = folder / "other"
    other.mkdir()
    keys = write_keys(other)
    line = failed(cerebellum_command(folder, keys, SYMBOLS, venue), folder)
    assert "10003" in line
    assert f"keys file {keys}" in line
    assert "does not know the API key" in line
    assert "check --venue and the key" in line
    assert "position mode" not in line


@pytest.mark.parametrize(
    ("code", "reported"),
    [
        (10003, "does not know the API key"),
        (10004, "the secret does not belong to the key"),
        (10005, "lacks a permission"),
        (10010, "bound to other addresses"),
        (33004, "has expired"),
    ],
)
def test_every_refusal_of_a_key_is_final_at_the_start_and_says_what_to_do(
    folder: Path, keys: Path, venue: dict, code: int, reported: str
) -> None:
    fault(venue, "error", count=1, status=200, code=code, endpoint="position")
    line = failed(cerebellum_command(folder, keys, SYMBOLS, venue), folder)
    assert reported in line
    assert str(code) in line
    assert f"keys file {keys}" in line


def test_an_unknown_symbol_ends_with_one_line_that_names_it(
    folder: Path, keys: Path, venue: dict
) -> None:
    begun = time.monotonic()
    line = failed(cerebellum_command(folder, keys, "BTCUSDT,NOSUCHUSDT", venue), folder)
    assert time.monotonic() - begun < 10
    assert "NOSUCHUSDT" in line
    assert "BTCUSDT" not in line.replace("NOSUCHUSDT", "")
    assert "--symbols" in line


def test_a_key_that_is_refused_while_running_is_an_alarm_and_protection_goes_on(
    folder: Path, keys: Path, port: int
) -> None:
    command = venue_command(folder, keys, SYMBOLS, 10)
    command[command.index("--rest") + 1] = f"127.0.0.1:{port}"
    one = None
    try:
        with running(command, folder / "venue.log") as (_, ready):
            one = Cerebellum(cerebellum_command(folder, keys, SYMBOLS, ready), folder)
        # The account has other keys when the venue comes back.
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        command[command.index("--keys") + 1] = str(write_keys(elsewhere))
        with running(command, folder / "venue.log"):
            reported = one.client.until(lambda event: event.get("code") == "key_refused", 30)
            assert f"keys file {keys}" in reported["text"]
            assert one.client.command("heartbeat")["status"] == "accepted"
            assert one.client.submit("a", "buy", "0.010")["code"] in {"not_ready", "stale_book"}
    finally:
        if one is not None:
            assert one.stop() == 0


def test_a_wrong_secret_ends_with_the_venues_words_and_shows_neither_key_nor_secret(
    folder: Path, keys: Path, venue: dict
) -> None:
    entry = {**json.loads(keys.read_text())[0], "secret": "hidden-secret"}
    other = folder / "other.json"
    other.write_text(json.dumps([entry]))
    other.chmod(0o600)
    assert "10004" in failed(cerebellum_command(folder, other, SYMBOLS, venue), folder)
    said = (folder / "failed.log").read_text()
    assert entry["key"] not in said
    assert entry["secret"] not in said


@pytest.fixture
def leveraged(folder: Path, keys: Path, venue: dict) -> Callable[[str], list[str]]:
    def command(leverage: str) -> list[str]:
        return [*cerebellum_command(folder, keys, SYMBOLS, venue), "--leverage", leverage]

    return command


def leverage_at(venue: dict, keys: Path, symbol: str) -> str:
    entry = json.loads(keys.read_text())[0]
    query, stamp = f"category=linear&symbol={symbol}", str(int(time.time() * 1000))
    text = stamp + entry["key"] + "5000" + query
    sign = hmac.new(entry["secret"].encode(), text.encode(), hashlib.sha256).hexdigest()
    headers = {
        "X-BAPI-API-KEY": entry["key"], "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": sign,
    }  # fmt: skip
    url = f"{venue['rest']}/v5/position/list?{query}"
    return requests.get(url, headers=headers, timeout=5).json()["result"]["list"][0]["leverage"]


def test_leverage_is_set_before_readiness_even_if_the_venue_stumbles_and_twice_is_fine(
    leveraged: Callable[[str], list[str]], folder: Path, keys: Path, venue: dict
) -> None:
    fault(venue, "error", count=2, status=503, endpoint="set-leverage")
    fault(venue, "error", count=2, status=503, endpoint="switch-mode")
    one = Cerebellum(leveraged("3"), folder)
    for _ in range(2):
        try:
            assert [leverage_at(venue, keys, symbol) for symbol in SYMBOLS.split(",")] == ["3", "3"]
            ack = one.client.submit("a", "buy", "0.010")
            one.client.until_order(ack["intent"], "filled")
        finally:
            assert one.stop() == 0
        one = Cerebellum(leveraged("3"), folder)
    one.stop()
    waits = [line["fields"]["what"] for line in one.logged() if "what" in line["fields"]]
    assert "leverage" in waits
    assert "position mode" in waits


def test_a_leverage_that_the_venue_refuses_ends_with_a_clear_line(
    leveraged: Callable[[str], list[str]], folder: Path
) -> None:
    line = failed(leveraged("1000"), folder)
    assert "--leverage 1000" in line
    assert "BTCUSDT" in line
