"""Fixtures: a running paper venue."""

from collections.abc import Iterator

import pytest

from tests.support import paper_venue as venues


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[venues.Venue]:
    """A simulated market at 20 times wall speed, shared by a module's tests."""
    running = venues.start(
        tmp_path_factory.mktemp("venue"), "--speed", "20", "--seed", "11", "--history-days", "3"
    )
    yield running
    assert running.stop() == 0


@pytest.fixture
def fresh(tmp_path) -> Iterator:
    """Start venues with flags of the test's own."""
    running: list[venues.Venue] = []

    def begin(*flags: str) -> venues.Venue:
        folder = tmp_path / str(len(running))
        folder.mkdir()
        running.append(venues.start(folder, *flags))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.stop()
