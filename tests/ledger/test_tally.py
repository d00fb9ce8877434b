"""Sums that grow with the ledger equal those of the ledger itself, to the last digit, whatever the order of booking."""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import reduce
from random import Random

import pytest

from crucible.execution.messages import FundingEvent
from crucible.ledger.ledger import Ledger
from crucible.ledger.page_reader import PageReader
from crucible.ledger.tally import DAY_MS, Tally
from crucible.ledger.trades import BookkeepingError, PositionBook
from tests.support.factories import agent_row, fill, fill_event

EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
NAMES = ("BTCUSDT-gp-1@1", "BTCUSDT-gp-2@1", "ETHUSDT-gp-1@1")


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as made:
        for name in NAMES:
            made.seat(agent_row(name))
        yield made


def trade(ledger, random, count):
    """Fills of three agents, in both modes, of many sizes, with funding in between."""
    seq = ledger.last_seq()
    for _ in range(count):
        seq += 1
        name, side = random.choice(NAMES), random.choice(("buy", "sell"))
        qty, price = (
            f"0.{random.randint(1, 999):03}",
            f"{random.randint(10, 90)}.{random.randint(0, 99)}",
        )
        fee, ts = f"0.{random.randint(0, 10**8):08}", seq * 3_600_000
        if random.random() < 0.1:
            paid = FundingEvent(ts=ts, seq=seq, exec_id=f"f{seq}", agent=name, symbol="BTCUSDT",
                                amount=f"{random.uniform(-1, 1):.8f}", exec_ts=ts)  # fmt: skip
            ledger.book_event(paid)
        elif random.random() < 0.7:
            ledger.book_event(
                fill_event(
                    seq, f"e{seq}", agent=name, side=side, qty=qty, price=price, fee=fee, exec_ts=ts
                )
            )
        else:
            ledger.book_shadow_fill(
                fill(
                    seq,
                    side,
                    qty,
                    price,
                    fee,
                    agent=name,
                    exec_ts=ts,
                    mode="shadow",
                    exec_id=f"s{seq}",
                )
            )


def total(values):
    # A fee that is split over two trades has no last digit: the sums hold 60, in one order and in another.
    return reduce(EXACT.add, values, Decimal(0)).quantize(Decimal("1e-50"), context=EXACT)


def require_equal(tally, ledger):
    trades, paid, fills = ledger.trades(), ledger.payments(), ledger.fills()
    for name in NAMES:
        for mode in ("live", "shadow"):
            own = tally.of(name, mode).sums
            mine = [each for each in trades if (each.agent, each.mode) == (name, mode)]
            assert own.trades == len(mine)
            assert own.wins == sum(each.pnl > 0 for each in mine)
            assert total([own.pnl]) == total(each.pnl for each in mine)
            charged = [each.fee for each in fills if (each.agent, each.mode) == (name, mode)]
            assert own.fees == total(charged)
            assert tally.of(name, mode).fills == len(charged)
        funding = total(each.amount for each in paid if each.agent == name)
        assert tally.of(name, "live").sums.funding == funding
    live = [each for each in trades if each.mode == "live"]
    assert total([tally.total.pnl]) == total(each.pnl for each in live)
    assert total([tally.total.fees]) == total(each.fee for each in fills if each.mode == "live")
    last = max(tally.days)
    of_last = [each.pnl for each in live if each.exit_ts - each.exit_ts % DAY_MS >= last]
    assert total([tally.since(last).pnl]) == total(of_last)


def test_what_is_added_bit_by_bit_equals_the_ledger(ledger):
    random, tally = Random(5), Tally()
    with PageReader(ledger.path) as reader:
        for _ in range(12):
            trade(ledger, random, 25)
            tally.update(reader)
            require_equal(tally, ledger)


def test_a_fill_that_is_booked_late_counts_where_it_was_executed(ledger):
    random, tally = Random(6), Tally()
    with PageReader(ledger.path) as reader:
        trade(ledger, random, 60)
        tally.update(reader)
        seq = ledger.last_seq() + 1
        ledger.book_event(
            fill_event(
                seq,
                "late",
                agent=NAMES[0],
                side="sell",
                qty="0.250",
                price="55.5",
                fee="0.01",
                exec_ts=7_300_000,
            )
        )
        trade(ledger, random, 30)
        tally.update(reader)
        require_equal(tally, ledger)


