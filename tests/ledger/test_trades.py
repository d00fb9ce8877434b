"""Bookkeeping of fills is exact, whatever the order of buys and sells."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.ledger.trades import (
    BookkeepingError,
    Payment,
    PositionBook,
    pair,
    with_funding,
)
from tests.support.factories import fill

decimals = st.decimals("0.001", "9", places=3)
fills = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell"]),
        decimals,
        st.decimals("1", "99999", places=2),
        st.decimals("-1", "1", places=8),
    ),
    max_size=30,
)


@given(fills)
def test_cash_of_all_fills_equals_closed_profit_less_open_cost(rows):
    book, cash, profit = PositionBook(), Decimal(0), Decimal(0)
    for number, (side, qty, price, fee) in enumerate(rows):
        one = fill(number, side, str(qty), str(price), str(fee))
        trade = book.apply(one)
        with localcontext(prec=60):
            cash += one.cash
            profit += trade.pnl if trade is not None else 0
        if book.qty == 0:
            assert abs(cash - profit) < Decimal("1e-40")
            assert book.cost == 0
    assert book.qty == sum(((q if s == "buy" else -q) for s, q, _, _ in rows), Decimal(0))


@given(fills)
def test_every_fill_reaches_exactly_one_trade_or_the_open_position(rows):
    made = [fill(n, s, str(q), str(p), str(f)) for n, (s, q, p, f) in enumerate(rows)]
    trades, books = pair(made)
    with localcontext(prec=60):
        booked = sum((trade.fees for trade in trades), Decimal(0))
        for book in books.values():
            booked += sum((f.fee for f in book._opened + book._closed), Decimal(0))
        assert abs(booked - sum((f.fee for f in made), Decimal(0))) < Decimal("1e-40")


def test_a_fill_through_zero_closes_one_trade_and_opens_the_next():
    book = PositionBook()
    book.apply(fill(1, "buy", "1", "100", "0.1"))
    trade = book.apply(fill(2, "sell", "3", "110", "0.3"))
    assert trade is not None
    assert trade.pnl == Decimal(10) - Decimal("0.1") - Decimal("0.1")
    assert book.qty == Decimal(-2)
    assert book.cost == Decimal(-220)


def test_agents_never_share_a_position():
    trades, books = pair(
        [fill(1, "buy", "1", "100", agent="a"), fill(2, "sell", "1", "90", agent="b")]
    )
    assert trades == []
    assert books["a", "BTCUSDT", "live"].qty == 1
    assert books["b", "BTCUSDT", "live"].qty == -1


@pytest.mark.parametrize(("side", "qty"), [("hold", "1"), ("buy", "0"), ("sell", "-1")])
def test_a_fill_that_is_none_is_refused(side, qty):
    with pytest.raises(BookkeepingError, match="e1"):
        fill(1, side, qty, "1")


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 4)), max_size=12),
    st.sets(st.integers(0, 200), max_size=40),
)
def test_every_payment_goes_to_the_trade_that_was_open_and_to_no_other(rounds, due):
    at, booked, held = 0, [], []
    for wait, hold, symbol in rounds:
        at += wait
        booked += [fill(at, "buy", "1", "10"), fill(at + hold, "sell", "1", "11")]
        held.append((at, at + hold))
        at += hold + symbol
    payments = [Payment("a", "BTCUSDT", ts, Decimal(ts + 1)) for ts in sorted(due)]
    others = [Payment("b", "BTCUSDT", ts, Decimal(7)) for ts in due]
    trades = with_funding(pair(booked)[0], payments + others)
    expected = [Decimal(0)] * len(held)
    for ts in due:
        open_then = [i for i, (begin, end) in enumerate(held) if begin <= ts <= end]
        if open_then:
            expected[open_then[0]] += ts + 1
    assert [trade.funding for trade in trades] == expected
