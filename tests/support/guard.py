"""A test that starts a process says so by a mark; one that does not say so cannot."""

from __future__ import annotations

import _posixsubprocess
import functools
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

MARKS = ("process", "browser", "e2e")
# Whoever takes one of these starts what it is named after, at the latest when the test begins.
STARTERS = {
    "plant": "process",
    "registry": "process",
    "venue": "process",
    "fresh": "process",
    "cerebellum": "process",
    "small_disk": "process",
    "chromium": "browser",
}

# What libraries ask the system, once, when they are imported.
ASKED = {"ldconfig", "fc-list", "lscpu", "uname"}


def mark(item: pytest.Item) -> None:
    """Mark a test by the folder it lies in and by the fixtures it takes."""
    folder = item.location[0].removeprefix("tests/").partition("/")[0]
    if folder in MARKS:
        item.add_marker(folder)
    for name in getattr(item, "fixturenames", ()):
        if name in STARTERS:
            item.add_marker(STARTERS[name])


class Guard:
    """The plugin that lets no process start in a test without a mark.

    What a library tries and takes no notice of fails the test, too.
    """

    def __init__(self) -> None:
        self.item: pytest.Item | None = None
        self.started: list[str] = []
        for place, name in (
            (subprocess.Popen, "_execute_child"),
            # Which multiprocessing calls by itself.
            (_posixsubprocess, "fork_exec"),
            *((os, name) for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system")),
        ):
            setattr(place, name, self._watch(getattr(place, name)))

    def _watch(self, start: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(start)
        def watched(*given: Any, **named: Any) -> Any:
            command = given[1] if given and isinstance(given[0], subprocess.Popen) else given[:1]
            if self._is_forbidden(command):
                message = f"no mark ({', '.join(MARKS)}) and starts a process: {command!r:.200}"
                self.started.append(message)
                pytest.fail(message)
            return start(*given, **named)

        return watched

    def _is_forbidden(self, command: Any) -> bool:
        if self.item is None or any(self.item.get_closest_marker(name) for name in MARKS):
            return False
        first = command[0] if isinstance(command, (list, tuple)) and command else command
        return not isinstance(first, str) or os.path.basename(first) not in ASKED  # noqa: PTH119

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Any:
        self.item = item
        try:
            return (yield)
        finally:
            self.item = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Any:
        report = yield
        if self.started and report.outcome != "failed":
            report.outcome, report.longrepr = "failed", "\n".join(self.started)
        self.started.clear()
        return report
