"""Whoever trades here hears of each change of who sits in production, once: what it was, who decided it, and why."""

import json
import logging
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from crucible.lifecycle.production import Decision, PromotionError, change_production
from crucible.lifecycle.publishing import MadeBy, offer
from crucible.lifecycle.records import Deployment, Records, alert_others, notice_changes
from crucible.operations.alerts.changes import FILE
from crucible.operations.alerts.memory import Memory
from crucible.operations.alerts.sources import look
from crucible.operations.workspace import Workspace
from crucible.registry.errors import RegistryError
from crucible.registry.models import Version
from crucible.settings import Settings
from tests.support.alerts import alerts_of
from tests.support.processes import REPOSITORY
from tests.support.receiver import SECRET, receiving
from tests.support.seats import context, new_slot, seated


class Alerts:
    """What a run's alerts have to say, from now on."""

    def __init__(self, run):
        self.run, self.memory, self.lines = run, Memory.fresh(), []
        assert self.new() == []

    def new(self):
        return look(self.run, self.memory, self.lines.append)


def test_a_change_is_told_with_who_and_why_and_a_cull_is_left_to_its_verdict(registry, tmp_path):
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
    (seat,) = change("promote", second, "singularity", "b")
    assert (seat.event, seat.title) == (
        "promotion",
        f"Promoted by the Singularity: {slot}@{second}",
    )
    assert f"In production is version {second}, before it was nobody." in seat.text
    (won,) = change("promote", first, "watchtower", "c")
    assert (won.event, won.title) == ("promotion", f"Promoted by the Watchtower: {slot}@{first}")
    (out,) = change("retire", first, "singularity", "d")
    assert (out.event, out.title) == ("cull", f"Retired by the Singularity: {slot}@{first}")
    (again,) = change("promote", first, "forge", "e")
    assert again.title == f"Promoted by the Forge: {slot}@{first}"
    assert change("retire", first, "watchtower", "f") == []
    assert change("promote", second, "singularity", "b") == []  # carried out again: no other change
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
        "lines of changes of production that cannot be read and are passed over: 1"
    ]
    file.write_bytes(b'{"slot": 1}\n' + whole)
    assert [each.title for each in alerts.new()] == [f"Promoted by Ada: {slot}@{second}"]
    assert alerts.new() == []


def only_slot(made, slot, folder):
    settings = Settings(home=folder).model_copy(update={"slots": (slot,)})
    made.__dict__["settings"] = settings
    return made


@pytest.mark.parametrize("proven", [False, True])
def test_what_the_forge_seats_is_told_and_a_challenger_that_it_retires_is_not(
    registry, tmp_path, monkeypatch, proven
):
    """It fills an empty seat; a proven version of its own takes the seat of an unproven one."""
    slot = new_slot()
    first, second = seated(registry, slot)
    made = context(registry, tmp_path)
    alerts = Alerts(made.run)
    if proven:
        monkeypatch.setattr(Version, "proven", property(lambda self: self.version == second))
        why = f"it is proven and version {first} is not"
    else:
        change_production(made, slot.name, first, "retire", Decision("singularity", "gone", "key"))
        registry.retire(slot.name, second, "not any more")
        assert [each.event for each in alerts.new()] == ["cull"]
        why = "the production seat was empty"
        made.settings.__dict__["singularity"] = SimpleNamespace(trial="venue")
    assert "in production" in offer(made, registry.version(slot.name, second), MadeBy())
    (alert,) = alerts.new()
    assert alert.title == f"Promoted by the Forge: {slot}@{second}"
    before = f"version {first}" if proven else "nobody"
    assert alert.text.startswith(
        f"{why}.\nIn production is version {second}, before it was {before}."
    )
    newer = "9"
    retired = Decision("forge", f"replaced by version {newer}", "its run")
    registry.set_alias(slot.name, "challenger", first)
    change_production(made, slot.name, first, "retire", retired)
    assert alerts.new() == []


def test_a_change_whose_record_is_written_late_is_told_by_whoever_made_it_alone(
    registry, tmp_path, monkeypatch
):
    slot = new_slot()
    _, second = seated(registry, slot)
    made = only_slot(context(registry, tmp_path), slot, tmp_path)
    alerts = Alerts(made.run)

    def away(*_):
        message = "it is away"
        raise RegistryError(message)

    with monkeypatch.context() as patch:
        patch.setattr(Records, "begin", away)
        change_production(made, slot.name, second, "promote", Decision("Ada", "why", "key"))
    assert [each.title for each in alerts.new()] == [f"Promoted by Ada: {slot}@{second}"]
    (line,) = notice_changes(made)
    assert "(written late)" in line
    assert alerts.new() == []


