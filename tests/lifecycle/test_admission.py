"""May this version trade here? One answer, whoever asks."""

import itertools

import pytest

from crucible.errors import Rule
from crucible.lifecycle.admission import serving
from crucible.lifecycle.forge_runs import has_challenger
from crucible.lifecycle.production import Decision, PromotionError, change_production
from crucible.lifecycle.publishing import MadeBy, offer
from crucible.lifecycle.records import Begun
from crucible.registry.admission import QUARANTINED, REFUSED, Rules, refusal
from crucible.registry.proof import Gate, Proof, digest
from crucible.registry.version import Version
from crucible.settings import Settings
from tests.support.contexts import context_of

SLOT = "BTCUSDT-gp-1"
FILE = {"exits": {"stop": 0.02}}
GATES = (Gate("deflated_sharpe", 0.99, 0.95, "higher"),)
PROOF = Proof(SLOT, "1", "run", digest(FILE), "strict", "schema", "data", "code", 100, GATES)
UNPROVEN = Version(SLOT, "1", "run", {}, None, "it has no proof")
PROVEN = Version(SLOT, "1", "run", {}, PROOF)


@pytest.mark.parametrize(
    ("venue", "policy"),
    [*itertools.product(("paper", "testnet", "live"), ("explore", "strict"))],
)
def test_only_paper_under_explore_trades_what_is_not_proven(venue, policy):
    rules = Rules(venue, policy)
    free = (venue, policy) == ("paper", "explore")
    assert rules.only_proven is not free
    assert bool(refusal(UNPROVEN, rules, None)) is not free
    assert refusal(PROVEN, rules, digest(FILE)) == ""
    assert bool(refusal(PROVEN, rules, digest({"other": 1}))) is not free


@pytest.mark.parametrize("rules", [Rules("paper", "explore"), Rules("live", "strict")])
def test_a_quarantined_version_trades_nowhere_and_a_refused_one_until_the_arena_has_looked(rules):
    quarantined = Version(SLOT, "1", "run", {QUARANTINED: "it raised"}, PROOF)
    assert "it raised" in refusal(quarantined, rules, digest(FILE))
    assert "it raised" in refusal(quarantined, rules, digest(FILE), asked_by_arena=True)
    refused = Version(SLOT, "1", "run", {REFUSED: "other schema"}, PROOF)
    assert "other schema" in refusal(refused, rules, digest(FILE))
    assert refusal(refused, rules, digest(FILE), asked_by_arena=True) == ""


class Registry:
    """A slot with a version in production and one that challenges it."""

    def __init__(self, **held):
        self.held = held
        self.proven: set[str] = set()
        self.promoted: list[str] = []
        self.tags: dict[str, dict[str, str]] = {}
        self.retired: dict[str, str] = {}

    def aliases(self, slot):
        return self.held

    def version(self, slot, number):
        proof = Proof(slot, number, "run", digest(FILE), "strict", "s", "d", "c", 1, GATES)
        return Version(
            slot, number, "run", self.tags.get(number, {}), proof if number in self.proven else None
        )

    def find_version(self, slot, number):
        return self.version(slot, number)

    def what_there_is(self, slot):
        return "; ".join(f"{alias} is version {number}" for alias, number in self.held.items()) or (
            "no version of it is registered yet"
        )

    def strategy(self, version):
        return FILE

    def set_alias(self, slot, alias, version):
        self.held[alias] = version

    def retire(self, slot, version, reason):
        self.retired[version] = reason
        self.held = {alias: held for alias, held in self.held.items() if held != version}

    def promote(self, slot, version, reason, replaced=None):
        self.promoted.append(version)
        replaced, self.held["production"] = self.held.get("production"), version
        return replaced


@pytest.fixture
def recorded(monkeypatch):
    """What is left in MLflow of every change."""
    changes = []

    class Kept:
        def __init__(self, registry):
            pass

        def begin(self, change):
            changes.append(change)
            return Begun("run", change.before)

        def finish(self, run_id):
            pass

        def version_of(self, slot, decision, action):
            return None

        def notice(self, slot, report):
            return None

    monkeypatch.setattr("crucible.lifecycle.production.Records", Kept)
    return changes


def strict(folder, registry):
    return context_of(folder, Settings(home=folder, forge={"policy": "strict"}), registry=registry)


