"""What the views say is what the ledger has, to the last digit, and nothing is read without bounds."""

import os
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from starlette.testclient import TestClient

from crucible.dashboard.app import make_app
from crucible.dashboard.curves import POINTS
from crucible.forge.progress import SLOTS, Progress, note_outcome, write_slots
from crucible.ledger.ledger import Ledger
from crucible.ledger.trades import pair
from crucible.operations.alerts.changes import ProductionChange, write_change
from crucible.operations.reconciliation.accounts import plain
from crucible.operations.workspace import read_json, write_json
from tests.support.factories import agent_row
from tests.support.pages import (
    BEGAN,
    CAUSE,
    DAY_MS,
    ENDED,
    LIVES,
    NOW,
    OTHER,
    QUARTER_MS,
    RIVAL,
    announce,
    ask,
)


def net(trades, payments):
    return sum((each.pnl for each in trades), Decimal(0)) - sum(
        (each.amount for each in payments), Decimal(0)
    )


def test_profit_of_today_and_of_all_is_the_ledgers(client, ledger):
    money = ask(client, "overview")["money"]
    periods = {period["name"]: period for period in money["periods"]}
    live = [each for each in ledger.trades() if each.mode == "live"]
    today = BEGAN + 2 * DAY_MS
    assert periods["all"]["net"] == plain(net(live, ledger.payments()))
    assert periods["all"]["trades"] == len(live)
    fees = [each.fee for each in ledger.fills() if each.mode == "live"]
    assert periods["all"]["fees"] == plain(sum(fees, Decimal(0)))
    assert periods["all"]["funding"] == plain(
        sum((p.amount for p in ledger.payments()), Decimal(0))
    )
    of_today = [each for each in live if each.exit_ts >= today]
    paid = [each for each in ledger.payments() if each.ts >= today]
    assert of_today
    assert periods["today"]["net"] == plain(net(of_today, paid))
    # Two days and a quarter of one lie in a week.
    assert periods["week"]["net"] == periods["all"]["net"]


def test_the_whole_profit_is_cash_and_open_positions_at_the_arenas_price(client, ledger):
    money = ask(client, "overview")["money"]
    live = [each for each in ledger.fills() if each.mode == "live"]
    cash = sum((each.cash for each in live), Decimal(0))
    cash -= sum((each.amount for each in ledger.payments()), Decimal(0))
    held = sum((each.signed_qty for each in live), Decimal(0))
    assert held > 0
    assert money["profit"] == plain(cash + held * 100)
    books = pair(live)[1]
    assert money["at_work"] == plain(sum((abs(book.cost) for book in books.values()), Decimal(0)))


def test_a_position_without_a_price_is_not_known_instead_of_nothing(workspace, client, ledger):
    from crucible.operations.workspace import read_json, write_json

    run = workspace.current()
    shown = read_json(run.arena)
    holder = next(row for row in shown["agents"] if Decimal(row["position"]))
    holder["pnl"] = None
    write_json(run.arena, shown)
    found = ask(TestClient(make_app(workspace)), "overview")
    assert found["money"]["unknown"] == [holder["agent"]]
    assert [found["money"][name] for name in ("profit", "equity", "open")] == [None] * 3
    live = [each for each in ledger.fills() if each.mode == "live"]
    others = [each for each in live if each.agent != holder["agent"]]
    closed = [each for each in ledger.trades(holder["agent"]) if each.mode == "live"]
    cash = sum((each.cash for each in others), Decimal(0))
    cash += sum((each.signed_qty for each in others), Decimal(0)) * 100
    cash += sum((each.pnl for each in closed), Decimal(0))
    cash -= sum((each.amount for each in ledger.payments()), Decimal(0))
    assert Decimal(found["money"]["known_profit"]) == cash
    curve = ask(TestClient(make_app(workspace)), "curve")
    assert curve["ts"][-1] < NOW
    assert len(curve["equity"]) == len(curve["ts"])
    assert "not known" in curve["note"]
    limits = {row["what"]: row for row in ask(client, "execution")["limits"]}
    for name in ("day's loss of one agent", "day's loss of all"):
        assert limits[name]["used"] is None
        assert limits[name]["share"] is None
        assert holder["agent"] in limits[name]["why"]
    assert limits["all positions"]["used"] is not None
    row = next(row for row in ask(client, "agents")["rows"] if row["agent"] == holder["agent"])
    assert row["result"] is None


