"""What the stream did not bring is asked for before the next minute is decided upon."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.arena.alignment import Minute, MinuteAligner
from crucible.arena.gaps import GapFiller, closed_minutes
from crucible.market.candles import Candle, Candles
from crucible.market.exchange import ExchangeError
from crucible.settings import MINUTE_MS
from tests.support.polling import until

SYMBOLS = ("A", "B")


def candle(symbol: str, number: int) -> Candle:
    price = 1.0 + number + 100.0 * SYMBOLS.index(symbol)
    return Candle(number * MINUTE_MS, price, price, price, price, 1.0)


def minute(number: int, symbols=SYMBOLS) -> Minute:
    return Minute((number + 1) * MINUTE_MS, {s: candle(s, number) for s in symbols})


def candles(symbol: str, numbers) -> Candles:
    prices = [np.array([candle(symbol, n).open for n in numbers])] * 4
    times = np.array([n * MINUTE_MS for n in numbers], np.int64)
    return Candles(symbol, times, *prices, np.ones(len(numbers)))


class Venue:
    """A venue's history; it notes what it was asked."""

    def __init__(self, lacks=frozenset()):
        self.lacks, self.asked = lacks, []

    def __call__(self, symbol, start_ms, end_ms):
        self.asked.append((symbol, start_ms // MINUTE_MS, end_ms // MINUTE_MS))
        wanted = range(start_ms // MINUTE_MS, end_ms // MINUTE_MS)
        found = [n for n in wanted if (symbol, n) not in self.lacks]
        return [candles(symbol, found)] if found else []


def filled(gaps: GapFiller, wanted: Minute) -> list[Minute]:
    # An empty list is an answer, too.
    (minutes,) = until(
        lambda: [found for found in [gaps.fill(wanted)] if found is not None],
        "the minutes before it",
        pause=0.001,
    )
    return minutes


def test_a_minute_that_follows_the_last_asks_nobody():
    venue = Venue()
    gaps = GapFiller(SYMBOLS, venue, 5 * MINUTE_MS)
    assert gaps.fill(minute(5)) == [minute(5)]
    assert gaps.fill(minute(6)) == [minute(6)]
    assert venue.asked == []


def test_missing_minutes_come_before_the_one_that_shows_the_hole():
    venue = Venue()
    gaps = GapFiller(SYMBOLS, venue, 5 * MINUTE_MS)
    assert filled(gaps, minute(8)) == [minute(5), minute(6), minute(7), minute(8)]
    assert gaps.filled == 6
    assert gaps.fill(minute(9)) == [minute(9)]


def test_a_symbol_that_was_left_out_is_asked_for_alone():
    venue = Venue()
    gaps = GapFiller(SYMBOLS, venue, 5 * MINUTE_MS)
    assert filled(gaps, minute(5, ("B",))) == [minute(5)]
    assert venue.asked == [("A", 5, 6)]


def test_what_the_stream_brought_stands():
    other = Minute(6 * MINUTE_MS, {"A": Candle(5 * MINUTE_MS, 9.0, 9.0, 9.0, 9.0, 9.0)})
    (joined,) = filled(GapFiller(SYMBOLS, Venue(), 5 * MINUTE_MS), other)
    assert joined.candles == {"A": other.candles["A"], "B": candle("B", 5)}


def test_a_candle_that_the_venue_lacks_is_not_invented():
    venue = Venue(lacks={("A", 6), ("B", 6), ("A", 7)})
    minutes = filled(GapFiller(SYMBOLS, venue, 5 * MINUTE_MS), minute(8))
    assert minutes == [minute(5), minute(7, ("B",)), minute(8)]


@pytest.mark.parametrize("problem", [ExchangeError("the venue is away"), KeyError("a defect")])
def test_a_question_that_fails_leaves_the_hole_and_the_next_one_is_asked(problem):
    answers = [problem, None]
    venue = Venue()

    def backfill(symbol, start, end):
        if answers and (failure := answers.pop(0)):
            raise failure
        return venue(symbol, start, end)

    gaps = GapFiller(SYMBOLS, backfill, 5 * MINUTE_MS)
    assert not gaps.reaches_over_a_hole(0, 10 * MINUTE_MS)
    assert filled(gaps, minute(8)) == [minute(8)]
    assert gaps.unfilled == 1
    closes = [each * MINUTE_MS for each in (9, 18, 19)]
    assert [gaps.reaches_over_a_hole(ts, 10 * MINUTE_MS) for ts in closes] == [True, True, False]
    assert filled(gaps, minute(10)) == [minute(9), minute(10)]


def test_a_venue_that_does_not_answer_holds_a_minute_up_for_so_long_and_no_other():
    silent = threading.Event()
    gaps = GapFiller(SYMBOLS, lambda *_: silent.wait(30) and [], 5 * MINUTE_MS, patience_s=0.05)
    try:
        assert gaps.fill(minute(8)) is None
        assert filled(gaps, minute(8)) == [minute(8)]
        # The question is still open: a second hole waits for nobody.
        assert gaps.fill(minute(11)) == [minute(11)]
        assert gaps.fill(minute(12)) == [minute(12)]
        assert gaps.unfilled == 2
    finally:
        silent.set()


def test_history_is_cut_to_what_closed_after_the_last_minute():
    found = closed_minutes(SYMBOLS, lambda s, *_: [candles(s, range(10))], 3 * MINUTE_MS, 300_000)
    assert sorted(found) == [4 * MINUTE_MS, 5 * MINUTE_MS]


@given(
    st.sets(st.tuples(st.sampled_from(SYMBOLS), st.integers(0, 11)), max_size=24),
    st.sampled_from([5_000, 0]),
)
def test_whatever_the_stream_loses_the_arena_sees_every_candle_once_and_in_order(lost, grace):
    aligner, gaps = MinuteAligner(SYMBOLS, grace_ms=grace), GapFiller(SYMBOLS, Venue(), 0)
    taken = []
    for number in range(13):
        for symbol in SYMBOLS:
            if number == 12 or (symbol, number) not in lost:
                for closed in aligner.add(symbol, candle(symbol, number), (number + 1) * MINUTE_MS):
                    taken += filled(gaps, closed)
        for closed in aligner.advance((number + 1) * MINUTE_MS + 10_000):
            taken += filled(gaps, closed)
    assert taken == [minute(number) for number in range(13)]


@pytest.mark.parametrize("ts", [6 * MINUTE_MS, 60 * MINUTE_MS])
def test_a_hole_of_any_length_is_one_question_a_symbol(ts):
    venue = Venue()
    filled(GapFiller(SYMBOLS, venue, MINUTE_MS), minute(ts // MINUTE_MS))
    assert [symbol for symbol, *_ in venue.asked] == list(SYMBOLS)
