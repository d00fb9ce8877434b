"""Fixtures: a paper venue and a Cerebellum on it, fresh for every test that may break them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cerebellum.client import Cerebellum
from tests.support.disks import short_folder
from tests.support.processes import cerebellum_command, running, venue_command, write_keys

SYMBOLS = "BTCUSDT,ETHUSDT"


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture
def keys(folder: Path) -> Path:
    return write_keys(folder)


@pytest.fixture
def speed() -> int:
    """Market seconds per second; a test that waits for minutes asks for more."""
    return 10


@pytest.fixture
def venue(folder: Path, keys: Path, speed: int) -> Iterator[dict]:
    with running(venue_command(folder, keys, SYMBOLS, speed), folder / "venue.log") as (_, ready):
        yield ready


@pytest.fixture
def cerebellum(folder: Path, keys: Path, venue: dict) -> Iterator[Cerebellum]:
    one = Cerebellum(cerebellum_command(folder, keys, SYMBOLS, venue), folder)
    yield one
    if one.process.poll() is None:
        assert one.stop() == 0
