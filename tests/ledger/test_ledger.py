"""The ledger books every fill once, in whatever order and however often it hears of it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from crucible.execution.messages import FundingEvent, RiskEvent
from crucible.ledger.ledger import Ledger
from crucible.ledger.parity import ParityDay, Stretch
from crucible.ledger.reader import AgentRow, LedgerError, LedgerReader, ShadowLife
from crucible.ledger.trades import BookkeepingError, Fill
from tests.support.factories import agent_row, fill, fill_event


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def test_an_event_heard_twice_is_booked_once(ledger):
    assert ledger.book_event(fill_event(1, "a")) is not None
    assert ledger.book_event(fill_event(1, "a")) is None
    assert ledger.book_event(fill_event(2, "a")) is None  # the same execution under a new number
    assert len(ledger.fills()) == 1
    assert ledger.last_seq() == 2


def test_decimals_come_back_to_the_last_digit(ledger):
    ledger.book_event(fill_event(1, "a"))
    (fill,) = ledger.fills()
    assert fill.cash == Decimal("-30.15") - Decimal("0.01658250")
    assert str(fill.fee) == "0.01658250"


def test_a_reopened_ledger_goes_on_where_it_was(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as first:
        first.book_event(fill_event(5, "a"))
        first.keep_shadow("x", {"pending": "buy"})
    with Ledger(path) as second:
        assert second.last_seq() == 5
        assert second.kept_shadow("x") == {"pending": "buy"}
        assert len(second.fills("BTCUSDT-gp-1@1")) == 1


def test_a_reader_sees_what_the_writer_wrote_and_never_creates_a_file(tmp_path):
    with pytest.raises(LedgerError, match="no ledger here"):
        LedgerReader(tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()
    with (
        Ledger(tmp_path / "l.sqlite") as writer,
        LedgerReader(tmp_path / "l.sqlite") as reader,
    ):
        writer.book_event(fill_event(1, "a"))
        assert len(reader.fills()) == 1


def test_a_ledger_of_a_newer_version_is_refused(tmp_path):
    import sqlite3

    path = tmp_path / "new.sqlite"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerError, match="version 99"):
        Ledger(path)


def test_trades_before_an_instant_never_show_later_fills(ledger):
    ledger.book_event(fill_event(1, "a"))
    ledger.book_event(fill_event(2, "b", side="sell", price="101"))
    assert ledger.trades("BTCUSDT-gp-1@1", until_ts=2_000) == []
    (trade,) = ledger.trades("BTCUSDT-gp-1@1", until_ts=2_001)
    assert trade.pnl == Decimal("0.15") - 2 * Decimal("0.01658250")


def test_half_a_transaction_is_none(ledger):
    fill = Fill(
        "s1", "a@1", "1", "B", "buy", Decimal(1), Decimal(1), Decimal(0), 1, "", "", "shadow"
    )

    def break_off() -> None:
        with ledger.transaction():
            ledger.book_shadow_fill(fill)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert ledger.fills() == []


def test_funding_and_alarms_are_kept(ledger):
    ledger.book_event(
        FundingEvent(ts=1, seq=1, exec_id="f", agent="a@1", symbol="B", amount="-0.5", exec_ts=1)
    )
    ledger.book_event(RiskEvent(ts=1, seq=2, code="x", text="y", agent=None, symbol=None))
    assert [payment.amount for payment in ledger.payments("a@1")] == [Decimal("-0.5")]


def test_a_trade_knows_the_funding_that_fell_due_while_it_was_open(ledger):
    ledger.book_event(fill_event(1, "a"))
    for seq, agent in ((2, "BTCUSDT-gp-1@1"), (3, "another@1"), (4, "BTCUSDT-gp-1@1")):
        ledger.book_event(
            FundingEvent(
                ts=seq,
                seq=seq,
                exec_id=f"f{seq}",
                agent=agent,
                symbol="BTCUSDT",
                amount="0.25",
                exec_ts=seq * 1_000,
            )
        )
    ledger.book_event(fill_event(5, "b", side="sell", price="101"))
    (trade,) = ledger.trades("BTCUSDT-gp-1@1")
    assert trade.funding == Decimal("0.50")
    assert trade.net_pnl == trade.pnl - Decimal("0.50")
    assert trade.net_return == pytest.approx(float(trade.net_pnl / Decimal("30.15")))
    (again,) = ledger.trades()
    assert again == trade


def test_attendance_is_kept_as_unbroken_stretches_in_which_an_agent_held_or_did_not(ledger):
    minutes = [(1, False), (2, False), (3, True), (4, True), (6, True), (7, False)]
    for minute, holds in minutes:
        for agent in ("a@1", "b@1"):
            ledger.book_attendance(minute * 60_000, agent, holds=holds)
    expected = [(1, 2, False), (3, 4, True), (6, 6, True), (7, 7, False)]
    stretches = [Stretch(first * 60_000, last * 60_000, holds) for first, last, holds in expected]
    assert ledger.attendance(0, 10**9) == {"a@1": stretches, "b@1": stretches}
    assert ledger.attendance(240_000, 360_000)["a@1"] == [stretches[1]]


def test_how_an_agent_compares_with_its_backtest_is_kept_once_a_day_to_the_letter(ledger):
    day = ParityDay("a@1", 60_000, 4, 3, 2, 2, ("one", "two"), {"catching up": 2}, "why")
    assert ledger.book_parity(day)
    assert not ledger.book_parity(ParityDay("a@1", 60_000))
    assert ledger.parity("a@1", 0, 60_000) == [day]
    assert day.score == 5 / 6
    assert ledger.parity("a@1", 60_000, 10**9) == ledger.parity("b@1", 0, 10**9) == []


def test_a_verdict_is_given_once_per_instant(ledger):
    assert ledger.book_verdict(1, "a@1", "1", "keep", "fine", {"trades": 1})
    assert not ledger.book_verdict(1, "a@1", "1", "cull", "second thoughts", {})
    assert [row["verdict"] for row in ledger.verdicts("a@1")] == ["keep"]


def test_an_agent_that_comes_back_is_active_again(ledger):
    row = AgentRow(
        "a@1", "a", "1", "challenger", "B", "gp", proven=False, since_ts=5, until_ts=None
    )
    ledger.seat(row)
    ledger.unseat("a@1", 9)
    assert ledger.agents(active=True) == []
    ledger.seat(row)
    assert [agent.agent for agent in ledger.agents(active=True)] == ["a@1"]


def test_a_restart_keeps_the_seat_and_a_promotion_begins_a_new_one(ledger):
    row = AgentRow(
        "a@1", "a", "1", "challenger", "B", "gp", proven=False, since_ts=5, until_ts=None
    )
    ledger.seat(row)
    ledger.seat(replace(row, since_ts=7))
    assert ledger.agents()[0].since_ts == 5
    ledger.seat(replace(row, since_ts=9, role="production"))
    assert ledger.agents()[0].since_ts == 9


def test_an_agent_that_comes_back_with_another_strategy_file_has_no_known_one(ledger):
    row = agent_row("a@1", "challenger", strategy="one", proven=True, proven_by="lived")
    ledger.seat(row)
    ledger.seat(row)
    assert ledger.agents() == [row]
    ledger.seat(replace(row, strategy="two"))
    assert ledger.agents()[0].strategy == ""
    ledger.seat(row)
    assert ledger.agents()[0].strategy == ""


def test_the_route_of_a_proof_is_kept_and_one_of_before_there_were_two_was_forged(ledger):
    ledger.seat(agent_row("a@1", proven=True))
    assert ledger.agents()[0].proven_by == "forged"
    for route in ("lived", ""):
        ledger.set_proof("a@1", route)
        assert (ledger.agents()[0].proven, ledger.agents()[0].proven_by) == (bool(route), route)


def test_the_life_in_shadow_is_what_the_newest_judgement_as_a_challenger_says(ledger):
    ledger.seat(agent_row("a@1", "challenger"))
    for ts, role, evidence, strategy in (
        (10, "challenger", 2.0, "one"),
        (20, "challenger", 3.0, "one"),
        (30, "production", 9.0, "two"),
    ):
        details = {"role": role, "gain_evidence": evidence, "trades": ts, "strategy": strategy}
        ledger.book_verdict(ts, "a@1", "1", "keep", "", details)
    ledger.book_shadow_fill(fill(7, "buy", 1, 100, agent="a@1", mode="shadow"))
    ledger.book_shadow_fill(fill(8, "sell", 1, 100, agent="a@1", mode="shadow"))
    assert ledger.shadow_lives() == [ShadowLife("a@1", "1", 20, 7, ("one",), 3.0, 20)]
    assert ledger.shadow_lives(10) == [ShadowLife("a@1", "1", 10, 7, ("one",), 2.0, 10)]
    assert ledger.instants_to_prove() == [10, 20, 30]
    ledger.set_proven_until(20)
    assert ledger.instants_to_prove() == [30]


def test_verdicts_that_are_damaged_are_a_fault_of_the_ledger(ledger):
    ledger.book_verdict(1, "a@1", "1", "keep", "", {})
    ledger._db.execute("UPDATE verdicts SET details = 'no JSON'")
    with pytest.raises(LedgerError, match="its verdicts cannot be read"):
        ledger.shadow_lives()


@pytest.mark.parametrize("field", ["qty", "price", "fee"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_fill_of_what_is_no_number_is_none(field, value):
    usual = {"qty": 1, "price": 100, "fee": 0, field: value}
    with pytest.raises(BookkeepingError, match="is not a fill"):
        fill(1, "buy", **usual)


def test_the_verdict_on_a_placebo_waits_for_nobody(ledger):
    ledger.seat(agent_row("a@1", "placebo"))
    assert ledger.book_verdict(10, "a@1", "1", "cull", "", {"role": "placebo"})
    assert ledger.waiting_verdicts() == []
    assert ledger.ending_verdict("a@1", 9) == "cull"
    assert ledger.ending_verdict("a@1", 10) == ""
