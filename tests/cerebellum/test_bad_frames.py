"""Every row of docs/reference/bad-input.md, against the real program: its answer, and it lives on."""

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import requests
import zmq

from tests.cerebellum.client import Cerebellum, Client, fault, uuid7
from tests.cerebellum.conftest import SYMBOLS
from tests.support.polling import until
from tests.support.processes import REPOSITORY, cerebellum_command, running, venue_command

pytestmark = pytest.mark.timeout(180)

ROW = re.compile(r"^\| ([a-z0-9-]+) \| .* \| `([^`]+)` \| [^|]+ \|$", re.MULTILINE)
WIRE = (REPOSITORY / "docs/reference/bad-input.md").read_text().partition("\n## Files")[0]
DOCUMENTED = dict(ROW.findall(WIRE))
GOOD = {"v": 1, "type": "heartbeat", "ts": 0, "request_id": "r"}
NO_LIMITS = {
    "order": {"max_notional": None, "collar_bps": 500, "per_second_per_agent": 10},
    "position": {"max_notional": None, "max_total_notional": None},
    "daily_loss": {"agent": None, "total": None},
    "venue": {"orders_per_second": 10},
}


class Bench:
    """One Cerebellum and its venue, with the shortest way to each bad input."""

    def __init__(self, cerebellum: Cerebellum, venue: dict, venue_process: object) -> None:
        self.cerebellum = cerebellum
        self.client: Client = cerebellum.client
        self.venue = venue
        self.venue_process = venue_process

    def frame(self, **changes: object) -> bytes:
        return json.dumps({**GOOD, **changes}).encode()

    def submit(self, side: str = "buy", qty: str = "0.010", **fields: object) -> dict:
        return self.client.submit(str(fields.pop("agent", "a")), side, qty, **fields)

    def price(self, factor: str) -> str:
        ticker = self.venue["rest"] + "/v5/market/tickers?category=linear&symbol=BTCUSDT"
        last = requests.get(ticker, timeout=5).json()["result"]["list"][0]["lastPrice"]
        return f"{Decimal(last) * Decimal(factor):.0f}.0"

    def resting(self) -> dict:
        ack = self.submit(kind="limit", limit_price=self.price("0.9"))
        self.client.until_order(ack["intent"], "new")
        return ack["intent"]

    def ended(self) -> dict:
        ack = self.submit()
        self.client.until_order(ack["intent"], "filled")
        return ack["intent"]

    def amend(self, intent: dict, **terms: str) -> dict:
        fields = {"qty": None, "limit_price": None, "agent": intent["agent"], **terms}
        return self.client.command("amend", intent_id=intent["intent_id"], **fields)

    def limits(self, operator: str | None = "ada", **sections: dict) -> dict:
        given = {
            name: {**NO_LIMITS[name], **sections[name]} if name in sections else None
            for name in NO_LIMITS
        }
        return self.client.command("set_limits", operator=operator, **given)

    def state(self, state: str, operator: str | None = "ada") -> dict:
        return self.client.command(
            "set_state", agent=None, symbol=None, state=state, operator=operator
        )


@pytest.fixture
def bench(folder: Path, keys: Path) -> Iterator[Bench]:
    command = venue_command(folder, keys, SYMBOLS, 10)
    with running(command, folder / "venue.log") as (process, venue):
        start = cerebellum_command(folder, keys, SYMBOLS, venue)
        one = Cerebellum([*start, "--stale-after-ms", "1000"], folder)
        yield Bench(one, venue, process)
        if one.process.poll() is None:
            assert one.stop() == 0


def answer(reply: dict) -> str:
    """Spell a reply the way the table does."""
    word = reply["type"] if reply["type"] == "error" else reply["status"]
    return f"{word} {reply['code']}" if reply["code"] else word


def refused_later(bench: Bench, ack: dict) -> str:
    assert ack["status"] == "accepted", ack
    return "order " + bench.client.until_order(ack["intent"], "rejected")["order"]["code"]


def raw(*frames: bytes) -> Callable[[Bench], list[str]]:
    return lambda bench: [answer(bench.client.raw(frame)) for frame in frames]


def submits(*changes: dict) -> Callable[[Bench], list[str]]:
    return lambda bench: [answer(bench.submit(**change)) for change in changes]


def without(key: str) -> bytes:
    return json.dumps({name: value for name, value in GOOD.items() if name != key}).encode()


def far_oversize(bench: Bench) -> list[str]:
    other = bench.client.context.socket(zmq.DEALER)
    other.linger = 0
    other.connect(bench.cerebellum.ready["commands"])
    other.send(b" " * (256 * 1024 + 1))
    answered = other.poll(500)
    other.close()
    return ["an answer" if answered else "no answer"]


