"""Streams that die silently or loudly, clocks that drift, and keys that must be in no log."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cerebellum.client import Cerebellum, fault
from tests.cerebellum.conftest import SYMBOLS
from tests.support.polling import until
from tests.support.processes import cerebellum_command

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def watchful(folder: Path, keys: Path, venue: dict) -> Iterator[Cerebellum]:
    """A Cerebellum that pings often, compares clocks often and logs all it can."""
    command = [
        *cerebellum_command(folder, keys, SYMBOLS, venue),
        "--ping-ms", "100", "--dead-after-ms", "800", "--clock-check-ms", "200", "--log", "trace",
    ]  # fmt: skip
    one = Cerebellum(command, folder)
    one.until_metric("cerebellum_trade_socket_up", 1)
    yield one
    if one.process.poll() is None:
        assert one.stop() == 0


def ups(cerebellum: Cerebellum) -> list[str]:
    messages = [line["fields"].get("message", "") for line in cerebellum.logged()]
    return [message for message in messages if message.endswith((" is up", " are up"))]


@pytest.mark.parametrize("kind", ["silent", "close", "cut"])
@pytest.mark.parametrize("path", ["public", "private", "trade"])
def test_a_dead_stream_is_noticed_and_made_anew(
    watchful: Cerebellum, venue: dict, path: str, kind: str
) -> None:
    fault(venue, kind, path=path)
    watchful.until_metric(f'cerebellum_reconnects_total{{stream="{path}"}}', 1)
    why = [
        line["fields"]["why"] for line in watchful.logged()
        if line["level"] == "WARN" and "why" in line["fields"]
    ]  # fmt: skip
    if kind == "silent":
        assert any(text.startswith("silent for") for text in why), why

    def taken() -> dict | None:
        ack = watchful.client.submit("a", "buy", "0.010")
        assert ack["status"] == "accepted" or ack["code"] in {"not_ready", "stale_book"}
        return ack if ack["status"] == "accepted" else None

    ack = until(taken, "an order after it", seconds=20, pause=0.1)
    watchful.client.until_order(ack["intent"], "filled")
    until(
        lambda: len(ups(watchful)) >= 4,
        "three streams came up, and one of them again",
        seconds=20,
        pause=0.1,
    )


def test_pings_keep_a_quiet_stream_alive(watchful: Cerebellum) -> None:
    time.sleep(2.5)
    assert watchful.metric('cerebellum_reconnects_total{stream="private"}') == 0
    assert watchful.metric('cerebellum_reconnects_total{stream="trade"}') == 0


def test_a_drifting_clock_is_an_alarm_and_orders_go_on(watchful: Cerebellum, venue: dict) -> None:
    client = watchful.client
    fault(venue, "clock_offset", ms=7_000)
    alarm = client.until(lambda e: e["type"] == "risk" and e["code"] == "clock_drift")
    reported = int(next(word for word in alarm["text"].split() if word.isdigit()))
    assert 6_500 < reported < 7_500
    ack = client.submit("a", "buy", "0.010")
    client.until_order(ack["intent"], "filled")
    fault(venue, "clock_offset", ms=-7_000)
    client.until(lambda e: e["type"] == "risk" and "-" in e["text"] and e["code"] == "clock_drift")
    ack = client.submit("a", "sell", "0.010")
    client.until_order(ack["intent"], "filled")


def test_no_log_shows_key_or_secret_however_much_is_logged_and_goes_wrong(
    watchful: Cerebellum, venue: dict, folder: Path, keys: Path
) -> None:
    client = watchful.client
    for kind, fields in (
        ("drop_ack", {"count": 1}),
        ("error", {"count": 1}),
        ("rate_limit", {"count": 1}),
        ("clock_offset", {"ms": 9_000}),
        ("close", {"path": "all"}),
    ):
        fault(venue, kind, **fields)
        client.submit("a", "buy", "0.010")
        time.sleep(0.3)
    watchful.stop()
    entry = json.loads(keys.read_text())[0]
    looked_at = [path for path in folder.rglob("*") if path.is_file() and path != keys]
    assert {path.name for path in looked_at} >= {"cerebellum.log", "venue.log", "journal.sqlite"}
    assert "TRACE" in watchful.log.read_text() or "DEBUG" in watchful.log.read_text()
    for path in looked_at:
        content = path.read_bytes()
        assert entry["secret"].encode() not in content, path
        assert entry["key"].encode() not in content, path