def test_births_and_ends_carry_their_cause_and_keep_verdicts_push_nothing_off(client):
    found = ask(client, "overview")
    assert [row["agent"] for row in found["deaths"]] == [ENDED]
    assert found["deaths"][0]["cause"] == f"cull: {CAUSE}"
    assert {row["agent"] for row in found["births"]} == {ENDED, LIVES, OTHER, RIVAL}
    assert found["endings"] == 1
    assert found["agents"] == {"production": 2, "challenger": 1}
    events = ask(client, "events?kinds=verdict")["events"]
    assert [event["text"] for event in events] == [f"cull: {CAUSE}"]


def test_a_leaving_whose_cause_was_not_kept_is_shown_as_not_kept(workspace, client):
    gone, again, promoted = (f"BTCUSDT-gp-2@{n}" for n in (1, 2, 3))
    with Ledger(workspace.current().ledger) as ledger:
        for name in (gone, again, promoted):
            ledger.seat(agent_row(name, "challenger", since_ts=BEGAN + DAY_MS))
            ledger.unseat(name, NOW)
        # The verdict is of an earlier life; a promotion that was not carried out ends nobody.
        ledger.book_verdict(BEGAN, again, "2", "cull", CAUSE, {"role": "challenger"})
        ledger.book_verdict(NOW - 1, promoted, "3", "promote", "gains", {"role": "challenger"})
    found = TestClient(make_app(workspace))
    lives = {life["agent"]: life for life in ask(found, "population")["lives"]}
    words = "not kept: the ledger has no verdict that ended it"
    assert [lives[name]["cause"] for name in (gone, again, promoted)] == [words] * 3
    assert lives[ENDED]["cause"] == f"cull: {CAUSE}"
    assert ask(found, f"agents/{gone}")["cause_of_end"] == words
    deaths = {row["agent"]: row["cause"] for row in ask(found, "overview")["deaths"]}
    assert deaths[gone] == words


def test_who_lost_its_seat_by_a_change_ended_by_that_and_by_whom(workspace, client):
    run = workspace.current()
    first, second, third, fourth = (f"BTCUSDT-gp-2@{n}" for n in (1, 2, 3, 4))
    with Ledger(run.ledger) as written:
        for name in (first, second, third, fourth):
            # The newest life of the fourth was in shadow: no seat in production was taken from it.
            role = "challenger" if name == fourth else "production"
            written.seat(agent_row(name, role, since_ts=BEGAN + DAY_MS))
            written.unseat(name, NOW)
    slot = "BTCUSDT-gp-2"
    for key, change in enumerate(
        (
            ProductionChange(slot, "2", "promoted", "1", "2", "singularity", "it is proven"),
            ProductionChange(slot, "1", "rolled back", "2", "1", "ann", "too eager"),
            ProductionChange(slot, "3", "retired", "3", None, "bob", "enough"),
            ProductionChange(slot, "4", "retired", "4", None, "bob", "in another life"),
        )
    ):
        write_change(run, msgspec.structs.replace(change, key=str(key)))
    found = TestClient(make_app(workspace))
    lives = {life["agent"]: life for life in ask(found, "population")["lives"]}
    assert [lives[name]["cause"] for name in (first, second, third)] == [
        "replaced by version 2 (singularity): it is proven",
        "rolled back to version 1 (ann): too eager",
        "retired (bob): enough",
    ]
    unknown = lives[fourth]["cause"]
    assert unknown == "not kept: the ledger has no verdict that ended it"