def same_body(bench: Bench) -> list[str]:
    return [answer(bench.client.command("submit", **bench.ended()))]


def other_body(bench: Bench) -> list[str]:
    intent = {**bench.ended(), "qty": "0.011"}
    return [answer(bench.client.command("submit", **intent))]


def up_without_operator(bench: Bench) -> list[str]:
    bench.state("REDUCE_ONLY")
    return [answer(bench.state("ACTIVE", operator=None))]


def limits_without_sense(bench: Bench) -> list[str]:
    return [
        answer(bench.limits(venue={"orders_per_second": 0})),
        answer(bench.limits(daily_loss={"agent": "-1"})),
    ]


def in_state(state: str, **fields: object) -> Callable[[Bench], list[str]]:
    def drive(bench: Bench) -> list[str]:
        bench.state(state)
        return [answer(bench.submit(**fields))]

    return drive


def limited(*sections: dict, **fields: object) -> Callable[[Bench], list[str]]:
    def drive(bench: Bench) -> list[str]:
        seen = []
        for section in sections:
            assert bench.limits(**section)["status"] == "accepted"
            seen.append(answer(bench.submit(**fields)))
        return seen

    return drive


def too_many_orders(bench: Bench) -> list[str]:
    bench.limits(order={"per_second_per_agent": 2})
    answers = [answer(bench.submit()) for _ in range(30)]
    return [next(word for word in answers if word != "accepted")]


def too_many_waiting(bench: Bench) -> list[str]:
    bench.limits(order={"per_second_per_agent": 1000})
    far = {"kind": "limit", "limit_price": bench.price("0.95")}
    answers = [answer(bench.submit(**far)) for _ in range(150)]
    assert bench.submit(agent="b", **far)["status"] == "accepted"
    return [next(word for word in answers if word != "accepted")]


def day_lost(bench: Bench) -> list[str]:
    bench.limits(daily_loss={"agent": "0.01"})
    # The day begins before the fees of the first order are paid.
    bench.client.until(lambda event: event["type"] == "risk")
    bench.ended()
    bench.client.until(lambda event: event["type"] == "state")
    return [answer(bench.submit())]


def silence(bench: Bench) -> None:
    fault(bench.venue, "silent", path="public")
    while True:
        topic, body = bench.client.market.recv_multipart()
        if topic == b"BTCUSDT.stale" and json.loads(body)["stale"]:
            return


def stale_book(bench: Bench) -> list[str]:
    silence(bench)
    return [answer(bench.submit())]


def mark_unknown(bench: Bench) -> list[str]:
    bench.ended()
    bench.limits(daily_loss={"agent": "1000"}, position={"max_total_notional": "1000000"})
    silence(bench)
    reported = bench.client.until(lambda event: event.get("code") == "mark_unknown")
    assert reported["type"] == "risk"
    return [answer(bench.submit())]


def venue_refuses(bench: Bench) -> list[str]:
    fault(bench.venue, "error", count=1, status=200, code=10001, commit=False)
    return [refused_later(bench, bench.submit())]


def cancel_unknown(bench: Bench) -> list[str]:
    return [answer(bench.client.command("cancel", intent_id=uuid7()))]


def cancel_ended(bench: Bench) -> list[str]:
    return [answer(bench.client.command("cancel", intent_id=bench.ended()["intent_id"]))]


def amend_unknown(bench: Bench) -> list[str]:
    known = bench.resting()
    return [
        answer(bench.amend({"intent_id": uuid7(), "agent": "a"}, qty="0.020")),
        answer(bench.amend({**known, "agent": "b"}, qty="0.020")),
    ]


def amend_in_flight(bench: Bench) -> list[str]:
    intent = bench.resting()
    fault(bench.venue, "delay", count=1, ms=2000, before=True)
    assert bench.amend(intent, qty="0.020")["status"] == "accepted"
    return [answer(bench.amend(intent, qty="0.030"))]


def amend_off_limits(bench: Bench) -> list[str]:
    intent = bench.resting()
    bench.limits(order={"max_notional": "1000"})
    seen = answer(bench.amend(intent, qty="0.100"))
    row = bench.client.command("snapshot")["orders"][0]
    assert (row["qty"], row["status"]) == ("0.010", "new")
    return [seen]


def replay_limit(bench: Bench) -> list[str]:
    return [answer(bench.client.command("replay", since_seq=0, limit=n)) for n in (0, 1001)]


def not_ready(bench: Bench) -> list[str]:
    bench.venue_process.terminate()
    end = time.monotonic() + 15.0
    # Until the loss is noticed, entries are taken, or refused for a book that no longer moves.
    before = ("accepted", DOCUMENTED["stale-book"])
    while (seen := answer(bench.submit())) in before and time.monotonic() < end:
        time.sleep(0.1)
    return [seen]


