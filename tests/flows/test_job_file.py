"""A forge run's job is read as it was written, or refused with its name: a retry never begins on half of one."""

import json
from pathlib import Path

import pytest

from crucible.lifecycle.context import ContextError
from crucible.lifecycle.forge_runs import Job

JOB = Job("BTCUSDT-gp-1", 1, 2, "run", 3, ["BTCUSDT-gp-2/1"])


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"{", b"[]", b"[1]", b'{"slot": 1}', b"\xff"])
def test_a_damaged_job_is_named_with_the_next_step(tmp_path: Path, content: bytes):
    folder = tmp_path / "key"
    assert Job.read(folder) is None
    JOB.write(folder)
    assert Job.read(folder) == JOB
    assert json.loads((folder / "job.json").read_text())["living"] == JOB.incumbents
    (folder / "job.json").write_bytes(content)
    with pytest.raises(ContextError, match=rf"job\.json: .*; remove {folder} to begin anew"):
        Job.read(folder)