@pytest.mark.parametrize("is_folder", [False, True])
def test_changes_that_cannot_be_read_are_said_and_the_page_goes_on(workspace, client, is_folder):
    run = workspace.current()
    with Ledger(run.ledger) as written:
        written.seat(agent_row("BTCUSDT-gp-2@1", since_ts=BEGAN + DAY_MS))
        written.unseat("BTCUSDT-gp-2@1", NOW)
    path = run.path / "changes.jsonl"
    if is_folder:
        path.mkdir()
    else:
        path.write_text("no change\n")
    found = ask(TestClient(make_app(workspace)), "overview")
    causes = {row["agent"]: row["cause"] for row in found["deaths"]}
    begin = f"not known: {path} cannot be read" if is_folder else f"not known: 1 line of {path}"
    assert causes["BTCUSDT-gp-2@1"].startswith(begin)
    assert causes[ENDED] == f"cull: {CAUSE}"


def test_the_cause_of_an_end_is_known_behind_any_number_of_newer_ones(
    workspace, client, monkeypatch
):
    monkeypatch.setattr("crucible.ledger.tally._KEPT_ENDINGS", 5)
    with Ledger(workspace.current().ledger) as ledger:
        for number in range(20):
            ledger.book_verdict(NOW + number, "ETHUSDT-gp-9@1", "1", "cull", "x", {})
    found = ask(TestClient(make_app(workspace)), f"agents/{ENDED}")
    assert found["cause_of_end"] == f"cull: {CAUSE}"


def test_slots_say_how_many_are_filled_and_what_the_others_wait_for(workspace, client):
    found = ask(client, "overview")["slots"]
    assert (found["filled"], found["of"]) == (2, 5)
    waits = {row["slot"]: row["waits_for"] for row in found["empty"]}
    assert waits["BTCUSDT-gp-2"] == "the first look at the slots"
    rows = [{"slot": "BTCUSDT-gp-2", "rests": True, "forgings without a version": 3}]
    write_slots(workspace.path / "forge", rows, [], ["BTCUSDT-boosted-1"])
    again = ask(TestClient(make_app(workspace)), "overview")["slots"]["empty"]
    waits = {row["slot"]: row["waits_for"] for row in again}
    assert "3 forge runs in a row" in waits["BTCUSDT-gp-2"]
    assert "under way or queued" in waits["BTCUSDT-boosted-1"]


def test_a_damaged_file_of_slots_is_said_with_its_path(workspace, client):
    path = workspace.path / "forge" / SLOTS
    path.parent.mkdir(exist_ok=True)
    path.write_text("[")
    client = TestClient(make_app(workspace))
    found = ask(client, "overview")
    assert {row["waits_for"] for row in found["slots"]["empty"] if "gp-2" in row["slot"]} == {
        f"not known: {ask(client, 'forge-runs')['slots_fault']}"
    }
    said = [each["text"] for each in found["warnings"] if str(path) in each["text"]]
    assert len(said) == 1
    assert "is damaged" in said[0]


def test_judgements_that_lie_far_behind_the_market_are_a_warning(workspace, client):
    run = workspace.current()
    announce(workspace, run, {"cerebellum": os.getpid()}, {}, {})

    def said():
        found = ask(TestClient(make_app(workspace)), "overview")["warnings"]
        return [each["text"] for each in found if "has been judged" in each["text"]]

    assert said() == []
    with Ledger(run.ledger) as written:
        written.set_last_judged(NOW - 2 * 3_600_000)
    (text,) = said()
    assert "no agent has been judged since 2025-01-03 04:00 UTC, for 2.0 market hours" in text
    # On a fast market so many hours are seconds.
    write_json(run.facts, {**read_json(run.facts), "speed": 180})
    assert said() == []


def test_total_equity_ends_at_the_profit_of_now_and_stays_with_what_ended_agents_earned(
    client, ledger
):
    curve, money = ask(client, "curve"), ask(client, "overview")["money"]
    assert len(curve["ts"]) <= POINTS + 1
    assert curve["ts"][-1] == NOW
    assert curve["equity"][-1] == money["equity"]
    place = curve["ts"].index(BEGAN + DAY_MS)
    ended = net(ledger.trades(ENDED), ledger.payments(ENDED))
    marks = dict(ledger.equity(OTHER)), dict(ledger.equity(LIVES))
    expected = ended + sum(each[BEGAN + DAY_MS] - 10_000 for each in marks)
    assert Decimal(curve["equity"][place]) - Decimal(money["base"]) == expected
    assert all(before < after for before, after in pairwise(curve["ts"]))


