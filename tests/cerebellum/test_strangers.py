"""Orders of the account that Cerebellum did not place: told once, and gone after a kill."""

import json
from collections.abc import Iterator
from pathlib import Path

import pybit.unified_trading
import pytest

from tests.cerebellum.client import Cerebellum, fault
from tests.support.polling import until
from tests.support.processes import cerebellum_command

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def hand(keys: Path, venue: dict) -> pybit.unified_trading.HTTP:
    """Somebody with the same key, who trades the account by hand."""
    row = json.loads(keys.read_text())[0]
    session = pybit.unified_trading.HTTP(api_key=row["key"], api_secret=row["secret"])
    session.endpoint = venue["rest"]
    return session


def place(hand: pybit.unified_trading.HTTP, symbol: str, part: float) -> str:
    """Let a buy rest at a part of the market's price; return the venue's id of it."""
    ticker = hand.get_tickers(category="linear", symbol=symbol)["result"]["list"][0]
    price = f"{float(ticker['lastPrice']) * part:.1f}"
    order = {"category": "linear", "symbol": symbol, "side": "Buy", "orderType": "Limit"}
    return hand.place_order(**order, qty="0.1", price=price)["result"]["orderId"]


def open_orders(hand: pybit.unified_trading.HTTP) -> set[str]:
    rows = hand.get_open_orders(category="linear", settleCoin="USDT")["result"]["list"]
    return {row["orderId"] for row in rows}


@pytest.fixture
def started(
    folder: Path, keys: Path, venue: dict, hand: pybit.unified_trading.HTTP
) -> Iterator[tuple[Cerebellum, str, str]]:
    """A Cerebellum of BTCUSDT alone on an account with a stranger's order there and elsewhere."""
    here, elsewhere = place(hand, "BTCUSDT", 0.8), place(hand, "ETHUSDT", 0.8)
    one = Cerebellum(cerebellum_command(folder, keys, "BTCUSDT", venue), folder)
    yield one, here, elsewhere
    if one.process.poll() is None:
        assert one.stop() == 0


def risks(cerebellum: Cerebellum, code: str) -> list[str]:
    events = cerebellum.client.replay()
    return [event["text"] for event in events if event.get("code") == code]


def test_a_kill_cancels_what_others_placed_and_tells_how_many(
    started: tuple[Cerebellum, str, str], venue: dict, hand: pybit.unified_trading.HTTP
) -> None:
    cerebellum, here, elsewhere = started
    client = cerebellum.client
    until(
        lambda: risks(cerebellum, "foreign_order"),
        "word of the order at the start",
        seconds=15,
        pause=0.05,
    )
    later = place(hand, "BTCUSDT", 0.85)
    fault(venue, "cut", path="private")
    client.until(lambda event: event.get("code") == "foreign_order" and later in event["text"])
    reported = risks(cerebellum, "foreign_order")
    assert len(reported) == 2, "each is told once, at the start and at a reconciliation"
    assert here in reported[0]
    assert open_orders(hand) == {here, later, elsewhere}, "nothing is cancelled unasked"

    client.command("cancel_all", agent="a", symbol=None)
    unseen = place(hand, "BTCUSDT", 0.86)
    client.command("set_state", agent=None, symbol=None, state="HALTED", operator=None)
    ack = client.command("cancel_all", agent=None, symbol=None)
    assert "2 of orders that belong to no intent" in ack["text"], ack
    done = client.until(lambda event: event.get("code") == "foreign_orders_cancelled")
    assert done["text"].startswith("3 open orders"), done
    assert unseen not in open_orders(hand)
    assert open_orders(hand) == {elsewhere}, "a symbol that is not traded here is left alone"
