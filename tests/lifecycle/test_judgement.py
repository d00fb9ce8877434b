"""Judgements are due in market time, booked once, and carried out surely, whatever crashes in between."""

import json
import math
from dataclasses import replace
from decimal import Decimal

import pytest

from crucible.errors import StrategyError
from crucible.ledger.ledger import Ledger
from crucible.ledger.reader import AgentRow, PairMark
from crucible.lifecycle.judgement import Judged, book, carry_out, due, judge_all
from crucible.lifecycle.production import PromotionError
from crucible.lifecycle.replacement import forge_order, forge_seed
from crucible.operations.workspace import Workspace
from crucible.registry.admission import QUARANTINED
from crucible.registry.errors import RegistryError
from crucible.registry.models import Version
from crucible.registry.proof import digest
from crucible.watchtower.scorecard import score
from crucible.watchtower.verdicts import Verdict
from tests.support.contexts import context_of
from tests.support.factories import fill

SLOT, OTHER = "BTCUSDT-gp-1", "ETHUSDT-gp-1"
EXITS = {"stop": 0.02, "target": 0.02, "timeout": 600}
MINUTE, HOUR = 60_000, 3_600_000
QUARTER = 15 * MINUTE


class Registry:
    """Slots with a version in production each; some files cannot be read."""

    def __init__(self, files=None, forge_runs=0):
        self.files = files or {SLOT: {"exits": EXITS}, OTHER: {"exits": EXITS}}
        self.count = forge_runs
        self.seeds = []
        self.active = {slot: {"production": "1"} for slot in self.files}

    def version(self, slot, version):
        return Version(slot, version, "run", {})

    def aliases(self, slot):
        return self.active[slot]

    def forge_seeds(self, slot):
        return self.seeds or [""] * self.count

    def strategy(self, version):
        file = self.files[version.slot]
        if isinstance(file, Exception):
            raise file
        return file


def row(slot, role="production", since_ts=0):
    return AgentRow(f"{slot}@1", slot, "1", role, slot.split("-")[0], "gp", True, since_ts, None)


def judged(slot, judgement, ts=QUARTER):
    card = score(
        f"{slot}@1", ts, [], [], since_ts=0, last_fill_ts=None, largest_loss=0.02, largest_gain=0.02
    )
    return Judged(row(slot), card, Verdict(judgement, "it lost"))


@pytest.fixture
def context(tmp_path):
    run = Workspace.at(tmp_path).run("1")
    run.path.mkdir(parents=True)
    return context_of(tmp_path, registry=Registry(), run=run)


@pytest.fixture
def ledger(context):
    with Ledger(context.run.ledger) as opened:
        yield opened


class Door:
    """The door to production; it fails as it is told to."""

    def __init__(self, *errors):
        self.errors, self.passed = list(errors), []

    def __call__(self, slot, version, action, **why):
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        self.passed.append((slot, version, action, why["reason"], why["key"]))


def test_every_quarter_since_the_first_agent_is_due_once(ledger):
    assert due(ledger, 15) == []
    ledger.seat(row(SLOT, since_ts=QUARTER + 1))
    ledger.set_market_ts(4 * QUARTER + 7)
    assert due(ledger, 15) == [2 * QUARTER, 3 * QUARTER, 4 * QUARTER]
    ledger.set_last_judged(3 * QUARTER)
    assert due(ledger, 15) == [4 * QUARTER]
    ledger.set_last_judged(4 * QUARTER)
    assert due(ledger, 15) == []


def test_an_agent_that_is_on_its_way_out_is_judged_no_more(context, ledger):
    for slot in (SLOT, OTHER):
        ledger.seat(row(slot))
    ledger.set_role(f"{SLOT}@1", "draining")
    assert [one.row.slot for one in judge_all(context, ledger, HOUR, {})] == [OTHER]


