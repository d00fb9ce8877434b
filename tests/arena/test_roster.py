"""The roster seats what may trade, says why of what may not, and survives the registry's absence."""

import time
from dataclasses import dataclass, field

import pytest

from crucible.arena.roster import Requirements, Roster, edge_of
from crucible.settings import Slot
from crucible.strategies.registry import Active, RegistryError, Version

SLOT = Slot.parse("BTCUSDT-gp-1")
SCHEMA = "0123456789abcdef"


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
    down: bool = False
    loads: int = 0

    def active(self, slots):
        if self.down:
            message = "down"
            raise RegistryError(message)
        return [
            Active(alias, Version(SLOT.name, number, "run", self.tags.get(number, {})))
            for alias, number in self.aliases
        ]

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


def test_an_unproven_version_never_trades_where_money_is_real():
    shelf = Shelf({"1": document()}, [("production", "1")])
    assert roster(shelf, real_money=True).refresh() == []
    proven = Shelf({"1": document()}, [("production", "1")], {"1": {"proven": "true"}})
    assert len(roster(proven, real_money=True).refresh()) == 1


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
    assert edge_of(tags).trades == 12
    assert edge_of({**tags, "edge_payoff": "often"}) is None
    assert edge_of({}) is None
