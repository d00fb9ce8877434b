"""What the trader must not rely on: that every event is heard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import schedule
from tests.chaos.campaign import STEPPED, Campaign
from tests.chaos.schedule import Schedule
from tests.support.disks import short_folder

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


class Deaf(Campaign):
    """A campaign whose trader listens for events where nobody publishes any.

    A Cerebellum that is killed takes events with it that are in its journal and were not carried to
    anybody yet. Where market time stands still, no later event shows that they are missing.
    """

    def _trader_command(self, ready: dict[str, Any]) -> list[str]:
        nowhere = {**ready, "events": f"ipc://{self.folder}/s/nobody"}
        return super()._trader_command(nowhere)


def test_a_trader_that_hears_no_event_learns_of_every_end_by_asking(folder: Path) -> None:
    plan = schedule.make(1, 6, stepped=True)
    outcome = Deaf(Schedule(plan.seed, plan.orders, ()), folder, STEPPED).run()
    assert outcome.faults == []
    assert outcome.venue.fills
