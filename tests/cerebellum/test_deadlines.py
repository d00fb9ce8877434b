"""Deadlines of positions that end while no public stream tells the time."""

from pathlib import Path

import pytest

from tests.cerebellum.client import Cerebellum, fault
from tests.cerebellum.conftest import SYMBOLS
from tests.support.polling import until
from tests.support.processes import cerebellum_command

pytestmark = pytest.mark.timeout(120)


def test_a_deadline_closes_a_position_while_the_public_streams_say_nothing(
    folder: Path, keys: Path, venue: dict
) -> None:
    # A connection that may stay silent for so long is not made anew in this test.
    command = [
        *cerebellum_command(folder, keys, SYMBOLS, venue),
        "--ping-ms", "100", "--dead-after-ms", "100000", "--stale-after-ms", "500",
    ]  # fmt: skip
    cerebellum = Cerebellum(command, folder)
    client = cerebellum.client
    deadline = client.now() + 60_000
    protect = {"stop": None, "take_profit": None, "deadline_ts": deadline}
    ack = client.submit("a", "buy", "0.010", protect=protect)
    client.until_order(ack["intent"], "filled")
    fault(venue, "silent", path="public")

    def refused() -> dict | None:
        ack = client.submit("b", "buy", "0.010")
        return None if ack["status"] == "accepted" else ack

    late = until(refused, "a book that is stale", seconds=5, pause=0.1)
    assert late["code"] == "stale_book"
    assert client.now() < deadline, "the streams fell silent only after the deadline"
    exit_fill = client.until(lambda e: e["type"] == "fill" and e["reason"] == "deadline")
    assert (exit_fill["agent"], exit_fill["qty"], exit_fill["side"]) == ("a", "0.01", "sell")
    assert exit_fill["exec_ts"] >= deadline
    assert ("a", "BTCUSDT") not in client.positions()
    assert cerebellum.metric('cerebellum_reconnects_total{stream="public"}') == 0
    assert client.submit("c", "buy", "0.010")["code"] == "stale_book", "no book came back"
    assert cerebellum.stop() == 0
