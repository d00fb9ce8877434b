"""The roster seats what may trade, says why of what may not, and survives the registry's absence."""

import time
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.arena.registry_watcher import QUARANTINED, RegistryWatcher, Requirements, edge_of
from crucible.features.frame import FeatureSchema
from crucible.ledger.edge import Edge
from crucible.registry.admission import Rules
from crucible.registry.errors import RegistryError
from crucible.registry.models import Active, Version, with_proofs
from crucible.registry.proof import (
    Gate,
    LivedProof,
    MeasuredEdge,
    Proof,
    digest,
    seal,
)
from crucible.settings import Slot
from tests.support.documented import answers
from tests.support.polling import until
from tests.support.strategies import strategy_file

SLOT = Slot.parse("BTCUSDT-gp-1")
SCHEMA = FeatureSchema(("x", "y"), {})
KEY = "a key of this workspace"
PROMISED = answers("Homes, secrets and proofs")


def document(**changes):
    program = ["trade", ["gt", "x", 1.0], ["lt", "x", 0.0]]
    return strategy_file(SLOT, **{"schema_hash": SCHEMA.hash, "program": program, **changes})


@dataclass
class Shelf:
    """A registry in memory that can be unplugged."""

    files: dict
    aliases: list
    tags: dict = field(default_factory=dict)
    key: str | None = None
    down: bool = False
    loads: int = 0
    failing: dict = field(default_factory=dict)
    tagged: list = field(default_factory=list)

    def active(self, slots, unread=None):
        if self.down:
            message = "down"
            raise RegistryError(message)
        found = []
        for alias, number in self.aliases:
            if self.failing.get(number) == "version":
                unread[SLOT.name, number] = "not now"
            else:
                found.append(Active(alias, self.version(number)))
        return found

    def version(self, number):
        found = Version(SLOT.name, number, "run", dict(self.tags.get(number, {})))
        return with_proofs(found, self.key)

    def strategy(self, version):
        self.loads += 1
        if self.failing.get(version.version) == "strategy":
            message = "not now"
            raise RegistryError(message)
        file = self.files[version.version]
        if isinstance(file, Exception):
            raise file
        return file

    def tag(self, slot, version, tags):
        if self.failing.get(version) == "tag":
            message = "not now"
            raise RegistryError(message)
        self.tagged.append((version, dict(tags)))
        self.tags.setdefault(version, {}).update(tags)


PAPER, REAL, STRICT = (
    Rules("paper", "explore"),
    Rules("testnet", "strict"),
    Rules("paper", "strict"),
)


def roster(shelf, *, rules=PAPER, symbols=("BTCUSDT",), poll=0.05):
    return RegistryWatcher(shelf, [SLOT], Requirements(SCHEMA, symbols, rules), poll)


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
        (document(features=["z"], program=["trade", ["gt", "z", 1], ["lt", "z", 0]]), "reads z"),
        (document(exits={"stop": 10**400, "target": 0.02, "timeout": 60}), "exits.stop"),
        (document(symbol="\ud800"), "half of a character"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (MemoryError(), "MemoryError"),
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


def test_a_seat_knows_its_pace_where_the_version_says_it():
    shelf = Shelf({"1": document(), "2": document()}, [("production", "1"), ("challenger", "2")])
    shelf.tags = {"1": {"minutes_between_trades": "41.5"}, "2": {"minutes_between_trades": "soon"}}
    assert [seated.seat.gap for seated in roster(shelf).refresh()] == [41.5, None]


def test_a_version_that_another_arena_refused_loses_the_tag_where_it_is_seated():
    shelf = Shelf({"1": document()}, [("production", "1")])
    shelf.tags["1"] = {"arena_refused": "made with another feature schema"}
    assert [seated.seat.agent for seated in roster(shelf).refresh()] == ["BTCUSDT-gp-1@1"]
    assert shelf.tags["1"]["arena_refused"] == ""


def sealed(file, *, key=KEY, version="1", gate=0.99, edge=None):
    gates = (Gate("deflated_sharpe", gate, 0.95, "higher"),)
    facts = ("strict", SCHEMA.hash, "data", "code", 100, gates, edge)
    return {"proof": seal(Proof(SLOT.name, version, "run", digest(file), *facts), key)}


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({}, "it has no proof"),
        ({"proven": "true"}, PROMISED["no-proof"][0]),
        ({"proven": "true", "proof": "true"}, PROMISED["forged-proof"][0]),
        (
            {"proven": "true", **sealed(document(), key="another workspace's")},
            "not sealed by this workspace",
        ),
        (
            {"proven": "true", **sealed(document(), version="2")},
            "belongs to BTCUSDT-gp-1 version 2",
        ),
        ({"proven": "true", **sealed(document(), gate=0.9)}, "it failed deflated_sharpe"),
        ({"proven": "true", **sealed(document(symbol="ETHUSDT"))}, "not the one that was judged"),
    ],
)
@pytest.mark.parametrize("rules", [REAL, STRICT])
def test_only_evidence_under_the_homes_seal_admits_to_real_money_and_to_the_strict_policy(
    rules, tags, reason
):
    shelf = Shelf({"1": document()}, [("production", "1")], {"1": dict(tags)}, KEY)
    watched = roster(shelf, rules=rules)
    assert watched.refresh() == []
    assert reason in watched.refused["BTCUSDT-gp-1@1"]
    assert reason in shelf.tags["1"]["arena_refused"]
    (on_paper,) = roster(shelf).refresh()
    assert not on_paper.seat.proven
    assert not shelf.tags["1"]["arena_refused"]
    assert (reason in shelf.tags["1"].get("not_proven", "")) == ("proven" in tags)


