"""Orders over the trade socket: whatever happens to it, none is lost and none is doubled."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cerebellum.client import Cerebellum, fault
from tests.cerebellum.conftest import SYMBOLS
from tests.support.processes import cerebellum_command

pytestmark = pytest.mark.timeout(120)

REQUESTS = "cerebellum_order_requests_total"


@pytest.fixture
def rest_only(folder: Path, keys: Path, venue: dict) -> Iterator[Cerebellum]:
    command = [*cerebellum_command(folder, keys, SYMBOLS, venue), "--orders", "rest"]
    one = Cerebellum(command, folder)
    yield one
    assert one.stop() == 0


def assert_filled_once(cerebellum: Cerebellum, intent: dict) -> None:
    client = cerebellum.client
    client.until_order(intent, "filled")
    assert client.positions() == {("a", "BTCUSDT"): "0.01"}
    assert cerebellum.verify()["fills"] == 1
    seen = [event for event in client.replay() if event["type"] == "risk"]
    assert not [event for event in seen if event["code"] != "disconnected"], seen


def test_orders_and_cancels_travel_over_the_trade_socket(cerebellum: Cerebellum) -> None:
    cerebellum.until_metric("cerebellum_trade_socket_up", 1)
    ack = cerebellum.client.submit("a", "buy", "0.010")
    assert_filled_once(cerebellum, ack["intent"])
    cerebellum.until_metric(REQUESTS + '{way="websocket",operation="create"}', 1)
    assert cerebellum.metric(REQUESTS + '{way="rest"}') == 0


def test_the_setting_rest_opens_no_trade_socket(rest_only: Cerebellum) -> None:
    ack = rest_only.client.submit("a", "buy", "0.010")
    assert_filled_once(rest_only, ack["intent"])
    assert rest_only.metric(REQUESTS + '{way="rest"}') == 1
    assert rest_only.metric(REQUESTS + '{way="websocket"}') == 0


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("drop_ack", {"count": 1}),
        ("cut", {"path": "trade"}),
        ("close", {"path": "trade"}),
        ("silent", {"path": "trade"}),
        ("error", {"count": 1, "commit": True, "channel": "trade"}),
        ("error", {"count": 1, "commit": False, "channel": "trade"}),
        ("rate_limit", {"count": 1, "channel": "trade", "endpoint": "create"}),
        ("delay", {"count": 1, "ms": 6_000, "channel": "trade"}),
    ],
)
def test_a_fault_of_the_trade_socket_neither_loses_nor_doubles_an_order(
    cerebellum: Cerebellum, venue: dict, kind: str, fields: dict
) -> None:
    cerebellum.until_metric("cerebellum_trade_socket_up", 1)
    fault(venue, kind, **fields)
    ack = cerebellum.client.submit("a", "buy", "0.010")
    assert ack["status"] == "accepted"
    assert_filled_once(cerebellum, ack["intent"])


def test_a_socket_cut_behind_the_request_leaves_one_order(
    cerebellum: Cerebellum, venue: dict
) -> None:
    cerebellum.until_metric("cerebellum_trade_socket_up", 1)
    ack = cerebellum.client.submit("a", "buy", "0.010")
    fault(venue, "cut", path="trade")
    assert_filled_once(cerebellum, ack["intent"])


def test_orders_go_by_rest_while_the_socket_is_down_and_it_comes_back(
    cerebellum: Cerebellum, venue: dict
) -> None:
    client = cerebellum.client
    cerebellum.until_metric("cerebellum_trade_socket_up", 1)
    intents = []
    for _ in range(8):
        fault(venue, "close", path="trade")
        intents.append(client.submit("a", "buy", "0.001")["intent"])
    for intent in intents:
        client.until_order(intent, "filled")
    assert client.positions() == {("a", "BTCUSDT"): "0.008"}
    assert cerebellum.verify()["fills"] == len(intents)
    assert cerebellum.metric(REQUESTS + '{way="rest"}') >= 1
    cerebellum.until_metric("cerebellum_trade_socket_up", 1)
    before = cerebellum.metric(REQUESTS + '{way="websocket"}')
    client.until_order(client.submit("a", "sell", "0.008")["intent"], "filled")
    cerebellum.until_metric(REQUESTS + '{way="websocket"}', before + 1)
