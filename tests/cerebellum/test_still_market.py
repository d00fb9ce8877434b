"""A market that stands still holds up no question to the venue: those go by the clock."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.cerebellum.client import Cerebellum, fault
from tests.cerebellum.conftest import SYMBOLS
from tests.support.processes import cerebellum_command, running, venue_command

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]


@pytest.fixture
def stepped(folder: Path, keys: Path) -> Iterator[dict]:
    """A venue whose time passes only when it is told to."""
    command = venue_command(folder, keys, SYMBOLS, 1)
    at = command.index("--speed")
    command[at : at + 2] = ["--stepped"]
    with running(command, folder / "venue.log") as (_, ready):
        yield ready


def market_ts(venue: dict) -> int:
    return requests.get(venue["rest"] + "/admin/status", timeout=5).json()["market_ts"]


@pytest.mark.parametrize("errors", [6, 7])
def test_a_restart_is_ready_although_questions_fail_and_market_time_stands_still(
    folder: Path, keys: Path, stepped: dict, errors: int
) -> None:
    command = [
        *cerebellum_command(folder, keys, SYMBOLS, stepped), "--stale-after-ms", "600000",
    ]  # fmt: skip
    one = Cerebellum(command, folder)
    try:
        stood = market_ts(stepped)
        ask = requests.get(
            f"{stepped['rest']}/v5/market/tickers?category=linear&symbol=BTCUSDT", timeout=5
        ).json()["result"]["list"][0]["ask1Price"]
        far = {"kind": "limit", "limit_price": f"{float(ask) * 1.05:.1f}"}
        resting = one.client.submit("a", "sell", "0.010", **far)["intent"]
        one.client.until_order(resting, "new")
        one.kill()
        fault(stepped, "error", count=errors, endpoint="realtime")
        begun = time.monotonic()
        one.start()
        assert time.monotonic() - begun < 20
        entry = one.client.submit("b", "buy", "0.010")["intent"]
        one.client.until_order(entry, "filled")
        orders = one.client.command("snapshot")["orders"]
        assert [order["intent_id"] for order in orders] == [resting["intent_id"]]
        assert market_ts(stepped) == stood
        reported = [line["fields"]["message"] for line in one.logged()]
        assert reported.count("ready: reconciled with the venue") == 2
    finally:
        one.stop()