def test_a_proven_version_trades_where_money_is_real_with_the_edge_that_was_measured():
    edge = MeasuredEdge(40, 0.6, 1.5)
    larger = {"edge_trades": "9000", "edge_win_rate": "1", "edge_payoff": "100"}
    tags = {**larger, **sealed(document(), edge=edge)}
    shelf = Shelf({"1": document()}, [("production", "1")], {"1": tags}, KEY)
    (seated,) = roster(shelf, rules=REAL).refresh()
    assert seated.seat.proven
    assert seated.seat.edge == Edge(40, 0.6, 1.5)


def lived(file, *, key=KEY, version="1", evidence=20.0):
    facts = (SCHEMA.hash, evidence, 80, 1, 1, 0.05, 900_000, "0001")
    return {"lived_proof": seal(LivedProof(SLOT.name, version, "run", digest(file), *facts), key)}


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"proven_by": "lived", "lived_proof": "true"}, PROMISED["forged-life"][0]),
        (lived(document(), key="another workspace's"), PROMISED["forged-life"][0]),
        (
            {"lived_proof": lived(document())["lived_proof"].replace('"trades":80', '"trades":81')},
            PROMISED["forged-life"][0],
        ),
        (lived(document(), version="2"), PROMISED["copied-life"][0]),
        (lived(document(symbol="ETHUSDT")), "not the one that lived"),
        (lived(document(), evidence=19.9), "the evidence of its life is not enough"),
    ],
)
@pytest.mark.parametrize("rules", [REAL, STRICT])
def test_a_life_admits_under_the_homes_seal_alone_and_the_refusal_names_what_both_routes_lack(
    rules, tags, reason
):
    shelf = Shelf({"1": document()}, [("production", "1")], {"1": dict(tags)}, KEY)
    watched = roster(shelf, rules=rules)
    assert watched.refresh() == []
    assert reason in watched.refused["BTCUSDT-gp-1@1"]
    assert "it has no proof" in watched.refused["BTCUSDT-gp-1@1"]
    (on_paper,) = roster(shelf).refresh()
    assert (on_paper.seat.proven, on_paper.seat.proven_by) == (False, "")


@pytest.mark.parametrize("rules", [REAL, STRICT])
def test_a_version_that_its_life_proved_is_seated_with_the_edge_that_its_forge_run_sealed(rules):
    larger = {"edge_trades": "9000", "edge_win_rate": "1", "edge_payoff": "100"}
    failed = sealed(document(), gate=0.5, edge=MeasuredEdge(40, 0.6, 1.5))
    for forged, edge in (
        (failed, Edge(40, 0.6, 1.5)),
        ({}, None),  # where nothing is sealed no tag is believed
        (sealed(document(symbol="ETHUSDT"), edge=MeasuredEdge(40, 0.9, 9.0)), None),
    ):
        tags = {**larger, **forged, **lived(document())}
        shelf = Shelf({"1": document()}, [("production", "1")], {"1": tags}, KEY)
        (seated,) = roster(shelf, rules=rules).refresh()
        assert seated.seat.proven
        assert seated.seat.proven_by == "lived"
        assert not seated.seat.edge_is_proven
        assert seated.seat.edge == edge
        assert seated.seat.strategy == digest(document())


def test_a_version_that_is_proven_while_it_is_seated_is_handed_on_once_with_its_route():
    shelf = Shelf({"1": document()}, [("challenger", "1")], key=KEY)
    watched = roster(shelf)
    (before,) = watched.refresh()
    shelf.tags["1"] = lived(document())
    (after,) = watched.refresh()
    assert (before.seat.proven_by, after.seat.proven_by) == ("", "lived")
    assert after.strategy is before.strategy
    shelf.tags["1"] |= sealed(document())
    (both,) = watched.refresh()
    assert both.seat.proven_by == "forged and lived"
    assert both.seat.edge_is_proven


def test_a_version_whose_proof_goes_away_under_it_leaves():
    tags = sealed(document())
    shelf = Shelf({"1": document()}, [("production", "1")], {"1": tags}, KEY)
    watched = roster(shelf, rules=REAL)
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
    return until(watched.latest, "a roster", seconds=5)


