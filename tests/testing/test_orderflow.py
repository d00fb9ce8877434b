from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.testing.books import books
from crucible.testing.orderflow import (
    Book,
    book_second,
    depth,
    microprice_offset,
    order_flow_imbalance,
    skew,
)

BOOK = Book(bids=((99.5, 4.0), (99.0, 2.0)), asks=((100.5, 1.0), (101.0, 3.0)))


def mirrored(book: Book) -> Book:
    def turn(side: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        return tuple((220 - price, size) for price, size in side)

    return Book(bids=turn(book.asks), asks=turn(book.bids))


@given(books(), books())
def test_buying_and_selling_are_mirror_images(before: Book, after: Book) -> None:
    flow = order_flow_imbalance(before, after)
    other = order_flow_imbalance(mirrored(before), mirrored(after))
    assert flow == pytest.approx(-other, rel=1e-9, abs=1e-9)
    assert skew(before) == pytest.approx(-skew(mirrored(before)), rel=1e-9, abs=1e-9)
    assert microprice_offset(before) == pytest.approx(
        -microprice_offset(mirrored(before)), abs=1e-9
    )


@given(books())
def test_a_book_that_does_not_change_has_no_flow(book: Book) -> None:
    assert order_flow_imbalance(book, book) == 0
    assert -1 <= skew(book) <= 1
    assert abs(microprice_offset(book)) <= book.spread / 2 + 1e-9


@pytest.mark.parametrize(
    ("after", "flow"),
    [
        (replace(BOOK, bids=((99.5, 7.0), (99.0, 2.0))), 3.0),  # size added to the best bid
        (replace(BOOK, bids=((100.0, 5.0), (99.0, 2.0))), 5.0),  # a better bid
        (replace(BOOK, bids=((99.0, 2.0),)), -4.0),  # the best bid gone
        (replace(BOOK, asks=((100.5, 4.0), (101.0, 3.0))), -3.0),  # size added to the best ask
        (replace(BOOK, asks=((100.0, 2.0), (101.0, 3.0))), -2.0),  # a better ask
        (replace(BOOK, asks=((101.0, 3.0), (101.5, 1.0))), 1.0 + 3.0),  # both levels moved away
    ],
)
def test_events_count_as_the_definition_says(after: Book, flow: float) -> None:
    assert order_flow_imbalance(BOOK, after) == pytest.approx(flow)


def test_only_the_asked_levels_count() -> None:
    after = replace(BOOK, bids=((99.5, 4.0), (99.0, 9.0)))
    assert order_flow_imbalance(BOOK, after, levels=1) == 0
    assert order_flow_imbalance(BOOK, after, levels=2) == 7
    assert depth(BOOK) == 5
    assert depth(BOOK, levels=1) == 2.5


def test_near_levels_weigh_more_in_the_skew() -> None:
    near = math.exp(-0.25)
    far = {"bid": math.exp(-0.5), "ask": math.exp(-0.5)}
    bid = near * 4 + far["bid"] * 2
    ask = near * 1 + far["ask"] * 3
    assert skew(BOOK) == pytest.approx((bid - ask) / (bid + ask))
    crossed = Book(bids=((101.0, 1.0),), asks=((101.0, 1.0),))
    assert math.isnan(skew(crossed))


def test_a_second_weighs_each_book_by_how_long_it_stood() -> None:
    thin = replace(BOOK, bids=((99.5, 1.0), (99.0, 2.0)))
    second = book_second(7_000, BOOK, [(7_250, thin), (7_500, BOOK)])
    assert second.updates == 2
    assert second.skew == pytest.approx(0.75 * skew(BOOK) + 0.25 * skew(thin))
    assert second.depth == pytest.approx(0.75 * depth(BOOK) + 0.25 * depth(thin))
    assert second.ofi == pytest.approx((-3.0 + 3.0) / second.depth)
    assert second.microprice_offset == microprice_offset(BOOK)


def test_a_second_without_a_trusted_book_has_no_value() -> None:
    empty = book_second(0, None, [])
    assert math.isnan(empty.skew)
    assert math.isnan(empty.ofi)
    late = book_second(0, None, [(400, BOOK)])
    assert late.skew == pytest.approx(skew(BOOK))
    assert late.ofi == 0


@given(st.lists(st.tuples(st.integers(0, 999), books()), max_size=5))
def test_any_second_stays_in_bounds(events: list[tuple[int, Book]]) -> None:
    second = book_second(0, BOOK, sorted(events, key=lambda event: event[0]))
    assert -1 <= second.skew <= 1
    assert second.depth > 0
