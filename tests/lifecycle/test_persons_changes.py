"""Whoever trades here hears what another person did to production: who it was, and why."""

import logging

import pytest

from crucible.lifecycle.production import Decision, PromotionError, change_production
from crucible.lifecycle.records import notice_changes
from crucible.operations.alerts.changes import FILE
from crucible.operations.alerts.memory import Memory
from crucible.operations.alerts.sources import look
from crucible.settings import Settings
from tests.support.seats import context, new_slot, seated


class Alerts:
    """What a run's alerts have to say, from now on."""

    def __init__(self, run):
        self.run, self.memory, self.lines = run, Memory.fresh(), []
        assert self.new() == []

    def new(self):
        return look(self.run, self.memory, self.lines.append)


def test_a_persons_change_is_told_with_who_and_why_and_a_parts_own_is_not(registry, tmp_path):
    slot = new_slot()
    first, second = seated(registry, slot)
    made = context(registry, tmp_path)
    alerts = Alerts(made.run)

    def change(what, version="", by="Ada", key="key"):
        change_production(made, slot.name, version, what, Decision(by, "it looks good", key))
        return alerts.new()

    (promoted,) = change("promote", second)
    assert (promoted.event, promoted.title) == ("promotion", f"Promoted by Ada: {slot}@{second}")
    assert "it looks good." in promoted.text
    assert f"In production is version {second}, before it was version {first}." in promoted.text
    assert (
        f"Next: Nothing needs to be done. See what it is: crucible explain {slot}@" in promoted.text
    )
    (back,) = change("roll back")
    assert (back.event, back.title) == ("promotion", f"Rolled back by Ada: {slot}@{first}")
    (retired,) = change("retire", first)
    assert (retired.event, retired.title) == ("cull", f"Retired by Ada: {slot}@{first}")
    assert f"In production is nobody, before it was version {first}." in retired.text
    for part in ("watchtower", "singularity"):
        assert change("promote", second, part, part) == []
    with pytest.raises(PromotionError):
        change("promote", "9x")
    assert alerts.new() == []
    assert alerts.lines == []


def test_an_alias_set_by_hand_is_told_once_it_is_noticed(registry, tmp_path):
    slot = new_slot()
    first, second = seated(registry, slot)
    made = context(registry, tmp_path)
    settings = Settings(home=tmp_path).model_copy(update={"slots": (slot,)})
    made.__dict__["settings"] = settings
    alerts = Alerts(made.run)
    registry.set_alias(slot.name, "production", second)
    assert len(notice_changes(made)) == 1
    (noticed,) = alerts.new()
    assert noticed.title == f"Promoted by a person: {slot}@{second}"
    assert "the alias was set by hand" in noticed.text
    assert f"before it was version {first}" in noticed.text
    assert notice_changes(made) == []
    assert alerts.new() == []


def test_a_change_that_nobody_can_be_alerted_of_is_made_all_the_same(registry, tmp_path, caplog):
    slot = new_slot()
    _, second = seated(registry, slot)
    made = context(registry, tmp_path)
    (made.run.path / FILE).mkdir()
    with caplog.at_level(logging.WARNING):
        decision = Decision("Ada", "it looks good", "key")
        change_production(made, slot.name, second, "promote", decision)
    assert registry.aliases(slot.name)["production"] == second
    assert "nobody is alerted of the change" in caplog.text


def test_a_damaged_line_is_passed_over_and_one_that_is_being_written_is_read_later(
    registry, tmp_path
):
    slot = new_slot()
    _, second = seated(registry, slot)
    made = context(registry, tmp_path)
    alerts = Alerts(made.run)
    file = made.run.path / FILE
    change_production(made, slot.name, second, "promote", Decision("Ada", "why", "key"))
    whole = file.read_bytes()
    file.write_bytes(b'{"slot": 1}\n' + whole[:20])
    assert alerts.new() == []
    assert alerts.lines == [
        "lines of a person's changes that cannot be read and are passed over: 1"
    ]
    file.write_bytes(b'{"slot": 1}\n' + whole)
    assert [each.title for each in alerts.new()] == [f"Promoted by Ada: {slot}@{second}"]
    assert alerts.new() == []