def test_the_edge_is_read_from_tags_or_missing_never_invented():
    tags = {"edge_trades": "12", "edge_win_rate": "0.5", "edge_payoff": "1.5"}
    reported = partial(Version, SLOT.name, "1", "run")
    assert edge_of(reported(tags)).trades == 12
    for payoff in ("often", "nan", "inf", "0", "-1"):
        assert edge_of(reported({**tags, "edge_payoff": payoff})) is None
    assert edge_of(reported({**tags, "edge_win_rate": "nan"})) is None
    assert edge_of(reported({})) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("edge_payoff", "often"),
        ("edge_payoff", "1e400"),
        ("edge_payoff", "nan"),
        ("edge_payoff", "0"),
        ("edge_payoff", "-1"),
        ("edge_win_rate", "inf"),
        ("edge_win_rate", "1.01"),
        ("edge_trades", "9" * 5_000),
        ("edge_trades", "1e3"),
        ("edge_trades", "-3"),
        ("edge_trades", "\x1b[2J"),
    ],
)
def test_a_version_with_a_senseless_edge_is_seated_without_one_beside_the_others(name, value):
    tags = {"edge_trades": "12", "edge_win_rate": "0.5", "edge_payoff": "1.5", name: value}
    shelf = Shelf(
        {"1": document(), "2": document()}, [("production", "1"), ("challenger", "2")], {"1": tags}
    )
    assert [item.seat.edge for item in roster(shelf).refresh()] == [None, None]


def versions(found):
    return [item.seat.version for item in found]


BAD = [
    document(features=["z"], program=["trade", ["gt", "z", 1], ["lt", "z", 0]]),
    document(program=["trade", "\ud800", ["lt", "x", 0]]),
    document(exits={"stop": float("nan"), "target": 0.02, "timeout": 60}),
    document(exits={"stop": 0.01, "target": 0.02, "timeout": 10**400}),
    {"format": "other"},
    [],
    RecursionError("too deep"),
    OverflowError("too large"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    KeyError("exits"),
]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(BAD)), min_size=2, max_size=8),
    st.sets(st.integers(0, 7)),
    st.randoms(use_true_random=False),
)
def test_whoever_is_bad_or_cannot_be_fetched_hides_nobody_else(population, untaggable, source):
    files = {
        str(number): document() if good else bad for number, (good, bad) in enumerate(population)
    }
    aliases = [("production", number) for number in files]
    source.shuffle(aliases)
    good = [number for _, number in aliases if population[int(number)][0]]
    late = set(good[::3])
    shelf = Shelf(files, aliases)
    shelf.failing = {str(n): "tag" for n in untaggable} | dict.fromkeys(late, "strategy")
    watched = roster(shelf)
    assert versions(watched.refresh()) == [number for number in good if number not in late]
    assert set(watched.refused) == {
        f"{SLOT.name}@{number}" for number in files if number not in good or number in late
    }
    shelf.failing = {}
    assert versions(watched.refresh()) == good
    watched.refresh()
    assert sorted(number for number, _ in shelf.tagged) == sorted(set(files) - set(good))
    assert all(len(tags["arena_refused"]) < 500 for _, tags in shelf.tagged)


def test_a_version_that_cannot_be_looked_up_keeps_its_seat_and_a_cull_beside_it_is_obeyed():
    shelf = Shelf({"1": document(), "2": document()}, [("production", "1"), ("challenger", "2")])
    watched = roster(shelf)
    assert versions(watched.refresh()) == ["1", "2"]
    shelf.failing = {"1": "version"}
    shelf.aliases.pop()
    assert versions(watched.refresh()) == ["1"]
    assert "not now" in watched.refused["BTCUSDT-gp-1@1"]


def test_a_slot_that_is_not_answered_keeps_its_seats_and_hides_no_other():
    other = Slot.parse("ETHUSDT-gp-1")
    shelves = {SLOT: Shelf({"1": document()}, [("production", "1")]), other: Shelf({}, [])}

    class Both(Shelf):
        def active(self, slots, unread=None):
            return shelves[slots[0]].active(slots, unread)

    watched = RegistryWatcher(
        Both({"1": document()}, []), [SLOT, other], Requirements(SCHEMA, ("BTCUSDT",), PAPER), 1
    )
    assert versions(watched.refresh()) == ["1"]
    shelves[SLOT].down = True
    assert versions(watched.refresh()) == ["1"]
    shelves[other].down = True
    with pytest.raises(RegistryError):
        watched.refresh()


def test_a_version_that_failed_while_it_traded_is_tagged_once_and_kept_out_until_that_is_taken_back():
    shelf = Shelf({"1": document(), "2": document()}, [("production", "1"), ("challenger", "2")])
    watched = roster(shelf)
    watched.refresh()
    shelf.failing = {"1": "tag"}
    watched.quarantine(SLOT.name, "1", "KeyError: 'z'")
    assert versions(watched.refresh()) == ["1", "2"]  # the engine keeps it out meanwhile
    shelf.failing = {}
    for _ in range(3):
        assert versions(watched.refresh()) == ["2"]
    assert shelf.tagged == [("1", {QUARANTINED: "KeyError: 'z'"})]
    assert QUARANTINED in watched.refused["BTCUSDT-gp-1@1"]
    assert versions(roster(shelf).refresh()) == ["2"]  # an arena that was started again
    del shelf.tags["1"][QUARANTINED]
    assert versions(watched.refresh()) == ["1", "2"]
