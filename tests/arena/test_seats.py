"""Who sits where, and that whoever fails is closed, told of once and kept out."""

import json
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from crucible.arena.agent import Agent
from crucible.arena.execution import Seat
from crucible.arena.registry_watcher import Seated
from crucible.arena.seats import Seats
from crucible.arena.status_file import ArenaFiles, SideFiles, write_status
from crucible.execution.cerebellum_link import LinkError
from crucible.ledger.ledger import Ledger
from crucible.settings import Costs
from crucible.strategies.contract import Exits
from crucible.vm.signals import Signal
from tests.support.factories import agent_row, fill_event

NAME = "BTCUSDT-gp-1@1"
OTHER = "BTCUSDT-gp-2@1"


@dataclass
class Link:
    """The way to Cerebellum, which can be cut."""

    sent: list = field(default_factory=list)
    cut: bool = False

    def request_id(self):
        return "r"

    def send(self, command):
        if self.cut:
            message = "cut"
            raise LinkError(message)
        self.sent.append((command.agent, command.symbol, command.reason))


@dataclass
class Reported:
    """A roster that is only told."""

    reported: list = field(default_factory=list)
    refused: dict = field(default_factory=dict)

    def quarantine(self, slot, version, reason):
        self.reported.append((slot, version, reason))


@dataclass
class Still:
    """A strategy that holds, or fails."""

    error: Exception | None = None
    symbol: str = "BTCUSDT"
    kind: str = "gp"
    exits: Exits = field(default_factory=lambda: Exits(0.01, 0.02, 60))

    def decide(self, row):
        if self.error:
            raise self.error
        return Signal.HOLD

    def reset(self):
        pass


@pytest.fixture
def made(tmp_path):
    files = ArenaFiles(*(tmp_path / name for name in ("ledger.sqlite", "log", "status", "lake")))
    with Ledger(files.ledger) as ledger:
        link, reported = Link(), Reported()
        prices = {"BTCUSDT": Decimal(100)}
        yield (
            Seats(link, ledger, reported, SideFiles(files), Costs(), {"BTCUSDT": [None]}, prices),
            link,
            reported,
            ledger,
        )


def seated(slot="BTCUSDT-gp-1", role="production", error=None):
    return Seated(Seat(slot, "1", role, proven=False, edge=None), Still(error))


def test_whoever_fails_while_it_is_warmed_is_closed_with_what_it_held_and_others_are_seated(made):
    seats, link, reported, ledger = made
    ledger.book_event(fill_event(1, "a"))  # held from before a restart
    failing = seated(error=KeyError("no such feature"))
    seats.take([failing, seated("BTCUSDT-gp-2")], 60_000)
    assert link.sent == [(NAME, "BTCUSDT", "quarantined")]
    assert reported.reported == [("BTCUSDT-gp-1", "1", "KeyError: 'no such feature'")]
    assert seats.quarantined == {NAME: "KeyError: 'no such feature'"}
    assert set(seats.agents) == {NAME, OTHER}
    seats.tidy(120_000)
    assert len(link.sent) == 2  # asked again until it is flat
    seats.agents[NAME].apply_fill(ledger.book_event(fill_event(2, "b", side="sell")))
    seats.tidy(180_000)
    assert set(seats.agents) == {OTHER}
    assert len(link.sent) == 2
    assert len(reported.reported) == 1
    assert [row["action"] for row in ledger.decisions(NAME)] == ["quarantine"]


def test_the_ledger_knows_who_is_on_the_way_out_and_who_came_back_before_it_was_flat(made):
    seats, _, _, ledger = made

    def role():
        return next(row.role for row in ledger.agents() if row.agent == NAME)

    seats.take([seated()], 60_000)
    seats.agents[NAME].apply_fill(ledger.book_event(fill_event(1, "a")))
    seats.take([], 120_000)
    seats.tidy(120_000)
    assert (seats.agents[NAME].seat.role, role()) == ("draining", "draining")
    # It is judged again from here on.
    seats.take([seated()], 180_000)
    assert (seats.agents[NAME].seat.role, role()) == ("production", "production")
    seats.take([], 240_000)
    seats.agents[NAME].apply_fill(ledger.book_event(fill_event(2, "b", side="sell")))
    seats.tidy(300_000)
    # Of who is gone the ledger keeps what it traded as.
    assert (NAME in seats.agents, role()) == (False, "production")


