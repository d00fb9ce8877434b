"""The roster seats what may trade, says why of what may not, and survives the registry's absence."""

import time
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from crucible.arena.roster import Requirements, Roster, edge_of
from crucible.arena.sizing import Edge
from crucible.settings import Slot
from crucible.strategies.proof import (
    Gate,
    MeasuredEdge,
    Proof,
    ProofError,
    digest,
    open_sealed,
    seal,
)
from crucible.strategies.registry import Active, RegistryError, Version
from tests.documented import answers

SLOT = Slot.parse("BTCUSDT-gp-1")
SCHEMA = "0123456789abcdef"
KEY = "a key of this home"
PROMISED = answers("Homes, secrets and proofs")


def document(**changes):
    return {
        "format": "crucible.strategy/1",
        "kind": "gp",
        "slot": SLOT.name,
        "symbol": "BTCUSDT",
        "schema_hash": SCHEMA,
        "features": ["x"],
        "exits": {"stop": 0.01, "target": 0.02, "timeout": 60},
        "program": ["trade", ["gt", "x", 1.0], ["lt", "x", 0.0]],
        **changes,
    }


@dataclass
class Shelf:
    """A registry in memory that can be unplugged."""

    files: dict
    aliases: list
    tags: dict = field(default_factory=dict)
    key: str | None = None
    down: bool = False
    loads: int = 0

    def active(self, slots):
        if self.down:
            message = "down"
            raise RegistryError(message)
        return [Active(alias, self.version(number)) for alias, number in self.aliases]

    def version(self, number):
        held = self.tags.get(number, {})
        found = Version(SLOT.name, number, "run", held)
        try:
            proof = open_sealed(held.get("proof"), self.key, SLOT.name, number, "run")
        except ProofError as error:
            return replace(found, doubt=str(error))
        return replace(found, proof=proof)

    def strategy(self, version):
        self.loads += 1
        return self.files[version.version]

    def tag(self, slot, version, tags):
        self.tags.setdefault(version, {}).update(tags)


def roster(shelf, *, real_money=False, symbols=("BTCUSDT",), poll=0.05):
    return Roster(shelf, [SLOT], Requirements(SCHEMA, symbols, real_money), poll)


def test_production_and_challenger_are_seated_in_their_roles():
    shelf = Shelf({"1": document(), "2": document()}, [("production", "1"), ("challenger", "2")])
    assert [(s.seat.agent, s.seat.role) for s in roster(shelf).refresh()] == [
        ("BTCUSDT-gp-1@1", "production"),
        ("BTCUSDT-gp-1@2", "challenger"),
    ]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (document(schema_hash="f" * 16), "feature schema"),
        (document(program=["trade", ["no_such", "x", 1], ["lt", "x", 0]]), "no_such"),
        ({"format": "other"}, "format"),
    ],
)
def test_a_version_that_cannot_be_served_is_refused_and_tagged_with_the_reason(file, reason):
    shelf = Shelf({"1": file}, [("production", "1")])
    watched = roster(shelf)
    assert watched.refresh() == []
    assert reason in watched.refused["BTCUSDT-gp-1@1"]
    assert reason in shelf.tags["1"]["arena_refused"]


def sealed(file, *, key=KEY, version="1", gate=0.99, edge=None):
    gates = (Gate("deflated_sharpe", gate, 0.95, "higher"),)
    facts = ("strict", SCHEMA, "data", "code", 100, gates, edge)
    return {"proof": seal(Proof(SLOT.name, version, "run", digest(file), *facts), key)}


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({}, "it has no proof"),
        ({"proven": "true"}, PROMISED["no-proof"][0]),
        ({"proven": "true", "proof": "true"}, PROMISED["forged-proof"][0]),
        ({"proven": "true", **sealed(document(), key="another home's")}, "not sealed by this home"),
        (
            {"proven": "true", **sealed(document(), version="2")},
            "belongs to BTCUSDT-gp-1 version 2",
        ),
        ({"proven": "true", **sealed(document(), gate=0.9)}, "it failed deflated_sharpe"),
        ({"proven": "true", **sealed(document(symbol="ETHUSDT"))}, "not the one that was judged"),
    ],
)
def test_only_evidence_under_the_homes_seal_admits_to_real_money(tags, reason):
    shelf = Shelf({"1": document()}, [("production", "1")], {"1": tags}, KEY)
    watched = roster(shelf, real_money=True)
    assert watched.refresh() == []
    assert reason in watched.refused["BTCUSDT-gp-1@1"]
    (on_paper,) = roster(shelf).refresh()
    assert not on_paper.seat.proven
    assert (reason in tags.get("not_proven", "")) == ("proven" in tags)


def test_a_proven_version_trades_where_money_is_real_with_the_edge_that_was_measured():
    edge = MeasuredEdge(40, 0.6, 1.5)
    larger = {"edge_trades": "9000", "edge_win_rate": "1", "edge_payoff": "100"}
    tags = {**larger, **sealed(document(), edge=edge)}
    shelf = Shelf({"1": document()}, [("production", "1")], {"1": tags}, KEY)
    (seated,) = roster(shelf, real_money=True).refresh()
    assert seated.seat.proven
    assert seated.seat.edge == Edge(40, 0.6, 1.5)


def test_a_version_whose_proof_goes_away_under_it_leaves():
    tags = sealed(document())
    shelf = Shelf({"1": document()}, [("production", "1")], {"1": tags}, KEY)
    watched = roster(shelf, real_money=True)
    assert len(watched.refresh()) == 1
    shelf.tags["1"] = {"proven": "true"}
    assert watched.refresh() == []
    shelf.tags["1"] = tags
    assert len(watched.refresh()) == 1


def test_a_version_is_loaded_once():
    shelf = Shelf({"1": document()}, [("production", "1")])
    watched = roster(shelf)
    first, second = watched.refresh(), watched.refresh()
    assert shelf.loads == 1
    assert first[0].strategy is second[0].strategy


def test_the_thread_tells_only_of_changes_and_keeps_the_roster_while_the_registry_is_down():
    shelf = Shelf({"1": document(), "2": document()}, [("production", "1")])
    watched = roster(shelf)
    watched.start()
    try:
        assert [s.seat.version for s in await_change(watched)] == ["1"]
        time.sleep(0.3)
        assert watched.latest() is None
        shelf.down = True
        time.sleep(0.3)
        assert watched.latest() is None
        assert not watched.reachable
        shelf.aliases, shelf.down = [("production", "2")], False
        assert [s.seat.version for s in await_change(watched)] == ["2"]
    finally:
        watched.stop()


def await_change(watched):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        latest = watched.latest()
        if latest is not None:
            return latest
        time.sleep(0.02)
    pytest.fail("no roster within 5 s")


def test_the_edge_is_read_from_tags_or_missing_never_invented():
    tags = {"edge_trades": "12", "edge_win_rate": "0.5", "edge_payoff": "1.5"}
    told = partial(Version, SLOT.name, "1", "run")
    assert edge_of(told(tags)).trades == 12
    for payoff in ("often", "nan", "inf", "0", "-1"):
        assert edge_of(told({**tags, "edge_payoff": payoff})) is None
    assert edge_of(told({**tags, "edge_win_rate": "nan"})) is None
    assert edge_of(told({})) is None
