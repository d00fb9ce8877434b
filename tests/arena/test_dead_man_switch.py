"""What the arena does once it is heard again after the dead-man switch kept entries off."""

from types import SimpleNamespace

import pytest

from crucible.arena.engine import Arena
from crucible.arena.status_file import ArenaFiles
from crucible.execution.cerebellum_link import LinkError
from crucible.execution.messages import StateEvent
from crucible.features.pipeline import FeaturePipeline
from crucible.settings import FeatureSettings, Settings


class Link:
    """A way to a Cerebellum that is REDUCE_ONLY, and refuses to be anything else."""

    def __init__(self):
        self.asked = 0

    def snapshot(self, _):
        return SimpleNamespace(state="REDUCE_ONLY")

    def replay(self, *_):
        return iter(())

    def poll(self, _):
        return []

    def send(self, _):
        pass

    def request_id(self):
        return "r"

    def set_active(self, *_):
        self.asked += 1
        message = "Cerebellum refused SetState: journal: the journal cannot be written"
        raise LinkError(message)


@pytest.fixture
def arena(tmp_path):
    files = ArenaFiles(*(tmp_path / name for name in ("l.sqlite", "log", "status", "lake")))
    roster = SimpleNamespace(latest=lambda: None)
    pipeline = FeaturePipeline(("BTCUSDT",), FeatureSettings())
    made = Arena(Settings(home=tmp_path), Link(), pipeline, {}, roster, files)
    yield made
    made.close()


def test_an_arena_that_may_not_lift_the_switch_says_why_once_and_trades_on(arena, caplog):
    arena._book(
        StateEvent(ts=1, seq=1, agent=None, symbol=None, state="REDUCE_ONLY", reason="deadman")
    )
    for _ in range(3):
        arena.step(timeout_ms=0)
    assert arena._link.asked == 1
    assert "the journal cannot be written; entries are kept off; to go on:" in caplog.text