def test_who_is_kept_out_stands_in_the_status_file_with_the_reason(made, tmp_path):
    seats, _, reported, ledger = made
    seats.take([seated(error=KeyError("z")), seated("BTCUSDT-gp-2")], 60_000)
    reported.refused = {OTHER: "not now", "ETHUSDT-gp-1@3": "reads z"}
    ledger.book_event(fill_event(1, "a"))
    write_status(
        tmp_path / "status",
        60_000,
        list(seats.agents.values()),
        {},
        Decimal(1),
        {},
        seats.kept_out(),
    )
    rows = json.loads((tmp_path / "status").read_text())["agents"]
    # Whoever is still being closed stands there as an agent that leaves.
    assert [(row["agent"], row["role"]) for row in rows] == [
        (NAME, "draining"),
        (OTHER, "production"),
        ("ETHUSDT-gp-1@3", "refused"),
    ]
    assert rows[0]["last_event"] == "quarantined: KeyError: 'z'"
    del seats.agents[NAME]
    assert seats.kept_out()[0] == (NAME, "quarantined", "KeyError: 'z'", Decimal("0.3"), 0)
    write_status(tmp_path / "status", 60_000, [], {}, Decimal(1), {}, seats.kept_out())
    rows = json.loads((tmp_path / "status").read_text())["agents"]
    assert rows[0].keys() >= {"position", "trades", "pnl", "proven", "multipliers"}
    assert (rows[0]["position"], rows[0]["symbol"], rows[0]["kind"]) == ("0.3", "BTCUSDT", "gp")
    assert rows[0]["last_event"] == "quarantined: KeyError: 'z'"


def test_it_is_tried_again_only_after_it_has_left_the_roster(made):
    seats, _, reported, _ = made
    failing, other = seated(error=RecursionError()), seated("BTCUSDT-gp-2")
    seats.take([failing, other], 60_000)
    seats.tidy(60_000)
    for _ in range(3):
        seats.take([failing, other], 120_000)
    assert len(reported.reported) == 1
    seats.take([other], 180_000)
    assert NAME in seats.quarantined
    failing.strategy.error = None
    seats.take([failing, other], 240_000)
    assert set(seats.agents) == {NAME, OTHER}
    assert seats.quarantined == {}


def test_the_close_of_whoever_failed_is_asked_for_until_cerebellum_hears_it(made):
    seats, link, _, ledger = made
    ledger.book_event(fill_event(1, "a"))
    link.cut = True
    seats.take([seated(error=MemoryError())], 60_000)
    seats.tidy(120_000)
    assert link.sent == []
    link.cut = False
    seats.tidy(180_000)
    assert link.sent == [(NAME, "BTCUSDT", "quarantined")]


def test_an_orphan_is_closed_once_cerebellum_hears_it_and_is_there_until_it_is_flat(made):
    seats, link, _, ledger = made
    seats.take([seated(), seated("BTCUSDT-gp-2")], 60_000)
    ledger.book_event(fill_event(1, "a"))
    del seats.agents[NAME]  # as after a restart
    link.cut = True
    seats.take([seated("BTCUSDT-gp-2")], 120_000)
    seats.tidy(120_000)
    assert {row.agent for row in ledger.agents(active=True)} == {NAME, OTHER}
    link.cut = False
    seats.tidy(180_000)
    assert link.sent == [(NAME, "BTCUSDT", "retired")]
    assert {row.agent for row in ledger.agents(active=True)} == {NAME, OTHER}
    ledger.book_event(fill_event(2, "b", side="sell"))
    seats.tidy(240_000)
    assert link.sent == [(NAME, "BTCUSDT", "retired")]
    assert {row.agent for row in ledger.agents(active=True)} == {OTHER}


def test_of_an_agent_that_was_leaving_when_its_arena_ended_the_ledger_keeps_what_it_traded_as(made):
    seats, link, _, ledger = made
    seats.take([seated()], 60_000)
    ledger.book_event(fill_event(1, "a"))
    seats.take([], 120_000)
    assert [row.role for row in ledger.agents()] == ["draining"]
    seats.agents.clear()  # as after a restart
    seats.take([], 180_000)
    assert link.sent == [(NAME, "BTCUSDT", "retired")]
    ledger.book_event(fill_event(2, "b", side="sell"))
    seats.tidy(240_000)
    assert [(row.role, row.until_ts) for row in ledger.agents()] == [("production", 240_000)]


