"""What the benchmark times is what the offline replay does."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import binary

pytestmark = pytest.mark.process


def frame(kind: str, u: int, bids: list, asks: list) -> str:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": u, "seq": u}
    body = {"topic": "orderbook.200.BTCUSDT", "type": kind, "ts": 1_000 * u, "data": data}
    return json.dumps(body)


def replay(path: Path, *options: str) -> dict:
    command = [binary("cerebellum"), "replay-frames", str(path), "--places", "BTCUSDT:1:3"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_a_repeated_timed_replay_applies_every_level_and_ends_with_the_same_books(
    tmp_path: Path,
) -> None:
    path = tmp_path / "frames"
    rows = [
        frame("snapshot", 1, [["100.0", "1"], ["99.5", "2"]], [["100.5", "3"]]),
        frame("delta", 2, [["99.5", "0"]], [["100.5", "0"], ["101.0", "0.5"]]),
    ]
    path.write_text("\n".join(rows))
    timed = replay(path, "--json", "--repeat", "3")
    assert (timed["frames"], timed["levels"]) == (6, 18)
    assert timed["seconds"] > 0
    assert timed["books"] == replay(path)["books"]
    assert timed["books"]["BTCUSDT"] == {"bids": [["100", "1"]], "asks": [["101", "0.5"]]}
