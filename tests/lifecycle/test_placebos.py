"""Placebos are judged as challengers are, counted over all runs, and nothing is done because of one."""

import json
from decimal import Decimal

import numpy as np
import pytest
from prefect.logging import disable_run_logger

import flows.watchtower
from crucible.ledger.ledger import Ledger
from crucible.ledger.reader import PLACEBO
from crucible.lifecycle.checks import placebos
from crucible.lifecycle.checks.placebos import check_all, judge_placebos, report_placebos
from crucible.lifecycle.judgement import book, carry_out, judge_all, scorecard_rows
from crucible.lifecycle.lived import Proving, lives
from crucible.lifecycle.records import EVALUATIONS, Records
from crucible.market.funding import Funding
from crucible.operations.status import read_status
from crucible.operations.tables import placebos_line
from crucible.operations.workspace import Workspace
from crucible.registry.version import TRADING_GAP, Version
from crucible.settings import Settings
from crucible.strategies.contract import Exits
from crucible.strategies.placebo import Placebo
from tests.support.contexts import context_of
from tests.support.factories import agent_row, fill

SLOT = "BTCUSDT-gp-1"
CHALLENGER, NAME = f"{SLOT}@1", "BTCUSDT-placebo-1@1"
EXITS = {"stop": 0.02, "target": 0.02, "timeout": 600}
GAP = 30.0
MINUTE, QUARTER, DAY = 60_000, 900_000, 86_400_000


class Registry:
    """One slot with a challenger; it knows no placebo."""

    def version(self, slot, version):
        assert slot == SLOT
        return Version(slot, version, "run", {TRADING_GAP: str(GAP)})

    def aliases(self, slot):
        assert slot == SLOT
        return {"challenger": "1"}

    def strategy(self, version):
        assert version.slot == SLOT
        return {"exits": EXITS}


class System:
    """A workspace whose runs can be written."""

    def __init__(self, folder):
        self.workspace = Workspace.at(folder)
        self.settings = Settings(home=folder)
        self.begin()

    def begin(self):
        run = self.workspace.new_run()
        self.context = context_of(self.workspace.path, self.settings, registry=Registry(), run=run)

    def ledger(self):
        return Ledger(self.context.run.ledger)


@pytest.fixture
def system(tmp_path):
    return System(tmp_path)


def seat(ledger, name=NAME, since_ts=0, **changes):
    """Seat a placebo as the arena does."""
    slot, _, number = name.partition("@")
    symbol = slot.partition("-")[0]
    ledger.seat(agent_row(name, PLACEBO, symbol=symbol, kind=PLACEBO, since_ts=since_ts, **changes))
    strategy = Placebo(symbol, Exits(0.02, 0.02, 600), GAP, 1, int(number))
    ledger.keep_shadow(name, {"strategy": strategy.to_json(), "decided_ts": 0, "execution": {}})


def trade(ledger, name, returns, gap_ms=40 * MINUTE):
    for number, value in enumerate(returns):
        for place, (side, price) in enumerate((("buy", "100"), ("sell", str(100 + 100 * value)))):
            at = number * gap_ms + (1 + 20 * place) * MINUTE
            details = {"agent": name, "mode": "shadow", "exec_id": f"{name}{side}{number}"}
            ledger.book_shadow_fill(fill(number, side, 1, price, exec_ts=at, **details))
    for number in range(len(returns)):
        ledger.book_equity(number * QUARTER, [(name, "shadow", Decimal(10_000 + number))])


def judged(system, ledger, ts=DAY, rates=None):
    return judge_placebos(system.context, ledger, ts, rates or {})


LIVES = {
    "promote": [0.01] * 25,
    "cull": [-0.01] * 25,
    "futile": [0.004, -0.012] * 10,
    "keep": [0.01, -0.01] * 3,
    "idle": [],
}


@pytest.mark.parametrize("life", LIVES)
def test_a_placebo_gets_the_verdict_that_a_challenger_with_its_trades_gets(system, life):
    ts = np.arange(1, 4) * 8 * 60 * MINUTE
    rates = {"BTCUSDT": Funding("BTCUSDT", ts, np.array([0.001, -0.002, 0.001]))}
    with system.ledger() as ledger:
        ledger.seat(agent_row(CHALLENGER, "challenger"))
        seat(ledger)
        for name in (CHALLENGER, NAME):
            trade(ledger, name, LIVES[life])
        (theirs,) = judge_all(system.context, ledger, DAY, rates)
        (ours,) = judged(system, ledger, DAY, rates)
    assert ours.verdict == theirs.verdict
    figures = {**theirs.card.to_json(), "agent": NAME}
    assert ours.card.to_json() == figures
    assert (theirs.equity, ours.proven_by, ours.strategy) == (ours.equity, "", "")
    expected = {"futile": "cull", "idle": "cull"}.get(life, life)
    assert ours.verdict.judgement == expected