def test_only_verdicts_that_end_something_are_kept(ledger):
    for quarter in range(200):
        ledger.book_verdict(quarter, NAMES[0], "1", "keep", "not decisive", {})
    ledger.book_verdict(500, NAMES[0], "1", "cull", "loses", {})
    tally = Tally()
    with PageReader(ledger.path) as reader:
        tally.update(reader)
        tally.update(reader)
    assert [(each["verdict"], each["reason"]) for each in tally.endings] == [("cull", "loses")]


def test_a_verdict_is_passed_once_however_many_say_keep_after_the_newest_ending(ledger):
    tally, steps = Tally(), []
    ledger.book_verdict(1, NAMES[0], "1", "cull", "loses", {})
    with PageReader(ledger.path) as reader:
        reader._db.set_progress_handler(lambda: steps.append(1), 1)
        with ledger.transaction():
            for quarter in range(2, 5_002):
                ledger._db.execute(
                    "INSERT INTO verdicts VALUES (?, ?, '1', 'keep', '', '{}')", (quarter, NAMES[0])
                )
        tally.update(reader)
        first = len(steps)
        tally.update(reader)
    assert first > 5_000
    assert len(steps) - first < 500


def test_days_are_counted_anew_once_however_many_agents_have_a_late_fill(ledger, monkeypatch):
    random, tally, whole = Random(7), Tally(), []
    with PageReader(ledger.path) as reader:
        trade(ledger, random, 60)
        tally.update(reader)
        for name in NAMES:
            seq = ledger.last_seq() + 1
            late = fill_event(
                seq, f"late{seq}", agent=name, side="sell", qty="0.250", price="55.5", fee="0.01",
                exec_ts=3_700_000,
            )  # fmt: skip
            ledger.book_event(late)
        usual = reader.fills

        def fills(agent=None):
            whole.extend([] if agent else [agent])
            return usual(agent)

        monkeypatch.setattr(reader, "fills", fills)
        tally.update(reader)
        assert len(whole) == 1
        require_equal(tally, ledger)


@pytest.mark.parametrize("question", ["fills", "fills_after"])
def test_a_late_fill_is_counted_at_the_next_look_where_counting_anew_failed(
    ledger, monkeypatch, question
):
    random, tally = Random(8), Tally()
    with PageReader(ledger.path) as reader:
        trade(ledger, random, 60)
        tally.update(reader)
        seq = ledger.last_seq() + 1
        late = fill_event(
            seq, "late", agent=NAMES[0], side="sell", qty="0.250", price="55.5", fee="0.01",
            exec_ts=7_300_000,
        )  # fmt: skip
        ledger.book_event(late)
        usual = getattr(reader, question)
        calls = []

        def fail(*asked):
            # Rows are given before it fails, as a file gives them that is taken away meanwhile.
            calls.append(asked)
            if question == "fills" or len(calls) > 1:
                message = "the ledger is taken"
                raise BookkeepingError(message)
            return usual(*asked)

        monkeypatch.setattr(reader, question, fail)
        monkeypatch.setattr("crucible.ledger.tally._BATCH", 1)
        with pytest.raises(BookkeepingError):
            tally.update(reader)
        monkeypatch.setattr(reader, question, usual)
        trade(ledger, random, 10)
        tally.update(reader)
        require_equal(tally, ledger)


def test_a_fill_that_could_not_be_taken_in_is_counted_once_at_the_next_look(ledger, monkeypatch):
    random, tally = Random(9), Tally()
    with PageReader(ledger.path) as reader:
        trade(ledger, random, 30)
        with monkeypatch.context() as broken:

            def fail(book, fill):
                message = "no such fill"
                raise BookkeepingError(message)

            broken.setattr(PositionBook, "apply", fail)
            with pytest.raises(BookkeepingError):
                tally.update(reader)
        tally.update(reader)
        require_equal(tally, ledger)