def test_on_paper_under_strict_no_unproven_version_is_promoted_and_the_refusal_is_recorded(
    tmp_path, recorded
):
    registry = Registry(challenger="2")
    decision = Decision("a person", "it looks good", "key", {}, {"prefect_link": "page"})
    with pytest.raises(PromotionError, match=r"version 2 is not proven .* the policy is strict"):
        change_production(strict(tmp_path, registry), SLOT, "challenger", "promote", decision)
    assert registry.promoted == []
    (change,) = recorded
    assert (change.action, change.version, change.after) == ("refused", "2", None)
    assert change.links == {"prefect_link": "page"}
    registry.proven.add("2")
    change_production(strict(tmp_path, registry), SLOT, "challenger", "promote", decision)
    assert registry.promoted == ["2"]
    assert recorded[-1].action == "promoted"


def test_on_paper_under_strict_an_unproven_version_takes_no_empty_seat_and_blocks_no_proven_one(
    tmp_path, recorded
):
    registry = Registry()
    context = strict(tmp_path, registry)
    assert offer(context, registry.version(SLOT, "1"), MadeBy()) == "the challenger"
    assert (registry.held, serving(context, SLOT)) == ({"challenger": "1"}, {})
    assert has_challenger(context, SLOT) == ""
    registry.proven.add("2")
    reported = offer(context, registry.version(SLOT, "2"), MadeBy("run", "page"))
    assert reported == "in production, since the production seat was empty"
    assert registry.held["production"] == "2"
    assert serving(context, SLOT) == {"challenger": "2", "production": "2"}
    assert "version 2 became its challenger" in has_challenger(context, SLOT)


def test_a_proven_version_takes_the_seat_of_one_that_may_not_trade(tmp_path, recorded):
    registry = Registry(production="1")
    context = strict(tmp_path, registry)
    registry.proven.add("2")
    offer(context, registry.version(SLOT, "2"), MadeBy())
    assert registry.held["production"] == "2"
    # One that may not trade takes no seat from it.
    assert "production" not in offer(context, registry.version(SLOT, "3"), MadeBy())
    assert registry.held["production"] == "2"


def test_a_proven_version_takes_production_of_an_unproven_one_then_the_challengers_seat(
    tmp_path, recorded
):
    registry = Registry(production="1", challenger="2")
    context = context_of(tmp_path, Settings(home=tmp_path), registry=registry)
    assert "version 2 stays" in offer(context, registry.version(SLOT, "3"), MadeBy())
    registry.proven |= {"4", "5"}
    reported = offer(context, registry.version(SLOT, "4"), MadeBy())
    assert reported == "in production, since it is proven and version 1 is not"
    assert registry.held == {"production": "4", "challenger": "2"}
    assert offer(context, registry.version(SLOT, "5"), MadeBy()) == "the challenger"
    assert registry.held == {"production": "4", "challenger": "5"}
    assert registry.retired == {"2": "replaced by version 5: it is proven and version 2 is not"}
    assert [(change.action, change.version) for change in recorded] == [
        ("promoted", "4"),
        ("retired", "2"),
    ]
    # Where both are proven nobody yields to a newer one.
    registry.proven.add("6")
    assert "version 5 stays" in offer(context, registry.version(SLOT, "6"), MadeBy())


def test_a_roll_back_makes_production_what_it_replaced_and_is_recorded_as_one(tmp_path, recorded):
    registry = Registry(production="2")
    registry.tags["2"] = {"replaced": "1"}
    registry.proven |= {"1", "2"}
    decision = Decision("a person", "it was better before", "key")
    assert change_production(strict(tmp_path, registry), SLOT, "", "roll back", decision) == "1"
    assert (registry.promoted, recorded[-1].action) == (["1"], "rolled back")
    assert (recorded[-1].before, recorded[-1].after) == ("2", "1")


@pytest.mark.parametrize(
    ("version", "change"), [("challenger", "promote"), ("9x", "retire"), ("", "roll back")]
)
def test_what_does_not_exist_is_named_with_what_there_is(tmp_path, recorded, version, change):
    context = context_of(tmp_path, registry=Registry())
    what = (
        "nothing to roll back to"
        if change == "roll back"
        else f"no version '{version}' to {change}"
    )
    with pytest.raises(
        PromotionError, match=rf"{what}.*; no version of it is registered yet"
    ) as ended:
        change_production(context, SLOT, version, change, Decision("a person", "", "key"))
    assert ended.value.rule == Rule.NOTHING_TO_CHANGE
