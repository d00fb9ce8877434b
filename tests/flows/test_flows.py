"""Each flow does what its page says, without a stack: names, artifacts and what it leaves to the library."""

from types import SimpleNamespace

import pytest
from prefect.exceptions import PrefectException
from prefect.logging import disable_run_logger

import flows.arena
import flows.ingest
import flows.promotion
import flows.singularity
import flows.watchtower
from crucible.forge.progress import read_slots
from crucible.ledger.ledger import Ledger
from crucible.ledger.reader import AgentRow
from crucible.lifecycle.production import PromotionError
from crucible.lifecycle.replacement import forge_seed
from crucible.lifecycle.seats import SeatAction, SeatPlan
from crucible.operations.workspace import Workspace
from crucible.settings import Settings
from crucible.text import moment
from crucible.watchtower.verdicts import Verdict
from tests.support.contexts import context_of

QUARTER = 900_000
SLOT = "BTCUSDT-gp-1"


@pytest.fixture(autouse=True)
def _no_run():
    with disable_run_logger():
        yield


@pytest.fixture
def context(tmp_path, monkeypatch):
    run = Workspace.at(tmp_path).run("1")
    run.path.mkdir(parents=True)
    made = context_of(
        tmp_path,
        Settings(home=tmp_path),
        run=run,
        registry=SimpleNamespace(forge_seeds=lambda slot: ["1", "2"]),
        _configuration={"symbols": ["BTCUSDT", "ETHUSDT"], "origin_ms": 0},
    )
    for module in (flows.arena, flows.ingest, flows.promotion, flows.singularity, flows.watchtower):
        monkeypatch.setattr(module, "load_context", lambda _log=None: made)
    return made


# --- promotion -------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["promote", "roll back", "retire"])
def test_the_promotion_flow_hands_on_who_decided_why_and_on_which_evidence(
    context, monkeypatch, action
):
    asked = []
    monkeypatch.setattr(
        flows.promotion, "change_production", lambda *what: asked.append(what) or "3"
    )
    done = flows.promotion.promotion.fn(
        SLOT, "3", action, "it gains", "watchtower", {"trades": 9}, "1:900000"
    )
    assert done == "3"
    ((given, slot, version, change, decision),) = asked
    assert (given, slot, version, change) == (context, SLOT, "3", action)
    assert (decision.decided_by, decision.reason) == ("watchtower", "it gains")
    assert (decision.evidence, decision.key) == ({"trades": 9}, "1:900000")


def test_a_refused_promotion_fails_its_flow_run_with_the_reason(context, monkeypatch):
    def refuse(*_):
        message = "version 3 is quarantined"
        raise PromotionError(message)

    monkeypatch.setattr(flows.promotion, "change_production", refuse)
    with pytest.raises(PromotionError, match="version 3 is quarantined"):
        flows.promotion.promotion.fn(SLOT)


# --- singularity -----------------------------------------------------------------------------------


@pytest.fixture
def orders(monkeypatch):
    """Every flow run that is ordered, and every change of production."""
    made = SimpleNamespace(runs=[], changes=[])
    monkeypatch.setattr(
        flows.singularity, "run_deployment", lambda name, **how: made.runs.append((name, how))
    )
    monkeypatch.setattr(
        flows.singularity, "promotion", lambda *what, **why: made.changes.append((what, why))
    )
    monkeypatch.setattr(flows.singularity, "notice_changes", lambda _context: ["noticed"])
    monkeypatch.setattr(flows.singularity, "unfinished_runs", lambda _name: [])
    return made


def plan_of(monkeypatch, *actions):
    monkeypatch.setattr(flows.singularity, "plan", lambda _context: list(actions))


def test_singularity_retires_seats_orders_and_starts_an_arena_where_none_runs(
    context, orders, monkeypatch
):
    plan_of(
        monkeypatch,
        SeatAction("retire", "a", "1", "quarantined: it raised"),
        SeatAction("seat", "b", "2", "the production seat was empty"),
        SeatAction("forge", "c", None, "the slot is empty"),
        SeatAction("renew", "d", None, "version 2 is unproven"),
    )
    assert flows.singularity.singularity.fn() == [
        "arena started: none was running",
        "noticed",
        "a: version 1 retired: quarantined: it raised",
        "b: version 2 seated in production: the production seat was empty",
        "c: forge run ordered: the slot is empty",
        "d: forge run ordered: version 2 is unproven",
    ]
    assert [(what, why["decided_by"]) for what, why in orders.changes] == [
        (("a", "1", "retire"), "singularity"),
        (("b", "2", "promote"), "singularity"),
    ]
    (arena, forge, renewal) = orders.runs
    assert forge[0] == "forge/forge"
    assert forge[1]["parameters"]["only_without_challenger"] is True
    assert forge[1]["flow_run_name"] == "forge c"
    # Made although the slot has a challenger.
    assert renewal[1]["parameters"]["only_without_challenger"] is False
    assert arena[0] == "arena/arena"


