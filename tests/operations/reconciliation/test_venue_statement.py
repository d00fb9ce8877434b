"""The venue's own book, read from the real paper venue."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from crucible.operations.errors import BooksError
from crucible.operations.reconciliation.venue_statement import Statement, VenueAccount
from crucible.operations.supervision.servers import market_clock
from crucible.operations.workspace import read_json, write_json
from tests.support.polling import until
from tests.support.processes import running, venue_command, write_keys

INITIAL = Decimal(100_000)


class Trader:
    """Sends market orders, so that there is something to read."""

    def __init__(self, rest: str, keys: Path) -> None:
        self.rest = rest
        self.keys = keys
        self.account = VenueAccount.from_keys(rest, keys)
        self.sent = 0

    def order(self, symbol: str, side: str, qty: str) -> None:
        self.sent += 1
        row = read_json(self.keys)[0]
        body = json.dumps(
            {
                "category": "linear",
                "symbol": symbol,
                "side": side,
                "orderType": "Market",
                "qty": qty,
                "orderLinkId": f"t{self.sent}",
            }
        )
        now = str(time.time_ns() // 1_000_000)
        text = f"{now}{row['key']}5000{body}".encode()
        headers = {
            "X-BAPI-API-KEY": row["key"],
            "X-BAPI-TIMESTAMP": now,
            "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": hmac.new(row["secret"].encode(), text, hashlib.sha256).hexdigest(),
            "Content-Type": "application/json",
        }
        while True:
            answer = httpx.post(
                f"{self.rest}/v5/order/create", content=body, headers=headers
            ).json()
            if answer["retCode"] != 10006:
                break
            time.sleep(0.1)  # the venue limits orders per second, as the real one does
        assert answer["retCode"] == 0, answer

    def settled(self) -> Statement:
        """A statement that holds every order sent."""

        def whole() -> Statement | None:
            statement = self.account.statement(INITIAL)
            filled = {row["orderLinkId"] for row in statement.executions}
            return statement if len(filled) >= self.sent else None

        return until(whole, "the fills of all orders", seconds=20, pause=0.05)


@pytest.fixture(scope="module")
def trader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trader]:
    folder = tmp_path_factory.mktemp("venue")
    keys = write_keys(folder)
    command = venue_command(folder, keys, "BTCUSDT,ETHUSDT", speed=60, days=1)
    with running(command, folder / "venue.log") as (_, ready):
        yield Trader(ready["rest"], keys)


@pytest.mark.process
def test_the_statement_is_complete_and_its_wallet_holds_to_the_last_unit(
    trader: Trader, monkeypatch: pytest.MonkeyPatch
):
    # Small pages: the venue lets through ten orders a second.
    monkeypatch.setattr("crucible.operations.reconciliation.venue_statement.PAGE", 7)
    before = trader.account.statement(INITIAL)
    for number in range(9):
        trader.order("BTCUSDT", "Buy", "0.013")
        trader.order("BTCUSDT", "Sell", "0.007")
        if number % 3 == 0:
            trader.order("ETHUSDT", "Sell", "0.37")

    statement = trader.settled()
    summed = statement.book()

    # Several pages, each execution once, oldest first.
    assert summed.fills >= 21
    times = [int(row["execTime"]) for row in statement.executions]
    assert times == sorted(times)
    assert summed.positions == {
        "BTCUSDT": Decimal("0.054") + before.book().positions.get("BTCUSDT", Decimal(0)),
        "ETHUSDT": Decimal("-1.11") + before.book().positions.get("ETHUSDT", Decimal(0)),
    }
    assert summed.fees > 0
    assert statement.wallet_difference() == 0
    assert statement.wallet - INITIAL == summed.cash + statement.open_cost
    assert summed.pnl(statement.marks) is not None


@pytest.mark.process
def test_a_saved_statement_says_the_same(trader: Trader, tmp_path: Path):
    trader.order("BTCUSDT", "Buy", "0.01")
    statement = trader.settled()
    path = tmp_path / "statement.json"
    write_json(path, statement.to_json())

    read = Statement.read(path)

    assert read is not None
    assert read.book() == statement.book()
    assert read.wallet == statement.wallet
    assert read.marks == statement.marks
    assert Statement.read(tmp_path / "none.json") is None


@pytest.mark.process
def test_a_wallet_that_lost_a_unit_is_seen(trader: Trader):
    trader.order("BTCUSDT", "Buy", "0.01")
    statement = trader.settled()
    unit = Decimal("0.00000001")
    short = Statement(INITIAL, statement.wallet - unit, statement.positions, statement.executions)
    assert short.wallet_difference() == -unit


@pytest.mark.process
def test_a_wrong_secret_is_refused_with_the_venues_words(trader: Trader):
    stranger = VenueAccount(trader.rest, read_json(trader.keys)[0]["key"], "wrong")
    with pytest.raises(BooksError, match="refused /v5/account/wallet-balance: 10004"):
        stranger.statement(INITIAL)


def test_a_venue_that_is_gone_is_named():
    nobody = VenueAccount("http://127.0.0.1:9", "key", "secret")
    with pytest.raises(BooksError, match=r"http://127\.0\.0\.1:9 did not answer"):
        nobody.statement(INITIAL)


@pytest.mark.process
def test_the_venue_tells_how_far_its_market_is(trader: Trader):
    first, ended = market_clock(trader.rest)
    assert first is not None
    assert not ended
    assert market_clock("http://127.0.0.1:9") == (None, False)
