"""The arena's end of the wire against a bare Cerebellum made of two sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import zmq

from crucible.execution.cerebellum_link import Addresses, CerebellumLink
from crucible.execution.messages import Ack, Order, OrderEvent, encode
from tests.support.polling import until

PATIENCE = 30.0


class Bare:
    """The ends that Cerebellum binds; it says what a test wants, and nothing else."""

    def __init__(self, context: zmq.Context) -> None:
        self.commands = context.socket(zmq.ROUTER)
        self.events = context.socket(zmq.XPUB)
        self.market = context.socket(zmq.XPUB)
        ports = [
            socket.bind_to_random_port("tcp://127.0.0.1")
            for socket in (self.commands, self.events, self.market)
        ]
        self.addresses = Addresses(*(f"tcp://127.0.0.1:{port}" for port in ports))
        self.seq = 0

    def publish(self, intent: str, status: str) -> None:
        self.seq += 1
        order = Order(
            intent_id=intent, order_link_id=intent, order_id=None, agent="a@1", version="1",
            symbol="BTCUSDT", side="buy", kind="market", qty="0.01", limit_price=None,
            reduce_only=False, status=status, filled_qty="0", avg_price=None, code=None, text=None,
            reason="entry",
        )  # fmt: skip
        event = OrderEvent(ts=1, seq=self.seq, order=order)
        self.events.send_multipart([b"event", encode(event)])


@pytest.fixture
def bare() -> Iterator[Bare]:
    with zmq.Context() as context:
        bare = Bare(context)
        yield bare
        for socket in (bare.commands, bare.events, bare.market):
            socket.close(linger=0)


@pytest.fixture
def link(bare: Bare) -> Iterator[CerebellumLink]:
    with CerebellumLink(bare.addresses) as link:
        assert bare.events.poll(10_000), "the link did not subscribe"
        bare.events.recv()
        yield link


def reported(messages: list[object]) -> list[tuple[str, str]]:
    return [(m.order.intent_id, m.order.status) for m in messages if isinstance(m, OrderEvent)]


def test_letting_orders_through_ends_when_each_has_arrived_and_keeps_all_that_came(bare, link):
    news = [("i1", "pending"), ("i1", "sent"), ("i2", "sent"), ("i2", "filled"), ("i1", "new")]

    def speak() -> None:
        for intent, status in news:
            time.sleep(0.02)
            bare.publish(intent, status)

    speaker = threading.Thread(target=speak)
    speaker.start()
    link.let_through({"i1", "i2"}, PATIENCE)
    speaker.join()
    assert reported(link.poll(0)) == news
    assert link.poll(0) == []


def test_an_order_that_was_refused_is_not_waited_for(bare, link):
    ack = Ack(
        ts=1, request_id="r1", intent_id="i1", status="rejected", code="halted", text="", order=None
    )
    link._commands.send(b"hello")  # a router answers whom it has heard
    client = bare.commands.recv_multipart()[0]
    bare.commands.send_multipart([client, encode(ack)])
    link.let_through({"i1"}, PATIENCE)
    assert link.poll(0) == [ack]


def test_a_venue_that_says_nothing_is_not_waited_for_longer_than_told(bare, link):
    bare.publish("i1", "sent")
    link.let_through({"i1"}, 0.05)
    link.let_through(set(), PATIENCE)  # nothing to wait for
    assert reported(link.poll(1_000)) == [("i1", "sent")]


def test_a_frame_that_is_no_message_is_counted_and_the_next_one_read(bare, link):
    bare.events.send_multipart([b"event", b"{not json"])
    bare.publish("i1", "sent")
    heard = until(lambda: link.poll(100), "a message", seconds=PATIENCE, pause=0)
    assert reported(heard) == [("i1", "sent")]
    assert link.bad_frames == 1