def test_the_table_of_agents_has_every_agent_with_the_sums_of_its_trades(client, ledger):
    rows = {row["agent"]: row for row in ask(client, "agents")["rows"]}
    assert set(rows) == {ENDED, LIVES, OTHER, RIVAL}
    for name, row in rows.items():
        trades = ledger.trades(name)
        assert row["trades"] == len(trades)
        assert row["net"] == plain(net(trades, ledger.payments(name)))
    assert rows[RIVAL]["simulated"] is True
    assert rows[RIVAL]["gain_evidence"] == 2.5
    assert rows[LIVES]["proof"] == "lived"
    assert rows[ENDED]["state"] == "ended"


def test_only_marks_of_one_mode_are_compared_with_each_other_and_it_is_named(workspace, client):
    promoted, second = "ETHUSDT-gp-2@1", "ETHUSDT-gp-3@1"
    with Ledger(workspace.current().ledger) as ledger:
        ledger.seat(agent_row(promoted, symbol="ETHUSDT", since_ts=NOW - 20 * QUARTER_MS))
        ledger.seat(agent_row(second, "challenger", since_ts=BEGAN))
        for n in range(60):
            ts = NOW - (n + 1) * QUARTER_MS
            other = dict(ledger.equity(OTHER))[ts]
            # As a challenger it moved against the other one, at the venue it moves with it.
            mode, value = ("live", other) if n < 20 else ("shadow", 99_000 - other)
            ledger.book_equity(ts, [(promoted, mode, value), (second, "shadow", other)])
    groups = ask(TestClient(make_app(workspace)), "correlations")["groups"]
    assert [group["mode"] for group in groups] == ["live", "shadow"]
    venue, simulated = groups
    assert set(venue["agents"]) == {LIVES, OTHER, promoted}
    assert set(simulated["agents"]) == {RIVAL, second}
    row, column = venue["agents"].index(OTHER), venue["agents"].index(promoted)
    assert venue["matrix"][row][column] == 1.0
    assert venue["changes"][row][column] == 19
    assert simulated["changes"][0][1] == 59


def test_an_agents_page_has_its_trades_evidence_bounds_and_last_decision(client, ledger):
    found = ask(client, f"agents/{LIVES}")
    trades = ledger.trades(LIVES)
    assert [row["net"] for row in found["trades_shown"]] == [
        plain(each.net_pnl) for each in reversed(trades)
    ]
    assert found["equity"]["equity"][-1] == str(ledger.equity(LIVES)[-1][1])
    assert found["bounds"]["cull_at"] == pytest.approx(20)
    assert {row["gain_evidence"] for row in found["evidence"]} == {1.4}
    assert found["evidence"][-1]["ts"] == ledger.last_judged()
    words = found["decisions"][0]["words"]
    for part in (
        "ordered to buy 0.25",
        "101.5",
        "edge 0.61 x 1.4",
        "radar x0.8",
        "radar_distance 2.5",
    ):
        assert part in words
    assert found["parity_days"][0]["disagreements"] == ["one departure"]
    assert ask(client, f"agents/{ENDED}")["cause_of_end"] == f"cull: {CAUSE}"
    assert client.get("/api/agents/nobody@1").status_code == 404


def test_without_mlflow_a_rule_is_not_known_and_the_page_says_so(client):
    found = ask(client, f"version?name={LIVES}")
    assert found["known"] is False
    assert "not known" in found["why"]
    assert client.get("/api/version?name=nobody@1").status_code == 404