def test_an_agent_whose_slot_left_the_settings_is_closed_by_the_next_arena(made, tmp_path):
    seats, _, _, ledger = made
    seats.take([seated(), seated("BTCUSDT-gp-2")], 60_000)
    ledger.book_event(fill_event(1, "a"))
    link, files = (
        Link(),
        ArenaFiles(*(tmp_path / name for name in ("a.sqlite", "log", "status", "lake"))),
    )
    prices = {"BTCUSDT": Decimal(100)}
    restarted = Seats(
        link, ledger, Reported(), SideFiles(files), Costs(), {"BTCUSDT": [None]}, prices
    )
    restarted.take([seated("BTCUSDT-gp-2")], 120_000)
    assert link.sent == [(NAME, "BTCUSDT", "retired")]
    ledger.book_event(fill_event(2, "b", side="sell"))
    restarted.tidy(180_000)
    assert {row.agent for row in ledger.agents(active=True)} == {OTHER}


def test_books_that_cannot_be_rebuilt_are_no_other_agents_trouble(made, monkeypatch):
    seats, link, _, ledger = made
    seats.take([seated()], 60_000)
    ledger.book_event(fill_event(1, "a"))
    seats.agents.clear()

    def fails(self, fill):
        message = "torn"
        raise ArithmeticError(message)

    monkeypatch.setattr(Agent, "apply_fill", fails)
    seats.take([seated(), seated("BTCUSDT-gp-2")], 120_000)
    assert set(seats.agents) == {OTHER}
    seats.tidy(180_000)
    assert (NAME, "BTCUSDT", "retired") in link.sent
    ledger.book_event(fill_event(2, "b", side="sell"))
    seats.tidy(240_000)
    assert {row.agent for row in ledger.agents(active=True)} == {OTHER}


def test_a_challenger_that_fails_is_closed_at_the_last_price_by_what_was_recorded(made):
    seats, link, _, ledger = made
    seats.take([seated(role="challenger")], 60_000)
    agent = seats.agents[NAME]
    bought = ledger.book_event(fill_event(1, "a"))
    shadow = replace(bought, exec_id="s", mode="shadow")
    agent.apply_fill(shadow)
    ledger.book_shadow_fill(shadow)
    # Its own books are ahead of what was recorded: it failed before that was written.
    agent.apply_fill(replace(bought, exec_id="t", mode="shadow"))
    seats.quarantine(agent, OverflowError("1e400"), 120_000)
    seats.tidy(120_000)
    assert seats.agents == {}
    last = [fill for fill in ledger.fills(NAME) if fill.mode == "shadow"][-1]
    assert (last.side, last.qty, last.price) == ("sell", bought.qty, Decimal(100))
    assert last.reason == "quarantined"
    assert link.sent == []


def test_a_fault_of_the_disk_is_no_agents(made, monkeypatch):
    seats, _, reported, ledger = made

    def full(agent):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(ledger, "fills", full)
    with pytest.raises(OSError, match="no space"):
        seats.take([seated()], 60_000)
    assert reported.reported == []


def test_an_agent_that_is_proven_while_it_trades_keeps_its_seat_and_its_books(made):
    seats, _, _, ledger = made
    seats.take([seated(role="challenger")], 60_000)
    agent = seats.agents[NAME]
    proven = seated(role="challenger")
    proven = replace(proven, seat=replace(proven.seat, proven=True, proven_by="lived"))
    seats.take([proven], 120_000)
    assert seats.agents[NAME] is agent
    assert agent.seat.proven_by == "lived"
    (row,) = ledger.agents()
    assert (row.proven, row.proven_by, row.since_ts) == (True, "lived", 60_000)
    seats.take([seated(role="challenger")], 180_000)
    assert (agent.seat.proven, ledger.agents()[0].proven_by) == (False, "")


def test_a_placebo_is_no_orphan_though_no_roster_names_it(made):
    seats, link, _, ledger = made
    ledger.seat(agent_row("BTCUSDT-placebo-1@1", "placebo", kind="placebo"))
    seats.take([seated()], 60_000)
    seats.tidy(120_000)
    assert link.sent == []
    assert {row.agent for row in ledger.agents(active=True)} == {NAME, "BTCUSDT-placebo-1@1"}