@pytest.mark.parametrize("life", ["promote", "cull"])
def test_a_verdict_on_a_placebo_promotes_retires_proves_and_forges_nobody(system, life):
    def refused(*_, **__):
        pytest.fail("a placebo is nobody to act on")

    with system.ledger() as ledger:
        seat(ledger)
        seat(ledger, "BTCUSDT-placebo-1@40", since_ts=5)
        trade(ledger, NAME, LIVES[life])
        (ours, _) = judged(system, ledger)
        book(system.context, ledger, ours)
        assert [row["details"]["role"] for row in ledger.verdicts()] == [PLACEBO]
        assert ledger.waiting_verdicts() == []
        carry_out(system.context, ledger, refused, refused)
        assert not system.context.run.performance_log.exists()
        found = lives(system.context, ledger, 10 * DAY)
        assert (found.lives, found.newest) == ({}, {})
        (row,) = scorecard_rows([ours], Proving())
        assert (row["role"], row["figures"]) == (PLACEBO, "simulated")


def test_whoever_has_a_verdict_is_judged_no_more_and_whoever_is_kept_is(system):
    with system.ledger() as ledger:
        for name in (NAME, "ETHUSDT-placebo-1@1"):
            seat(ledger, name)
        trade(ledger, NAME, LIVES["promote"])
        for one in judged(system, ledger, 1_000 * MINUTE):
            book(system.context, ledger, one)
        assert [one.row.agent for one in judged(system, ledger, DAY)] == ["ETHUSDT-placebo-1@1"]
        ledger.unseat("ETHUSDT-placebo-1@1", DAY)
        assert judged(system, ledger, 2 * DAY) == []


def test_one_whose_state_or_figures_are_damaged_is_named_and_the_others_are_judged(system, caplog):
    with system.ledger() as ledger:
        for number in range(1, 5):
            seat(ledger, f"BTCUSDT-placebo-1@{number}")
        ledger.keep_shadow("BTCUSDT-placebo-1@2", {"strategy": {"gap": "often"}})
        ledger._db.execute("DELETE FROM meta WHERE key = 'shadow:BTCUSDT-placebo-1@3'")
        ledger.book_equity(5, [("BTCUSDT-placebo-1@4", "shadow", Decimal("NaN"))])
        assert [one.row.version for one in judged(system, ledger, QUARTER)] == ["1"]
    named = [one.getMessage()[:19] for one in caplog.records if one.levelname == "ERROR"]
    assert named == [f"BTCUSDT-placebo-1@{number}" for number in (2, 3, 4)]


def lived(ledger, number, verdict="keep", evidence=1.0, since_ts=0):
    name = f"BTCUSDT-placebo-1@{number}"
    seat(ledger, name, since_ts)
    details = {"role": PLACEBO, "gain_evidence": evidence, "since_ts": since_ts}
    ledger.book_verdict(since_ts + QUARTER, name, str(number), verdict, "", details)
    ledger.set_market_ts(since_ts + QUARTER)


