"""A test that is not marked for it starts no process, by whatever way."""

import asyncio
import multiprocessing
import os
import subprocess

import pytest


def spawned() -> None:
    multiprocessing.get_context("spawn").Process(target=print).start()


def forked() -> None:
    multiprocessing.get_context("fork").Process(target=print).start()


def awaited() -> None:
    asyncio.run(asyncio.create_subprocess_exec("true"))


def swallowed() -> None:
    try:
        subprocess.run(["true"], check=True)
    except Exception:  # noqa: BLE001
        return


@pytest.fixture
def guard(request):
    return request.config.pluginmanager.get_plugin("process-guard")


@pytest.mark.parametrize(
    "start",
    [spawned, forked, awaited, swallowed, os.fork, lambda: os.system("true")],  # noqa: S605
)
def test_no_way_leads_to_a_process(guard, start):
    with pytest.raises(pytest.fail.Exception, match=r"no mark .* and starts a process"):
        start()
    # What would fail this test even if nobody had heard of it.
    assert guard.started
    guard.started.clear()


@pytest.mark.process
def test_a_mark_lets_it_start(guard):
    assert subprocess.run(["true"], check=False).returncode == 0
    assert guard.started == []
