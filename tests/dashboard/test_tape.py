"""The tape receives a book only while somebody looks, and gives the levels that were sent, over real ZeroMQ."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import zmq

from crucible.dashboard import tape as taped
from crucible.dashboard.tape import MarketTape
from crucible.execution.messages import LevelsMessage, StaleMessage, encode
from crucible.operations.workspace import Workspace, write_json
from tests.support.polling import until

SYMBOL = "BTCUSDT"
BOOK = {f"{SYMBOL}.{kind}".encode() for kind in ("book", "top", "levels", "stale")}


class Publisher:
    """The market socket of a Cerebellum: it receives what is subscribed to."""

    def __init__(self, context: zmq.Context) -> None:
        self.socket = context.socket(zmq.XPUB)
        self.address = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.wanted: set[bytes] = set()

    def receive(self) -> set[bytes]:
        while self.socket.poll(10):
            frame = self.socket.recv()
            (self.wanted.add if frame[0] else self.wanted.discard)(frame[1:])
        return self.wanted

    def send(self, kind: str, frame: bytes, symbol: str = SYMBOL) -> None:
        self.socket.send_multipart([f"{symbol}.{kind}".encode(), frame])


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with zmq.Context() as context:
        made = Publisher(context)
        yield made
        made.socket.close(linger=0)


@pytest.fixture
def tape(workspace: Workspace, publisher: Publisher) -> Iterator[MarketTape]:
    ready = {"commands": "", "events": "", "market": publisher.address}
    write_json(workspace.services_file, {"services": {"cerebellum": {"ready": ready}}})
    made = MarketTape(workspace)
    made.symbols = frozenset({SYMBOL})
    made.start()
    yield made
    made.stop()


def levels(ts: int = 1_735_689_601_000, **changes) -> LevelsMessage:
    given = {"bids": [("99.9", "1.5"), ("99.8", "0.25")], "asks": [("100.1", "2"), ("100.3", "0.125")]}  # fmt: skip
    return LevelsMessage(ts=ts, symbol=SYMBOL, **{**given, **changes})


def watched(tape: MarketTape, publisher: Publisher) -> None:
    """Look at the market until the book is subscribed to."""
    until(lambda: tape.book(SYMBOL) and publisher.receive() >= BOOK, lambda: publisher.wanted)


def test_a_book_is_subscribed_to_only_while_somebody_looks(tape, publisher, monkeypatch):
    monkeypatch.setattr(taped, "WATCHED_S", 0.3)
    until(lambda: publisher.receive() == {b"BTCUSDT.candle"}, lambda: publisher.wanted)
    watched(tape, publisher)
    assert publisher.wanted == BOOK | {b"BTCUSDT.candle"}
    publisher.send("levels", encode(levels()))
    until(lambda: tape._levels)
    # Nobody asks any more: it is unsubscribed from, and what was known of the book is forgotten.
    until(lambda: publisher.receive() == {b"BTCUSDT.candle"}, lambda: publisher.wanted)
    assert tape.book(SYMBOL)["levels"] is None


def test_the_levels_that_are_shown_are_the_newest_that_were_sent_with_their_age(tape, publisher):
    watched(tape, publisher)
    assert tape.book(SYMBOL)["levels"] is None
    publisher.send("levels", encode(levels(ts=1_735_689_600_000, bids=[("9", "9")])))
    publisher.send("levels", encode(levels()))
    found = until(
        lambda: (now := tape.book(SYMBOL)["levels"]) and now["ts"] == 1_735_689_601_000 and now
    )
    assert found["bids"] == [
        {"price": "99.9", "qty": "1.5", "total": "1.5"},
        {"price": "99.8", "qty": "0.25", "total": "1.75"},
    ]
    assert found["asks"] == [
        {"price": "100.1", "qty": "2", "total": "2"},
        {"price": "100.3", "qty": "0.125", "total": "2.125"},
    ]
    assert (found["mid"], found["spread"]) == ("100", "0.2")
    assert 0 <= found["age_s"] < 10
    until(lambda: tape.book(SYMBOL)["levels"]["age_s"] > found["age_s"])


def test_messages_that_are_none_are_named_once_and_the_next_one_is_taken(
    tape, publisher, caplog
):  # fmt: skip
    watched(tape, publisher)
    value = json.loads(encode(levels()))
    hostile = [
        b"", b"{", b"\xff", b"[]", json.dumps({**value, "bids": [["NaN", "1"]]}).encode(),
        json.dumps({**value, "asks": [["1", "1"]]}).encode(), b"[" * 50_000,
    ]  # fmt: skip
    for frame in hostile:
        publisher.send("levels", frame)
    publisher.send("levels", encode(levels()))
    assert until(lambda: tape.book(SYMBOL)["levels"])["bids"][0]["price"] == "99.9"
    named = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(named) == 1
    assert "(1 so far)" in named[0]


def test_a_stale_mark_takes_the_levels_away_until_the_book_is_whole_again(tape, publisher):
    watched(tape, publisher)
    publisher.send("levels", encode(levels()))
    until(lambda: tape.book(SYMBOL)["levels"])
    mark = StaleMessage(ts=1_735_689_602_000, symbol=SYMBOL, stale=True, reason="gap: expected u 2, got 4")  # fmt: skip
    publisher.send("stale", encode(mark))
    found = until(lambda: (now := tape.book(SYMBOL))["stale"] and now)
    assert (found["levels"], found["stale"]) == (None, "gap: expected u 2, got 4")
    publisher.send("levels", encode(levels(ts=1_735_689_603_000)))
    found = until(lambda: (now := tape.book(SYMBOL))["levels"] and now)
    assert (found["levels"]["ts"], found["stale"]) == (1_735_689_603_000, None)
