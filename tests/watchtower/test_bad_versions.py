"""A version whose file cannot be read is not judged, and everybody else is."""

from types import SimpleNamespace

import pytest
from prefect.logging import disable_run_logger

from crucible.errors import StrategyError
from crucible.ledger.ledger import Ledger
from crucible.lifecycle.seats import SeatAction
from crucible.registry.models import RegistryError, Version
from crucible.settings import Settings
from flows import singularity
from flows.promotion import PromotionError
from flows.watchtower import judge_all
from tests.support.factories import agent_row

EXITS = {"stop": 0.02, "target": 0.02, "timeout": 600}
HOUR_MS = 3_600_000


class Files:
    """A registry with one version a slot."""

    def __init__(self, files):
        self.files = files

    def version(self, slot, version):
        return Version(slot, version, "run", {})

    def aliases(self, slot):
        return {"production": "1"}

    def strategy(self, version):
        file = self.files[version.slot]
        if isinstance(file, Exception):
            raise file
        return file


def judged(tmp_path, files):
    house = SimpleNamespace(registry=Files(files), settings=Settings())
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for slot in files:
            ledger.seat(agent_row(f"{slot}@1"))
        with disable_run_logger():
            return [one.row.slot for one in judge_all.fn(house, ledger, HOUR_MS, {})]


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"exits": None},
        {"exits": {**EXITS, "timeout": 1e400}},
        {"exits": {**EXITS, "stop": 10**400}},
        {"exits": {**EXITS, "stop": "wide"}},
        StrategyError("no usable strategy.json"),
    ],
)
def test_everybody_else_is_judged(tmp_path, bad):
    assert judged(tmp_path, {"a": {"exits": EXITS}, "b": bad, "c": {"exits": EXITS}}) == ["a", "c"]


def test_a_registry_that_does_not_answer_is_asked_again_later(tmp_path):
    with pytest.raises(RegistryError):
        judged(tmp_path, {"a": {"exits": EXITS}, "b": RegistryError("not now")})


def test_a_slot_that_cannot_be_filled_keeps_no_other_empty(monkeypatch):
    def carry_out(_house, action):
        if action.slot == "a":
            message = "a version 1 is quarantined"
            raise PromotionError(message)
        return f"{action.slot} filled"

    actions = [SeatAction("seat", slot, "1", "the seat was empty") for slot in ("a", "b")]
    monkeypatch.setattr(singularity, "open_house", SimpleNamespace)
    monkeypatch.setattr(singularity, "notice", lambda _house: [])
    monkeypatch.setattr(singularity, "plan", lambda _house: actions)
    monkeypatch.setattr(singularity, "carry_out", carry_out)
    monkeypatch.setattr(singularity, "unfinished_runs", lambda _name: ["an arena"])
    with disable_run_logger():
        assert singularity.singularity.fn() == ["b filled"]