def test_a_verdict_that_a_crash_kept_from_being_carried_out_is_carried_out_by_the_next_judgement(
    context, ledger
):
    book(context, ledger, judged(SLOT, "cull"))
    crash = Door(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        carry_out(context, ledger, crash, lambda *_: None)
    ledger.set_last_judged(QUARTER)
    door, orders = Door(), []
    with Ledger(context.run.ledger) as reopened:
        carry_out(context, reopened, door, lambda agent, order: orders.append((agent, order)))
        assert door.passed == [(SLOT, "1", "retire", "it lost", f"1:{QUARTER}")]
        assert [agent for agent, _ in orders] == [f"{SLOT}@1"]
        # Once and no more.
        carry_out(context, reopened, door, lambda *_: orders.append(None))
        assert len(door.passed) == len(orders) == 1


def test_a_crash_after_the_retirement_still_orders_the_replacement(context, ledger):
    book(context, ledger, judged(SLOT, "cull"))
    context.registry.active[SLOT] = {"retired": "1"}
    door, orders = Door(), []
    carry_out(context, ledger, door, lambda _agent, order: orders.append(order))
    assert door.passed == []
    assert orders[0]["reason"] == "version 1 was culled: it lost"
    assert ledger.waiting_verdicts() == []


def test_a_culled_agent_of_a_slot_that_left_the_settings_is_retired_and_not_replaced(
    context, ledger
):
    gone = "BTCUSDT-gp-77"
    context.registry.active[gone] = {"production": "1"}
    book(context, ledger, judged(gone, "cull"))
    door, orders = Door(), []
    carry_out(context, ledger, door, lambda _agent, order: orders.append(order))
    assert [passed[:3] for passed in door.passed] == [(gone, "1", "retire")]
    assert orders == []
    assert ledger.waiting_verdicts() == []


def test_what_fails_for_one_agent_waits_and_stops_no_other(context, ledger):
    for slot in (SLOT, OTHER):
        book(context, ledger, judged(slot, "cull"))
    door = Door(RegistryError("not now"))
    carry_out(context, ledger, door, lambda *_: None)
    assert [slot for slot, *_ in door.passed] == [OTHER]
    assert [row["agent"] for row in ledger.waiting_verdicts()] == [f"{SLOT}@1"]
    carry_out(context, ledger, door, lambda *_: None)
    assert ledger.waiting_verdicts() == []


def test_a_promotion_passes_the_door_once_and_one_that_is_refused_is_not_asked_for_again(
    context, ledger
):
    context.registry.active[SLOT] = {"challenger": "1"}
    book(context, ledger, judged(SLOT, "promote"))
    door = Door()
    for _ in range(2):
        carry_out(context, ledger, door, lambda *_: pytest.fail("nothing was culled"))
    assert door.passed == [(SLOT, "1", "promote", "it lost", f"1:{QUARTER}")]
    book(context, ledger, judged(SLOT, "promote", 2 * QUARTER))
    refused = Door(PromotionError("is not proven"))
    carry_out(context, ledger, refused, lambda *_: None)
    assert (refused.errors, ledger.waiting_verdicts()) == ([], [])


def test_whoever_was_retired_meanwhile_is_not_promoted(context, ledger):
    book(context, ledger, judged(SLOT, "promote"))
    context.registry.active[SLOT] = {"retired": "1"}
    door = Door()
    carry_out(context, ledger, door, lambda *_: None)
    assert (door.passed, ledger.waiting_verdicts()) == ([], [])


def test_while_its_verdict_waits_an_agent_is_not_judged_again(context, ledger):
    for slot in (SLOT, OTHER):
        ledger.seat(row(slot))
    book(context, ledger, judged(SLOT, "cull"))
    carry_out(context, ledger, Door(OSError("MLflow takes no files")), lambda *_: None)
    assert [one.row.slot for one in judge_all(context, ledger, HOUR, {})] == [OTHER]
    carry_out(context, ledger, Door(), lambda *_: None)
    assert len(judge_all(context, ledger, HOUR, {})) == 2


def test_who_is_neither_in_production_nor_a_challenger_is_not_judged(context, ledger):
    for slot in (SLOT, OTHER):
        ledger.seat(row(slot))
    context.registry.active[SLOT] = {"production": "2"}
    assert [one.row.slot for one in judge_all(context, ledger, HOUR, {})] == [OTHER]


def test_a_verdict_is_booked_and_logged_once_however_often_its_instant_is_judged(context, ledger):
    for _ in range(2):
        book(context, ledger, judged(SLOT, "cull"))
        book(context, ledger, judged(OTHER, "keep"))
    lines = context.run.performance_log.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["cull"]
    assert [one["agent"] for one in ledger.waiting_verdicts()] == [f"{SLOT}@1"]


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"exits": None},
        {"exits": {**EXITS, "timeout": 1e400}},
        {"exits": {**EXITS, "stop": 10**400}},
        {"exits": {**EXITS, "stop": "wide"}},
        *({"exits": {**EXITS, "stop": stop}} for stop in (math.nan, math.inf, 0.0, -0.1)),
        *({"exits": {**EXITS, "target": target}} for target in (math.nan, math.inf, 0.0)),
        StrategyError("no usable strategy.json"),
    ],
)
def test_a_version_whose_file_cannot_be_read_is_not_judged_and_everybody_else_is(
    context, ledger, bad
):
    context.__dict__["registry"] = Registry(
        {"a": {"exits": EXITS}, "b": bad, "c": {"exits": EXITS}}
    )
    for slot in "abc":
        ledger.seat(row(slot))
    assert [one.row.slot for one in judge_all(context, ledger, HOUR, {})] == ["a", "c"]