def test_a_slot_that_cannot_be_filled_keeps_no_other_empty(context, orders, monkeypatch):
    def refuse_a(slot, *_what, **_why):
        if slot == "a":
            message = "a version 1 is quarantined"
            raise PromotionError(message)

    monkeypatch.setattr(flows.singularity, "promotion", refuse_a)
    monkeypatch.setattr(flows.singularity, "unfinished_runs", lambda _name: ["an arena"])
    plan_of(monkeypatch, *(SeatAction("seat", slot, "1", "empty") for slot in "ab"))
    assert flows.singularity.singularity.fn() == [
        "noticed",
        "b: version 1 seated in production: empty",
    ]


def test_the_plan_leaves_out_slots_whose_forge_run_is_under_way_and_is_shown_as_a_table(
    context, monkeypatch
):
    runs, asked, shown = [SimpleNamespace(parameters={"slot": "b"})], [], []
    monkeypatch.setattr(flows.singularity, "unfinished_runs", lambda name: runs)
    monkeypatch.setattr(
        flows.singularity,
        "plan_seats",
        lambda *given: asked.append(given) or SeatPlan([], [{"slot": "a"}]),
    )
    monkeypatch.setattr(
        flows.singularity, "create_table_artifact", lambda **given: shown.extend(given["table"])
    )
    context.__dict__["exchange"] = SimpleNamespace(closed_until=lambda symbol: 5)
    assert flows.singularity.plan.fn(context) == []
    assert asked == [(context, ["b"], 5)]
    assert shown == [{"slot": "a"}]
    kept = read_slots(context.forge_folder(""))
    assert (kept.rows, kept.under_way) == ([{"slot": "a"}], ["b"])


# --- watchtower ------------------------------------------------------------------------------------


def test_the_watchtower_judges_nothing_where_there_is_no_ledger(context, monkeypatch):
    context.run.ledger.mkdir()
    assert flows.watchtower.watchtower.fn() == {"keep": 0, "cull": 0, "promote": 0}


def test_the_watchtower_first_finishes_what_was_left_and_judges_every_due_instant_once(
    context, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        flows.watchtower.judgement, "carry_out", lambda *_: seen.append("carried out")
    )
    monkeypatch.setattr(flows.watchtower.lived, "prove_by_living", lambda *_: seen.append("proven"))
    monkeypatch.setattr(flows.watchtower.judgement, "settlements", lambda *_: {})
    monkeypatch.setattr(flows.watchtower.judgement, "record", lambda *_: seen.append("recorded"))
    monkeypatch.setattr(
        flows.watchtower, "judge_all", lambda _context, _ledger, ts, _rates: seen.append(ts) or []
    )
    with Ledger(context.run.ledger) as ledger:
        row = AgentRow(f"{SLOT}@1", SLOT, "1", "production", "BTCUSDT", "gp", True, 0, None)
        ledger.seat(row)
        ledger.set_market_ts(2 * QUARTER)
    flows.watchtower.watchtower.fn()
    # Proof comes before the promotion that asks for it; what an earlier judgement left comes first.
    first, second = ([ts, "proven", "carried out"] for ts in (QUARTER, 2 * QUARTER))
    assert seen == ["proven", "carried out", *first, *second, "recorded"]
    seen.clear()
    flows.watchtower.watchtower.fn()
    assert seen == ["proven", "carried out", "recorded"]


def test_a_cull_is_reported_as_the_event_that_starts_the_forge_run_of_its_replacement(monkeypatch):
    events = []
    monkeypatch.setattr(flows.watchtower, "emit_event", lambda **event: events.append(event))
    order = {"slot": SLOT, "seed": 7, "reason": "it lost", "only_without_challenger": True}
    flows.watchtower.Replacements().order(f"{SLOT}@1", order)
    (event,) = events
    assert event["event"] == "crucible.agent.culled"
    assert event["resource"]["prefect.resource.id"] == f"crucible.agent.{SLOT}"
    # What prefect.yaml puts into the parameters of the forge run.
    assert event["payload"] == {"slot": SLOT, "seed": 7, "reason": "it lost"}


@pytest.fixture
def seeds_ordered(context, monkeypatch):
    """Seeds of the replacements that are ordered, where versions 1 and 2 were culled and nothing is due."""
    seeds = []
    watchtower = flows.watchtower
    monkeypatch.setattr(watchtower.lived, "prove_by_living", lambda *_: None)
    monkeypatch.setattr(watchtower.judgement, "record", lambda *_: None)
    monkeypatch.setattr(watchtower, "promotion", lambda *_, **__: None)
    monkeypatch.setattr(
        watchtower, "emit_event", lambda **event: seeds.append(event["payload"]["seed"])
    )
    context.registry.aliases = lambda slot: {"production": "1", "challenger": "2"}
    with Ledger(context.run.ledger) as ledger:
        for version in "12":
            ledger.book_verdict(QUARTER, f"{SLOT}@{version}", version, "cull", "it lost", {})
    return seeds


