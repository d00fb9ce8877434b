"""Readings of the market: each candle's once, what was not known as a gap, and no more of them than a month."""

import pytest

from crucible import sqlite
from crucible.ledger.ledger import Ledger
from crucible.ledger.page_reader import PageReader
from crucible.ledger.readings import KEPT_MINUTES, Reading, Step
from tests.support.factories import fill_event

MINUTE = 60_000


def reading(minute: int, *figures, symbol="BTCUSDT", change: bool | None = False) -> Reading:
    """What was read at the close of the candle that opened at a minute."""
    return Reading(symbol, (minute + 1) * MINUTE, change, *(figures or (0.1, 0.2, 0.3, 0.4)))


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


@pytest.fixture
def page(ledger):
    with PageReader(ledger.path) as opened:
        yield opened


def test_readings_come_back_to_the_last_digit_and_what_was_unknown_as_unknown(ledger, page):
    first = reading(5, 1 / 3, None, -1e-17, 7.25, change=True)
    ledger.book_readings([first, reading(6, None, None, None, None, change=None)])
    ledger.book_readings([reading(6, symbol="ETHUSDT")])
    assert page.readings("BTCUSDT", 0, MINUTE) == [
        Step(5 * MINUTE, 1, 1, True, 1 / 3, None, -1e-17, 7.25),
        Step(6 * MINUTE, 1, 0, False, None, None, None, None),
    ]
    assert page.readings("BTCUSDT", 6 * MINUTE, MINUTE)[0].ts == 6 * MINUTE
    assert page.readings("DOGEUSDT", 0, MINUTE) == []


def test_a_candle_that_is_read_twice_keeps_its_first_reading(ledger, page):
    ledger.book_readings([reading(1, 1.0, 1.0, 1.0, 1.0)])
    ledger.book_readings([reading(1, 2.0, 2.0, 2.0, 2.0, change=True), reading(2)])
    first, _ = page.readings("BTCUSDT", 0, MINUTE)
    assert first == Step(MINUTE, 1, 1, False, 1.0, 1.0, 1.0, 1.0)


def test_a_step_has_the_mean_of_what_was_known_and_a_change_in_any_of_its_minutes(ledger, page):
    ledger.book_readings(
        [
            reading(0, 1.0, None, None, 1.0),
            reading(3, 2.0, 0.5, None, 1.0, change=True),
            reading(4, 6.0, None, None, 1.0, change=None),
            reading(15, 8.0, 1.0, 1.0, 1.0),
        ]
    )
    assert page.readings("BTCUSDT", 0, 5 * MINUTE) == [
        Step(0, 3, 2, True, 3.0, 0.5, None, 1.0),
        Step(15 * MINUTE, 1, 1, False, 8.0, 1.0, 1.0, 1.0),
    ]


def test_the_newest_month_of_each_symbol_is_kept(ledger, page):
    ledger.book_readings([reading(0, symbol="ETHUSDT")])
    ledger.book_readings([reading(minute) for minute in range(3)])
    ledger.book_readings([reading(KEPT_MINUTES + 1)])
    kept = [step.ts // MINUTE for step in page.readings("BTCUSDT", 0, MINUTE)]
    assert kept == [2, KEPT_MINUTES + 1]
    assert len(page.readings("ETHUSDT", 0, MINUTE)) == 1


def test_what_has_no_source_is_kept_with_the_reason(ledger, page):
    assert page.missing_sources() == {}
    ledger.set_missing_sources({"mce_skew": "why"})
    ledger.set_missing_sources({"influence_in": "why not"})
    assert page.missing_sources() == {"influence_in": "why not"}


def test_a_ledger_of_before_readings_says_so_and_gets_a_place_for_them_when_it_is_opened(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as before:
        before.book_event(fill_event(1, "a"))
    # As the version before this one left it.
    database = sqlite.connect(path)
    database.execute("DROP TABLE readings")
    database.execute("DROP TABLE systemic_faults")
    database.execute("PRAGMA user_version = 5")
    database.close()
    with PageReader(path) as page:
        assert not page.keeps_readings()
        assert page.readings("BTCUSDT", 0, MINUTE) == []
        assert page.missing_sources() == {}
        with Ledger(path) as migrated:
            migrated.book_readings([reading(1)])
            assert len(migrated.fills()) == 1
        assert page.keeps_readings()
        assert len(page.readings("BTCUSDT", 0, MINUTE)) == 1
