"""Three keepers of one account agree to the last unit, and any slip is seen."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.operations.errors import BooksError
from crucible.operations.reconciliation.accounts import (
    FillRow,
    FundingRow,
    book,
    differences,
    plain,
)

opposite = {"buy": "sell", "sell": "buy"}
quantities = st.decimals("0.001", "5000", places=3)
prices = st.decimals("0.0001", "120000", places=4)
fees = st.decimals("-9", "99", places=8)
rows = st.lists(
    st.tuples(
        st.sampled_from(["BTCUSDT", "ETHUSDT"]),
        st.sampled_from(["buy", "sell"]),
        quantities,
        prices,
        fees,
    ),
    min_size=1,
    max_size=40,
).map(lambda found: [FillRow(f"e{number}", *row) for number, row in enumerate(found)])
payments = st.lists(st.decimals("-9", "9", places=8), max_size=5).map(
    lambda found: [FundingRow(f"f{number}", amount) for number, amount in enumerate(found)]
)


@given(rows, payments, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(fills, funding, random):
    shuffled = random.sample(fills, len(fills))
    books = {"venue": book(fills, funding), "ledger": book(shuffled, funding)}
    assert differences(books) == []
    assert books["venue"].to_json({}) == books["ledger"].to_json({})


@given(rows, payments)
def test_cash_is_exact(fills, funding):
    exact = sum(
        (
            -Fraction(fill.qty) * Fraction(fill.price) * (1 if fill.side == "buy" else -1)
            - Fraction(fill.fee)
            for fill in fills
        ),
        Fraction(0),
    ) - sum((Fraction(row.amount) for row in funding), Fraction(0))
    assert Fraction(book(fills, funding).cash) == exact


@given(rows, st.data())
def test_a_lost_fill_is_seen(fills, data):
    lost = data.draw(st.integers(0, len(fills) - 1))
    found = differences({"venue": book(fills), "ledger": book(fills[:lost] + fills[lost + 1 :])})
    assert any(line.startswith("fills: venue ") for line in found)


@given(rows, st.data())
def test_a_wrong_price_is_seen_down_to_the_last_unit(fills, data):
    wrong = data.draw(st.integers(0, len(fills) - 1))
    unit = Decimal("0.0001")
    changed = list(fills)
    row = fills[wrong]
    changed[wrong] = FillRow(row.exec_id, row.symbol, row.side, row.qty, row.price + unit, row.fee)
    found = differences({"journal": book(fills), "ledger": book(changed)})
    assert [line.split(":")[0] for line in found] == ["cash"]


@given(rows)
def test_a_fill_booked_twice_is_refused(fills):
    with pytest.raises(BooksError, match="booked twice"):
        book([*fills, fills[0]])


@given(rows, payments)
def test_profit_of_a_flat_account_is_its_cash(fills, funding):
    back = [
        FillRow(f"{row.exec_id}-back", row.symbol, opposite[row.side], row.qty, row.price, row.fee)
        for row in fills
    ]
    summed = book([*fills, *back], funding)
    paid = sum((row.amount for row in funding), Decimal(0))
    assert summed.positions == {}
    assert summed.pnl({}) == summed.cash == -summed.fees - paid


def test_an_open_position_without_a_mark_has_no_profit():
    fill = FillRow("e", "BTCUSDT", "buy", Decimal(2), Decimal(10), Decimal("0.1"))
    summed = book([fill])
    assert summed.pnl({}) is None
    assert summed.pnl({"BTCUSDT": Decimal(11)}) == Decimal("1.9")
    assert summed.to_json({})["pnl"] is None


def test_positions_that_differ_name_the_symbol_and_every_side():
    one = FillRow("e", "BTCUSDT", "buy", Decimal(2), Decimal(10), Decimal(0))
    two = FillRow("e", "ETHUSDT", "buy", Decimal(2), Decimal(10), Decimal(0))
    assert differences({"venue": book([one]), "journal": book([two])}) == [
        "position BTCUSDT: venue 2, journal 0",
        "position ETHUSDT: venue 0, journal 2",
    ]


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-1e12, max_value=1e12)
)
def test_equal_amounts_are_written_alike(value):
    assert plain(value) == plain(value * Decimal("1.000"))
    assert Decimal(plain(value)) == value
    assert "E" not in plain(value)
