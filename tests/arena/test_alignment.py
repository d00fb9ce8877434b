"""Minutes leave the aligner complete or declared incomplete by market time, in order, once."""

from hypothesis import given
from hypothesis import strategies as st

from crucible.arena.alignment import MarketClock, MinuteAligner
from crucible.market.candles import Candle

SYMBOLS = ("A", "B")


def candle(minute: int) -> Candle:
    return Candle(minute * 60_000, 1.0, 1.0, 1.0, 1.0, 1.0)


def test_a_minute_waits_for_every_symbol():
    aligner = MinuteAligner(SYMBOLS)
    assert list(aligner.add("A", candle(0), 60_000)) == []
    (minute,) = aligner.add("B", candle(0), 60_000)
    assert (minute.close_ts, set(minute.candles)) == (60_000, {"A", "B"})


def test_market_time_releases_a_minute_that_stays_incomplete():
    aligner = MinuteAligner(SYMBOLS, grace_ms=5_000)
    list(aligner.add("A", candle(0), 60_000))
    assert list(aligner.advance(64_999)) == []
    (minute,) = aligner.advance(65_000)
    assert set(minute.candles) == {"A"}


def test_a_candle_that_comes_too_late_is_dropped_and_counted():
    aligner = MinuteAligner(SYMBOLS)
    list(aligner.add("A", candle(0), 60_000))
    list(aligner.advance(70_000))
    assert list(aligner.add("B", candle(0), 60_000)) == []
    assert aligner.late == 1


def test_minutes_covered_by_history_are_not_released_again():
    aligner = MinuteAligner(SYMBOLS)
    list(aligner.add("A", candle(0), 60_000))
    aligner.skip_to(60_000)
    assert list(aligner.advance(999_999)) == []


arrivals = st.lists(
    st.tuples(st.sampled_from(SYMBOLS), st.integers(0, 8), st.integers(0, 700_000)), max_size=60
)


@given(arrivals)
def test_whatever_arrives_minutes_leave_in_order_and_once(messages):
    aligner = MinuteAligner(SYMBOLS)
    released = []
    for symbol, number, now in messages:
        released += [m.close_ts for m in aligner.add(symbol, candle(number), (number + 1) * 60_000)]
        released += [m.close_ts for m in aligner.advance(now)]
    assert released == sorted(set(released))


HOUR = 3_600_000


def test_one_time_in_the_far_future_is_refused_and_those_after_it_are_believed():
    clock = MarketClock()
    assert clock.admits(100 * HOUR)
    assert not clock.admits(9_000 * HOUR)
    assert clock.now_ts == 100 * HOUR
    assert clock.admits(100 * HOUR + 60_000)
    assert clock.now_ts == 100 * HOUR + 60_000
    # An older one does not turn it back.
    assert clock.admits(99 * HOUR)
    assert clock.now_ts == 100 * HOUR + 60_000
    # Nor is another one believed because of the first.
    assert not clock.admits(9_000 * HOUR)
    assert clock.refused == 2


def test_after_a_night_without_messages_the_second_one_is_believed():
    clock = MarketClock()
    assert clock.admits(100 * HOUR)
    assert not clock.admits(112 * HOUR)
    assert clock.admits(112 * HOUR + 1_000)
    assert clock.now_ts == 112 * HOUR + 1_000


@given(st.lists(st.integers(1, 50), min_size=2, max_size=60), st.data())
def test_bad_times_among_true_ones_cost_nothing_but_themselves(steps, data):
    clock, true_ts = MarketClock(), HOUR
    assert clock.admits(true_ts)
    for step in steps:
        if data.draw(st.booleans()):
            clock.admits(true_ts + data.draw(st.integers(2, 10**6)) * HOUR)
        true_ts += step * 60_000
        assert clock.admits(true_ts)
        assert clock.now_ts == true_ts
