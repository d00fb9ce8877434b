"""Every forging of a slot has a seed of its own, whoever orders it."""

from types import SimpleNamespace

import pytest
from prefect.logging import disable_run_logger

import flows.singularity
import flows.watchtower
from crucible.ledger.ledger import Ledger
from crucible.ledger.reader import AgentRow
from crucible.lifecycle.seats import SeatAction
from crucible.watchtower.scorecard import score
from crucible.watchtower.verdicts import Verdict
from flows.singularity import forging_seed
from flows.watchtower import Judged


class Slots:
    """A registry whose slots had so many forgings, refused ones included."""

    def __init__(self, forgings):
        self.count = forgings

    def forgings(self, slot):
        return self.count


@pytest.fixture
def culled(tmp_path, monkeypatch):
    """Cull an agent whose slot had so many forgings; give the event's payload."""
    told, doors = [], []
    monkeypatch.setattr(
        flows.watchtower, "emit_event", lambda **event: told.append(event["payload"])
    )
    monkeypatch.setattr(
        flows.watchtower,
        "promotion",
        lambda slot, version, action, **why: doors.append((slot, version, action, why["reason"])),
    )

    def cull(forgings):
        path = tmp_path / str(forgings)
        path.mkdir()
        row = AgentRow("s@1", "s", "1", "production", "B", "gp", True, 0, None)
        card = score("s@1", 900_000, [], [], since_ts=0, last_fill_ts=None, bound=0.02)
        slots = Slots(forgings)
        house = SimpleNamespace(registry=slots, run=SimpleNamespace(path=path, run_id="1"))
        with Ledger(path / "ledger.sqlite") as ledger, disable_run_logger():
            flows.watchtower.carry_out(house, ledger, Judged(row, card, Verdict("cull", "lost")))
        assert doors[-1] == ("s", "1", "retire", "lost")
        return told[-1]

    return cull


@pytest.fixture
def ordered(monkeypatch):
    """Fill an empty slot that had so many forgings; give the parameters of the flow run."""
    told = []
    monkeypatch.setattr(
        flows.singularity, "run_deployment", lambda _, **given: told.append(given["parameters"])
    )

    def order(forgings):
        house = SimpleNamespace(registry=Slots(forgings))
        flows.singularity.carry_out(house, SeatAction("forge", "s", None, "the slot is empty"))
        return told[-1]

    return order


@pytest.mark.parametrize("who", ["culled", "ordered"])
def test_the_next_forging_never_repeats_one_before_refused_ones_included(who, request):
    orders = request.getfixturevalue(who)
    seeds = [orders(forgings)["seed"] for forgings in range(5)]
    assert seeds == [forging_seed("s", number) for number in range(1, 6)]
    assert len(set(seeds)) == 5


def test_seeds_of_two_slots_differ():
    assert forging_seed("a", 1) != forging_seed("b", 1)
