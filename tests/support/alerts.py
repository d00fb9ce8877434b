"""Alerts of a run that are sent for real, by a clock that the test turns."""

from __future__ import annotations

from crucible.operations.alerts.addresses import read_addresses
from crucible.operations.alerts.dispatch import Alerts
from crucible.operations.alerts.sender import AppriseSender
from crucible.operations.workspace import Run
from crucible.settings import AlertSettings


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def alerts_of(run: Run, url: str, clock: Clock | None = None, **settings: object) -> Alerts:
    made = AlertSettings.model_validate({"urls": (url,), **settings})
    return Alerts(
        made,
        read_addresses(made),
        run,
        AppriseSender(5.0),
        clock=clock or Clock(),
        pauses_s=(5.0, 30.0),
    )