def test_lives_of_every_run_count_once_and_those_of_a_market_lived_before_do_not(system):
    with system.ledger() as ledger:
        lived(ledger, 1, "promote", 25.0, since_ts=0)
        lived(ledger, 2, since_ts=4 * QUARTER)
        check = check_all(system.context, ledger)
        assert (check.promoted.lives, check.promoted.count, check.proven.count) == (2, 1, 1)
    system.begin()
    with system.ledger() as ledger:
        lived(ledger, 1, "promote", since_ts=5 * QUARTER)
        check = check_all(system.context, ledger)
        assert (check.promoted.lives, check.promoted.count) == (3, 2)
        assert (check.promoted.rate, check.proven.rate) == (pytest.approx(0.2), 0.05)
    system.begin()  # crucible up --start
    with system.ledger() as ledger:
        for number in range(1, 6):
            lived(ledger, number, "promote", since_ts=number * QUARTER // 10)
        assert check_all(system.context, ledger).promoted.lives == 3


def test_the_count_stands_in_the_status_for_people_and_programs_and_an_alarm_is_red(system, caplog):
    assert read_status(system.workspace, ask=False).to_json()["placebos"] is None
    with system.ledger() as ledger:
        lived(ledger, 1, "promote")
        fine = report_placebos(system.context, ledger)
        status = read_status(system.workspace, ask=False)
        assert status.to_json()["placebos"]["promoted"]["count"] == 1
        line = placebos_line(status.placebos)
        assert (line.plain, str(line.style)) == (fine, "dim")
        assert "ALARM" not in caplog.text
        for number in range(2, 30):
            lived(ledger, number, "promote", since_ts=number * QUARTER)
        loud = report_placebos(system.context, ledger)
    line = placebos_line(read_status(system.workspace, ask=False).placebos)
    assert (line.plain, str(line.style)) == (loud, "bold red")
    assert loud.startswith("ALARM: Placebos: 29 of 29 promoted")
    assert loud in caplog.text


def test_a_ledger_that_cannot_be_read_leaves_the_count_as_it_was_and_is_named(system, caplog):
    with system.ledger() as ledger:
        lived(ledger, 1)
        report_placebos(system.context, ledger)
        before = system.context.run.placebos.read_text()
        lived(ledger, 2, "promote", since_ts=QUARTER)
        ledger._db.execute("UPDATE verdicts SET details = '{' WHERE version = '1'")
        assert "counted later" in report_placebos(system.context, ledger)
    assert system.context.run.placebos.read_text() == before
    assert "ledger.sqlite: its verdicts cannot be read" in caplog.text


def test_one_turn_of_the_watchtower_judges_them_beside_the_agents_and_says_how_many(
    system, monkeypatch
):
    shown = {}
    with system.ledger() as ledger:
        seat(ledger)
        trade(ledger, NAME, LIVES["promote"])
        ledger.set_market_ts(DAY)
        ledger.set_last_judged(DAY - QUARTER)
    watchtower = flows.watchtower
    monkeypatch.setattr(watchtower, "load_context", lambda _log: system.context)
    monkeypatch.setattr(watchtower, "judge_all", judge_all)
    monkeypatch.setattr(watchtower, "promotion", lambda *_, **__: pytest.fail("nobody to promote"))
    monkeypatch.setattr(watchtower, "emit_event", lambda **_: pytest.fail("no forge run"))
    monkeypatch.setattr(watchtower.judgement, "settlements", lambda *_: {})
    monkeypatch.setattr(watchtower.judgement, "record", lambda *_: None)
    monkeypatch.setattr(watchtower, "create_table_artifact", lambda **given: shown.update(given))
    with disable_run_logger():
        # What is counted there are agents.
        assert watchtower.watchtower.fn() == {"keep": 0, "cull": 0, "promote": 0}
    assert [(row["agent"], row["verdict"]) for row in shown["table"]] == [(NAME, "promote")]
    assert "Placebos: 1 of 1 promoted, stated at most 20%" in shown["description"]
    assert json.loads(system.context.run.placebos.read_text())["alarm"] is False


def test_a_run_that_has_ended_is_read_once(system):
    with system.ledger() as ledger:
        lived(ledger, 1)
    ended = system.context.run.ledger
    system.begin()
    with system.ledger() as ledger:
        assert check_all(system.context, ledger).promoted.lives == 1
        ended.unlink()
        ended.touch()
        assert check_all(system.context, ledger).promoted.lives == 1
    assert placebos._ended_run.cache_info().hits >= 1


def test_a_placebos_life_is_a_run_of_its_own_in_mlflow_without_a_model(registry, system):
    slot = "BTCUSDT-placebo-1"
    with system.ledger() as ledger:
        lived(ledger, 1, "cull", 0.5)
        assert Records(registry).evaluate("run-1", ledger.unrecorded()) == 1
    [life] = registry.other_experiment(EVALUATIONS, "").all(f"tags.slot = '{slot}'")
    assert life.info.run_name == f"evaluate {slot}@1 shadow"
    assert (life.data.tags["role"], life.data.tags["outcome"]) == (PLACEBO, "cull")
    assert life.data.metrics["gain_evidence"] == 0.5
    assert slot not in registry.newest_numbers()
