"""Each address is sent to by itself: one that fails or hangs keeps nobody else waiting."""

from __future__ import annotations

import json
import threading

import pytest
from pydantic import SecretStr

from crucible.operations.alerts.addresses import Address, read_addresses
from crucible.operations.alerts.dispatch import Alerts
from crucible.operations.alerts.memory import FILE, read_memory
from crucible.operations.alerts.messages import Alert, of_death
from crucible.operations.alerts.sender import AppriseSender, send_to_all
from crucible.operations.workspace import Run
from crucible.settings import AlertSettings
from tests.support.alerts import Clock, alerts_of
from tests.support.polling import until
from tests.support.receiver import SECRET, Receiver

pytestmark = pytest.mark.process  # a receiver listens on the loopback interface


def test_a_receiver_that_is_down_is_tried_a_bounded_number_of_times(run: Run, receiver: Receiver):
    receiver.status = 500
    clock = Clock()
    alerts = alerts_of(run, receiver.url, clock)
    alerts.part_ended("worker", "ended with code 1")
    said = []
    for _ in range(6):
        alerts.turn()
        said += alerts.lines()
        clock.now += 31
    assert len(said) == 3
    assert "again in 5 s" in said[0]
    assert "in 3 tries" in said[-1]
    assert "given up" in said[-1]
    assert json.loads((run.path / FILE).read_text())["waiting"] == []

    alerts.part_ended("mlflow", "ended with code 1")
    alerts.turn()
    receiver.status = 200
    clock.now += 31
    alerts.turn()
    assert receiver.titles == ["Ended: mlflow"]


def test_one_address_that_fails_keeps_no_other_from_its_message(run: Run, receiver: Receiver):
    settings = AlertSettings(
        urls=(SecretStr(f"json://127.0.0.1:1/{SECRET}"), SecretStr(receiver.url))
    )
    clock = Clock()
    alerts = Alerts(settings, read_addresses(settings), run, AppriseSender(5.0), clock=clock)
    alerts.part_ended("worker", "ended")
    for _ in range(3):
        alerts.turn()
        clock.now += 31
    assert receiver.titles == ["Ended: worker"]


def test_a_receiver_that_hangs_delays_nobody(run: Run):
    released, arrived = threading.Event(), []

    def send(address: Address, alert: Alert) -> str:
        if address.number == 1:
            released.wait()  # whoever waited for this address would wait for ever
            return "it hung"
        arrived.append(alert.title)
        return ""

    settings = AlertSettings(urls=(SecretStr("json://hangs"), SecretStr("json://answers")))
    alerts = Alerts(settings, read_addresses(settings), run, send, look_every_s=0.01)
    expected = ["Ended: worker", "Ended: mlflow", "Crucible stops because of a fault"]
    alerts.start()
    try:
        alerts.part_ended("worker", "ended")
        until(lambda: arrived == expected[:1], alerts.lines, seconds=60)
        alerts.part_ended("mlflow", "ended")
        until(lambda: arrived == expected[:2], alerts.lines, seconds=60)
        alerts.stack_ended("a fault")
        alerts.finish()
        until(lambda: arrived == expected, alerts.lines, seconds=60)
        alerts.close(0.1)
        (line,) = alerts.lines()
        assert "3 were not sent before the end: Crucible stops because of a fault; Ended:" in line
    finally:
        released.set()


def test_the_last_words_reach_who_was_busy_although_another_hangs(run: Run):
    released, answered, arrived = threading.Event(), threading.Event(), []

    def send(address: Address, alert: Alert) -> str:
        if address.number == 1:
            released.wait()
            return "it hung"
        arrived.append(alert.title)
        answered.wait()
        return ""

    settings = AlertSettings(urls=(SecretStr("json://hangs"), SecretStr("json://is-slow")))
    alerts = Alerts(settings, read_addresses(settings), run, send, look_every_s=0.01)
    alerts.start()

    def waiting() -> list[str]:
        memory = read_memory(run.path)
        return [] if memory is None else [each.title for each in memory.waiting]

    try:
        alerts.part_ended("worker", "ended")
        until(lambda: arrived == ["Ended: worker"], alerts.lines, seconds=60)
        alerts.stack_ended("a fault")
        alerts.finish()
        until(lambda: "Crucible stops because of a fault" in waiting(), waiting, seconds=60)
        answered.set()
        until(lambda: "Crucible stops because of a fault" in arrived, alerts.lines, seconds=60)
    finally:
        answered.set()
        released.set()


def test_an_address_that_takes_too_long_is_left_alone_until_it_has_ended():
    released, sent = threading.Event(), []

    def notify(_: Address, alert: Alert) -> str:
        sent.append(alert.title)
        released.wait()
        return ""

    send = AppriseSender(0.05, notify)
    address, alert = Address(1, SecretStr("json://hangs")), of_death("worker", "ended")
    assert send(address, alert) == "no answer in 0.05 s"
    assert send(address, alert) == "the message before it is still on its way"
    assert sent == ["Ended: worker"]
    released.set()
    until(lambda: send(address, alert) == "", lambda: sent, seconds=60)


def test_every_address_is_sent_to_at_once():
    all_there = threading.Barrier(3)

    def send(address: Address, _: Alert) -> str:
        all_there.wait(60)  # each waits until every other is being sent to as well
        return "refused" if address.number == 2 else ""

    addresses = [Address(number, SecretStr("json://host")) for number in (1, 2, 3)]
    faults = send_to_all(send, addresses, of_death("worker", "ended"))
    assert list(faults.values()) == ["", "refused", ""]
    assert list(faults) == [address.name for address in addresses]


def test_a_defect_while_sending_leaves_nothing_on_its_way_for_ever(run: Run):
    def send(_: Address, __: Alert) -> str:
        raise RuntimeError(SECRET)

    settings = AlertSettings(urls=(SecretStr("json://host"),))
    alerts = Alerts(settings, read_addresses(settings), run, send, pauses_s=(5.0,))
    alerts.part_ended("worker", "ended")
    alerts.turn()
    (line,) = alerts.lines()
    assert "sending failed with RuntimeError; again in 5 s" in line
    assert SECRET not in line
    (waiting,) = json.loads((run.path / FILE).read_text())["waiting"]
    assert (waiting["is_on_its_way"], waiting["tries"]) == (False, 1)