class Killed:
    """A stack whose process is killed while it makes a person's change, and what lives afterwards."""

    def __init__(self, registry, folder, receiver):
        self.registry, self.folder, self.receiver = registry, folder, receiver
        self.slot = new_slot()
        self.versions = seated(registry, self.slot)
        self.made = only_slot(context(registry, folder), self.slot, folder)
        self.alerts = alerts_of(self.made.run, receiver.url)

    def change(self, what, version, step):
        """Make a change in a process that ends itself at a step."""
        job = {"mlflow": self.registry.tracking_uri, "slot": self.slot.name, "version": version}
        (self.folder / "job.json").write_text(json.dumps({**job, "change": what}))
        (self.folder / "kill-change").write_text(step)
        ended = subprocess.run(
            [sys.executable, "-m", "tests.support.killed", "change", str(self.folder)],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == -signal.SIGKILL, ended.stderr

    def arrived(self):
        """What arrived since the last time."""
        before = len(self.receiver.got)
        self.alerts.turn()
        return self.receiver.titles[before:]


@pytest.fixture
def receiver():
    with receiving(SECRET) as made:
        yield made


STEPS = {
    "promote": "Registry.promote",
    "roll back": "Registry.promote",
    "retire": "Registry.retire",
}


@pytest.mark.parametrize("next_to_live", ["Singularity", "another change"])
@pytest.mark.parametrize("step", ["after {change}", "after Change.alert"])
@pytest.mark.parametrize("what", STEPS)
def test_a_change_whose_process_is_killed_before_it_is_told_is_told_once_by_the_next_that_lives(
    registry, tmp_path, receiver, what, step, next_to_live
):
    killed = Killed(registry, tmp_path, receiver)
    slot, (first, second) = killed.slot, killed.versions
    if what == "roll back":
        change_production(killed.made, slot.name, second, "promote", Decision("Ada", "why", "a"))
        assert len(killed.arrived()) == 1
    killed.change(what, second if what == "promote" else first, step.format(change=STEPS[what]))
    after = {"promote": second, "roll back": first}.get(what)
    assert registry.aliases(slot.name).get("production") == after  # it was made
    action, about = {
        "promote": ("Promoted", second),
        "roll back": ("Rolled back", first),
        "retire": ("Retired", first),
    }[what]
    expected = [f"{action} by Ben: {slot}@{about}"]
    early = killed.arrived()
    assert early == (expected if "alert" in step else [])
    if next_to_live == "Singularity":
        for _ in range(2):
            notice_changes(killed.made)
        late = killed.arrived()
    else:
        other = second if after != second else first
        change_production(killed.made, slot.name, other, "promote", Decision("Eve", "why", "b"))
        *late, newest = killed.arrived()
        assert newest == f"Promoted by Eve: {slot}@{other}"
    assert early + late == expected
    text = next(each["message"] for each in receiver.got if each["title"].endswith(expected[0]))
    assert "a person's reason" in text
    assert notice_changes(killed.made) == []
    assert killed.arrived() == []


def test_what_was_told_in_a_run_is_not_told_in_the_next_and_what_was_not_is(
    registry, tmp_path, receiver
):
    """A stack that is started anew on paper has a run, and a file of changes, of its own."""
    for step, expected in (
        ("after Change.alert", []),
        ("after Registry.promote", ["Promoted by Ben"]),
    ):
        folder = tmp_path / step.replace(" ", "-")
        folder.mkdir()
        killed = Killed(registry, folder, receiver)
        killed.change("promote", killed.versions[1], step)
        killed.arrived()
        run = Workspace.at(folder).run("2")
        run.path.mkdir()
        killed.made.__dict__["run"] = run
        killed.alerts = alerts_of(run, receiver.url)
        assert killed.arrived() == []
        notice_changes(killed.made)
        assert [title.partition(":")[0] for title in killed.arrived()] == expected


def test_a_change_that_two_processes_tell_at_once_is_told_once(registry, tmp_path):
    slot = new_slot()
    _, second = seated(registry, slot)
    made = context(registry, tmp_path)
    alerts = Alerts(made.run)
    change_production(made, slot.name, second, "promote", Decision("Ada", "why", "key"))
    (record,) = [
        run
        for run in Records(registry)._deployments.all(f"tags.slot = '{slot.name}'")
        if run.data.tags["decided_by"] == "Ada"
    ]
    alert_others(made, Deployment.of_run(record))
    assert [each.title for each in alerts.new()] == [f"Promoted by Ada: {slot}@{second}"]