def test_a_registry_that_does_not_answer_is_asked_again_later(context, ledger):
    context.registry.files[OTHER] = RegistryError("not now")
    for slot in (SLOT, OTHER):
        ledger.seat(row(slot))
    with pytest.raises(RegistryError):
        judge_all(context, ledger, HOUR, {})


def test_the_next_forge_run_never_repeats_one_before_refused_ones_included(context, ledger):
    def culled(ts):
        orders = []
        book(context, ledger, judged(SLOT, "cull", ts))
        carry_out(context, ledger, Door(), lambda _agent, order: orders.append(order))
        return orders[0]["seed"]

    seeds = []
    for count in range(5):
        context.registry.count = count
        assert (
            culled(count * QUARTER)
            == forge_order(context.registry, SLOT, "the slot is empty")["seed"]
        )
        seeds.append(forge_order(context.registry, SLOT, "")["seed"])
    assert seeds == [forge_seed(SLOT, number) for number in range(1, 6)]
    assert len({*seeds, forge_seed(OTHER, 1)}) == 6
    # One that was ordered later began first, and another waits; whatever waits for another slot takes no seed.
    context.registry.seeds = [str(forge_seed(SLOT, 2))]
    unfinished = [
        {"slot": SLOT, "seed": str(forge_seed(SLOT, 3))},
        {"slot": OTHER, "seed": forge_seed(SLOT, 4)},
        {"slot": SLOT, "resume": "a key"},
    ]
    order = forge_order(context.registry, SLOT, "", unfinished=unfinished)
    assert order["seed"] == forge_seed(SLOT, 4)


def trade(ledger, slot, number=1):
    for side, price in (("buy", 100), ("sell", 101)):
        at = {"agent": f"{slot}@1", "mode": "shadow", "exec_id": f"{slot}{side}{number}"}
        ledger.book_shadow_fill(fill(number, side, 1, price, **at))


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("equity", "equity", "NaN"),
        ("equity", "equity", "Infinity"),
        ("fills", "price", "NaN"),
        ("fills", "fee", "Infinity"),
        ("fills", "price", "-Infinity"),
    ],
)
def test_an_agent_of_whom_something_is_no_number_is_named_not_judged_and_the_others_are(
    context, ledger, caplog, table, column, value
):
    for slot in (SLOT, OTHER):
        context.registry.active[slot] = {"challenger": "1"}
        ledger.seat(row(slot, role="challenger"))
        trade(ledger, slot)
        ledger.book_equity(2, [(f"{slot}@1", "shadow", Decimal(100))])
    assert len(judge_all(context, ledger, HOUR, {})) == 2
    ledger._db.execute(f"UPDATE {table} SET {column} = ? WHERE agent = ?", (value, f"{SLOT}@1"))  # noqa: S608
    assert [one.row.slot for one in judge_all(context, ledger, HOUR, {})] == [OTHER]
    (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert error.startswith(f"{SLOT}@1 is not judged: ")
    assert value.lower()[:3] in error.lower()


def test_what_is_booked_names_the_file_that_was_traded_if_it_is_the_one_it_was_judged_by(
    context, ledger
):
    ledger.seat(replace(row(SLOT), strategy=digest(context.registry.files[SLOT])))
    ledger.seat(replace(row(OTHER), strategy="of another file"))
    for one in judge_all(context, ledger, HOUR, {}):
        book(context, ledger, one)
    booked = {one["agent"]: one["details"]["strategy"] for one in ledger.verdicts()}
    assert booked == {f"{SLOT}@1": digest({"exits": EXITS}), f"{OTHER}@1": ""}


def test_a_challenger_is_compared_with_whom_trades_and_judged_by_its_gain_where_nobody_does(
    context, ledger
):
    context.registry.active[SLOT] = {"production": "7", "challenger": "1"}
    ledger.seat(row(SLOT, "challenger"))
    ledger.book_pairs([PairMark(f"{SLOT}@1", f"{SLOT}@7", QUARTER, 0.01, 0.0, True, False)])

    def card():
        (one,) = judge_all(context, ledger, HOUR, {})
        return one.card

    assert card().incumbent == f"{SLOT}@7"
    assert card().pair_evidence > 1
    refused = Version(SLOT, "7", "run", {QUARANTINED: "it raised"})
    known = context.registry.version
    context.registry.version = lambda slot, number: (
        refused if number == "7" else known(slot, number)
    )
    assert (card().incumbent, card().pair_evidence) == ("", None)