def journal_held(bench: Bench) -> list[str]:
    resting = bench.resting()
    other = sqlite3.connect(bench.cerebellum.journal, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    # What shows that it is held: a change that wants to be written.
    bench.limits(order={"per_second_per_agent": 9})
    until(lambda: bench.cerebellum.metric("cerebellum_journal_trouble") == 2, "notice of it")
    seen = [answer(bench.submit()), answer(bench.amend(resting, qty="0.020"))]
    other.execute("ROLLBACK")
    other.close()
    bench.client.until(lambda event: event.get("code") == "journal_written")
    return seen


LIMIT = {"kind": "limit"}
DRIVERS: dict[str, Callable[[Bench], list[str]]] = {
    "not-json": raw(b"", b"{"),
    "not-utf8": raw(b"\xff\xfe\x00"),
    "not-object": raw(b"[1]", b"1", b"null"),
    "not-a-number": raw(b'{"v":1,"type":"heartbeat","ts":NaN,"request_id":"r"}'),
    "two-frames": lambda bench: [answer(bench.client.raw(b"{}", b"{}"))],
    "bad-version": raw(json.dumps({**GOOD, "v": 2}).encode(), without("v")),
    "bad-type": raw(json.dumps({**GOOD, "type": "buy"}).encode(), without("type")),
    "field-missing": raw(without("request_id")),
    "field-extra": lambda bench: [answer(bench.client.raw(bench.frame(extra=1)))],
    "field-twice": raw(b'{"ts":1,' + json.dumps(GOOD).encode()[1:]),
    "field-kind": lambda bench: [
        answer(bench.client.raw(bench.frame(ts=wrong))) for wrong in (None, -1, 1.5, 2**70)
    ],
    "oversize": raw(b" " * (64 * 1024 + 1)),
    "far-oversize": far_oversize,
    "same-body": same_body,
    "other-body": other_body,
    "up-without-operator": up_without_operator,
    "limits-without-operator": lambda bench: [answer(bench.limits(operator=None))],
    "limits-without-sense": limits_without_sense,
    "unknown-symbol": submits({"symbol": "XXXUSDT"}),
    "bad-quantity": submits(*({"qty": qty} for qty in ("0", "-1", "0.0105", "99999"))),
    "below-minimum": submits({**LIMIT, "limit_price": "100.0", "qty": "0.001"}),
    "bad-price": submits(
        LIMIT,
        {**LIMIT, "limit_price": "50000.05"},
        {**LIMIT, "limit_price": "0"},
        {"limit_price": "50000.0"},
        {"protect": {"stop": "-1", "take_profit": None, "deadline_ts": None}},
    ),
    "expired": submits({"ts": 1, "ttl_ms": 1}),
    "price-collar": submits({**LIMIT, "limit_price": "900000.0"}),
    "nothing-to-reduce": submits({"reduce_only": True}),
    "reduce-only-state": in_state("REDUCE_ONLY"),
    "halted-state": in_state("HALTED"),
    "order-too-large": limited({"order": {"max_notional": "100"}}),
    "position-too-large": limited(
        {"position": {"max_notional": "100"}}, {"position": {"max_total_notional": "100"}}
    ),
    "too-many-orders": too_many_orders,
    "too-many-waiting": too_many_waiting,
    "day-lost": day_lost,
    "stale-book": stale_book,
    "mark-unknown": mark_unknown,
    "no-margin": lambda bench: [refused_later(bench, bench.submit(qty="99.000"))],
    "venue-refuses": venue_refuses,
    "cancel-unknown": cancel_unknown,
    "cancel-ended": cancel_ended,
    "amend-unknown": amend_unknown,
    "amend-nothing": lambda bench: [answer(bench.amend(bench.resting()))],
    "amend-ended": lambda bench: [answer(bench.amend(bench.ended(), qty="0.020"))],
    "amend-in-flight": amend_in_flight,
    "amend-off-limits": amend_off_limits,
    "replay-limit": replay_limit,
    "not-ready": not_ready,
    "journal-held": journal_held,
}


def test_every_documented_bad_input_is_driven_and_no_other() -> None:
    assert sorted(DOCUMENTED) == sorted(DRIVERS)


@pytest.mark.process
@pytest.mark.parametrize("case", sorted(DRIVERS))
def test_a_bad_input_gets_what_the_table_says_and_hurts_nobody(bench: Bench, case: str) -> None:
    seen = DRIVERS[case](bench)
    assert seen == [DOCUMENTED[case]] * len(seen)
    alive = bench.client.raw(json.dumps(GOOD).encode())
    assert (alive["type"], alive["status"]) == ("ack", "accepted")
    assert bench.cerebellum.process.poll() is None
    assert bench.cerebellum.verify()["ok"]