def test_a_market_shows_who_entered_and_left_and_why(client, ledger):
    found = ask(client, "market?symbol=ETHUSDT&span=1d")
    mine = [each for each in ledger.fills(OTHER) if each.exec_ts >= NOW - DAY_MS]
    assert [(row["agent"], row["price"], row["reason"]) for row in found["fills"]] == [
        (OTHER, str(each.price), each.reason) for each in reversed(mine)
    ]
    assert found["holders"][0]["qty"] == str(ledger.live_position(OTHER, "ETHUSDT"))
    assert found["candles_until_ts"] is None
    assert client.get("/api/market?symbol=DOGEUSDT").status_code == 404


def test_a_market_with_more_fills_than_it_shows_is_thinned_evenly_over_the_whole_time(
    workspace, client, ledger, monkeypatch
):
    most = 10
    monkeypatch.setattr("crucible.dashboard.views.market.MARKS", most)
    # Fills of another symbol, which are newer, take no place.
    mine = [
        each.exec_ts
        for each in ledger.fills()
        if each.symbol == "BTCUSDT" and each.exec_ts >= BEGAN
    ]
    assert len(mine) > 3 * most
    found = ask(TestClient(make_app(workspace)), "market?symbol=BTCUSDT&span=1w")
    shown = [row["ts"] for row in found["fills"]][::-1]
    assert len(shown) == most
    assert found["fills_left_out"] == len(mine) - most
    places = [sorted(mine).index(ts) for ts in shown]
    assert places[-1] >= len(mine) - 2
    gaps = [after - before for before, after in pairwise(places)]
    assert places[0] < len(mine) / most
    assert max(gaps) - min(gaps) <= 2
    whole = ask(client, "market?symbol=ETHUSDT&span=3h")
    assert whole["fills_left_out"] == 0


def test_lives_name_whom_they_replaced(client):
    lives = {life["agent"]: life for life in ask(client, "population")["lives"]}
    assert lives[LIVES]["replaced"] == ENDED
    assert lives[ENDED]["cause"] == f"cull: {CAUSE}"
    assert lives[OTHER]["replaced"] is None


def test_forge_runs_under_way_their_queue_and_what_the_last_ones_came_to(workspace, client):
    folder = workspace.path / "forge"
    Progress("BTCUSDT-gp-2", 7, "evolving", 3, 8, 0.5, 360).write(folder / "key-1")
    (folder / "key-2").mkdir()
    (folder / "key-2" / "progress.json").write_text("{")
    note_outcome(folder, "ETHUSDT-gp-1", 1, "ETHUSDT-gp-1: refused by deflated_sharpe")
    actions = [{"action": "forge", "slot": "BTCUSDT-boosted-1", "reason": "the slot is empty"}]
    write_slots(folder, [], actions, ["BTCUSDT-gp-2"])
    found = ask(client, "forge-runs")
    assert [row["slot"] for row in found["running"]] == ["", "BTCUSDT-gp-2"]
    assert "progress.json" in found["running"][0]["fault"]
    assert (found["running"][1]["generation"], found["running"][1]["trials"]) == (3, 360)
    assert found["queue"] == [{"slot": "BTCUSDT-boosted-1", "reason": "the slot is empty"}]
    assert found["outcomes"][0]["outcome"].endswith("refused by deflated_sharpe")


def test_an_empty_workspace_answers_every_question(workspace):
    client = TestClient(make_app(workspace))
    for name in (
        "overview",
        "curve",
        "agents",
        "correlations",
        "population",
        "forge-runs",
        "execution",
        "events",
        "accounts",
    ):
        assert client.get(f"/api/{name}").status_code == 200, name
    assert client.get("/api/market").status_code == 404
    assert client.get("/api/nothing").status_code == 404


def test_what_is_no_number_in_a_ledger_takes_no_view_away(workspace, client):
    run = workspace.current()
    with Ledger(run.ledger) as ledger:
        ledger.book_verdict(NOW + 1, LIVES, "2", "keep", "", {"gain_evidence": float("nan")})
        ledger.set_last_judged(NOW + 1)
    rows = ask(TestClient(make_app(workspace)), "agents")["rows"]
    assert next(row for row in rows if row["agent"] == LIVES)["gain_evidence"] is None