def test_the_replacement_of_a_cull_has_a_seed_that_no_forge_run_of_the_slot_has_that_waits(
    seeds_ordered, monkeypatch
):
    # One that was asked for by `crucible forge-now` and has not begun; the registry knows two that ran.
    waits = SimpleNamespace(parameters={"slot": SLOT, "seed": forge_seed(SLOT, 3)})
    monkeypatch.setattr(flows.watchtower, "unfinished_runs", {"forge": [waits]}.__getitem__)
    flows.watchtower.watchtower.fn()
    # Nor have two that are ordered at once the same.
    assert seeds_ordered == [forge_seed(SLOT, 4), forge_seed(SLOT, 5)]


def test_a_replacement_is_ordered_by_a_later_run_where_prefect_does_not_say_what_waits(
    context, seeds_ordered, monkeypatch
):
    def no_answer(_deployment):
        message = "database is locked"
        raise PrefectException(message)

    monkeypatch.setattr(flows.watchtower, "unfinished_runs", no_answer)
    flows.watchtower.watchtower.fn()
    assert seeds_ordered == []
    with Ledger(context.run.ledger) as ledger:
        assert len(ledger.waiting_verdicts()) == 2
    # By then they are retired.
    context.registry.aliases = lambda slot: {}
    monkeypatch.setattr(flows.watchtower, "unfinished_runs", lambda _deployment: [])
    flows.watchtower.watchtower.fn()
    assert seeds_ordered == [forge_seed(SLOT, 3), forge_seed(SLOT, 4)]


def test_what_was_judged_is_booked_counted_and_shown_as_a_table(context, monkeypatch):
    booked, shown = [], []
    verdicts = [SimpleNamespace(verdict=Verdict(what, "")) for what in ("keep", "cull", "keep")]
    for one in verdicts:
        one.card = SimpleNamespace(ts=QUARTER)
    monkeypatch.setattr(flows.watchtower.judgement, "due", lambda *_: [QUARTER])
    monkeypatch.setattr(flows.watchtower.judgement, "settlements", lambda *_: {})
    monkeypatch.setattr(flows.watchtower.judgement, "record", lambda *_: None)
    monkeypatch.setattr(flows.watchtower.judgement, "book", lambda *what: booked.append(what[2]))
    monkeypatch.setattr(flows.watchtower.judgement, "scorecard_rows", lambda rows, _: [len(rows)])
    monkeypatch.setattr(flows.watchtower, "judge_all", lambda *_: verdicts)
    monkeypatch.setattr(
        flows.watchtower, "create_table_artifact", lambda **given: shown.append(given)
    )
    assert flows.watchtower.watchtower.fn() == {"keep": 2, "cull": 1, "promote": 0}
    assert booked == verdicts
    assert shown[0]["table"] == [3]
    assert f"market time {moment(QUARTER)} UTC" in shown[0]["description"]


# --- ingest ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("symbols", "trained"), [(None, 1), (["ETHUSDT"], 0)])
def test_ingest_refreshes_what_is_asked_and_trains_the_influence_model_once(
    context, monkeypatch, symbols, trained
):
    asked, training, shown = [], [], []

    class Refresh:
        def with_options(self, task_run_name):
            return lambda symbol: (
                asked.append(symbol)
                or SimpleNamespace(
                    symbol=symbol, total=10, added=3, first_ts=0, last_ts=9, gaps=((4, 2), (8, 1))
                )
            )

    monkeypatch.setattr(flows.ingest, "refresh", Refresh())
    monkeypatch.setattr(flows.ingest, "train", lambda: training.append(1))
    monkeypatch.setattr(flows.ingest, "create_table_artifact", lambda **table: shown.append(table))
    wanted = symbols or ["BTCUSDT", "ETHUSDT"]
    assert flows.ingest.ingest.fn(symbols) == dict.fromkeys(wanted, 3)
    assert asked == wanted
    assert [row["missing"] for row in shown[0]["table"]] == [3] * len(wanted)
    assert len(training) == trained
    context.influence_file.parent.mkdir(parents=True, exist_ok=True)
    context.influence_file.touch()
    flows.ingest.ingest.fn(symbols)
    assert len(training) == trained


# --- arena -----------------------------------------------------------------------------------------


def test_a_second_arena_on_the_same_run_is_refused_before_it_builds_anything(context, monkeypatch):
    from crucible.operations.errors import AlreadyRunningError

    monkeypatch.setattr(flows.arena, "trade", lambda _context: 5)
    assert flows.arena.arena.fn() == 5

    def second(_context):
        return flows.arena.arena.fn()

    monkeypatch.setattr(flows.arena, "trade", second)
    with pytest.raises(AlreadyRunningError):
        flows.arena.arena.fn()


def test_the_arenas_loop_is_never_asked_to_stop_and_reports_that_it_lives(monkeypatch):
    import threading

    events, sent = [], threading.Event()

    def emit(**event):
        events.append(event["payload"])
        sent.set()

    monkeypatch.setattr(flows.arena, "emit_event", emit)
    should_stop = flows.arena.alive(SimpleNamespace(market_ts=7, minutes=3))
    assert not should_stop()
    assert sent.wait(5)
    assert not should_stop()
    assert events == [{"market_ts": 7, "minutes": 3}]
