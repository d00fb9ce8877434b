"""Nothing lost, nothing doubled, whatever breaks: the whole promise, on the real binaries.

`make test` runs 200 orders; `make chaos` runs 2,000 (`ORDERS`, `SEED`) and the repeated story.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import schedule
from tests.chaos.campaign import LIVELY, Campaign
from tests.chaos.schedule import FAULT_NAMES, KILLS
from tests.chaos.story import publish, unforetold
from tests.support.processes import REPOSITORY

SEED = int(os.environ.get("CHAOS_SEED", "1"))
ORDERS = int(os.environ.get("CHAOS_ORDERS", "200"))
OUT = Path(os.environ.get("CHAOS_OUT", REPOSITORY / "data" / "chaos"))

pytestmark = [pytest.mark.process, pytest.mark.timeout(120 + 2 * ORDERS)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, kept when the test fails."""
    path = Path(tempfile.mkdtemp(prefix="ch-"))
    yield path
    if not (path / "keep").exists():
        shutil.rmtree(path, ignore_errors=True)


def test_nothing_is_lost_or_doubled_under_every_fault_and_kill(folder: Path) -> None:
    (folder / "keep").touch()
    outcome = Campaign(schedule.make(SEED, ORDERS), folder, LIVELY).run()
    reported = publish(outcome, OUT / f"seed-{SEED}-orders-{ORDERS}")
    assert outcome.faults == [], f"{folder} holds every log and book"
    assert unforetold(outcome) == []
    assert min(reported["faults"][name] for name in FAULT_NAMES) >= 1
    assert min(reported["kills"][name] for name in KILLS) >= 1
    (folder / "keep").unlink()
