"""A venue that answers HTTP 403: requests rest for ten minutes, orders go on over the trade socket."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cerebellum.client import Cerebellum, fault
from tests.cerebellum.conftest import SYMBOLS
from tests.support.processes import cerebellum_command

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def asking(folder: Path, keys: Path, venue: dict) -> Iterator[Cerebellum]:
    """A Cerebellum that asks the venue's time four times a second."""
    command = cerebellum_command(folder, keys, SYMBOLS, venue)
    one = Cerebellum([*command, "--clock-check-ms", "250"], folder)
    yield one
    if one.process.poll() is None:
        assert one.stop() == 0


def test_requests_rest_and_orders_take_the_trade_socket(asking: Cerebellum, venue: dict) -> None:
    client = asking.client
    asking.until_metric('cerebellum_rest_seconds_count{path="/v5/market/time"}', 5)
    fault(venue, "error", count=1, status=403, code=10018, endpoint="market")
    reported = client.until(lambda event: event.get("code") == "rest_paused")
    assert "600 s" in reported["text"]
    asked = asking.metric("cerebellum_rest_seconds_count")
    ack = client.submit("a", "buy", "0.010")
    client.until_order(ack["intent"], "filled")
    time.sleep(2)
    assert asking.metric("cerebellum_rest_seconds_count") == asked, "nothing was asked meanwhile"
    assert asking.metric('cerebellum_order_requests_total{way="rest"}') == 0
    assert asking.metric("cerebellum_rest_pauses_total") == 1
    assert len([e for e in client.replay() if e.get("code") == "rest_paused"]) == 1
