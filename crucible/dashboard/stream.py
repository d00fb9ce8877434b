"""Live updates as server-sent events: once a second at most, only what changed, and nothing while nobody listens.

One task makes the digest for all open pages. A page that does not read in time slows nobody: what waits for it is
thrown away, and it is sent everything as it stands instead.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from crucible.dashboard.facts import Facts, Source
from crucible.dashboard.views.rows import day_of
from crucible.errors import CrucibleError
from crucible.ledger.tally import Sums
from crucible.operations.reconciliation.accounts import plain
from crucible.operations.status import market_time

EVERY_S = 1.0
_WAITING = 4
_log = logging.getLogger(__name__)


class Digest:
    """What open pages know, and what is new.

    Parameters
    ----------
    gather : callable
        Gives the parts of a digest.
    """

    def __init__(self, gather: Callable[[], dict[str, Any]]) -> None:
        self._gather = gather
        self._sent: dict[str, str] = {}

    def whole(self) -> str:
        """Give everything as pages know it."""
        # Copied in one step: the next digest is made in another thread.
        return _joined(dict(self._sent))

    def failed(self, why: str) -> str:
        """Give an error as a digest, and keep it as what pages know, so that the next good digest clears it."""
        self._sent["error"] = json.dumps(why)
        return _joined({"error": self._sent["error"]})

    def next(self) -> str:
        """Give what changed since the last time, as a JSON object."""
        fresh: dict[str, str] = {}
        for key, value in self._gather().items():
            text = json.dumps(value, separators=(",", ":"))
            if self._sent.get(key) != text:
                fresh[key] = self._sent[key] = text
        return _joined(fresh)


def _joined(parts: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(key)}:{text}" for key, text in parts.items()) + "}"


class Stream:
    """The live updates of one workspace.

    Parameters
    ----------
    source : Source
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._digest = Digest(self._gather)
        self._listeners: set[asyncio.Queue[str]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many pages listen."""
        return len(self._listeners)

    async def listen(self) -> AsyncIterator[str]:
        """Give events in the form of `text/event-stream` until the page is closed."""
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=_WAITING)
        self._listeners.add(queue)
        try:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._run())
            else:
                yield f"data: {self._digest.whole()}\n\n"
            while True:
                yield f"data: {await queue.get()}\n\n"
        finally:
            self._listeners.discard(queue)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        # A page that comes to an idle stream is told everything anew.
        self._digest = Digest(self._gather)
        while self._listeners:
            began = loop.time()
            try:
                text = await asyncio.to_thread(self._digest.next)
            except CrucibleError as error:
                text = self._digest.failed(str(error))
            except Exception as error:  # noqa: BLE001 - every open page waits for the next digest
                _log.exception("a digest could not be made")
                text = self._digest.failed(f"{type(error).__name__}: {error}")
            for queue in self._listeners:
                self._put(queue, text)
            await asyncio.sleep(max(0.2, EVERY_S - (loop.time() - began)))

    def _put(self, queue: asyncio.Queue[str], text: str) -> None:
        # A digest is only what changed: one that is left out would be missing for good.
        if queue.full():
            while not queue.empty():
                queue.get_nowait()
            text = self._digest.whole()
        queue.put_nowait(text)

    def _gather(self) -> dict[str, Any]:
        with self._source.facts() as facts:
            return digest_of(facts)


def digest_of(facts: Facts) -> dict[str, Any]:
    """Give what stands at the head of every page, in parts that are sent when they change: what its scripts read."""
    now = facts.market_ts
    today = Sums() if now is None else facts.tally.since(day_of(max(0, now - 1)))
    age, trading, placebos = facts.arena_age_s, facts.status.trading, facts.status.placebos
    return {
        "error": "",
        "market": market_time(now),
        # In steps that grow: an age that is told every second is told to no purpose.
        "arena_age_s": None if age is None else int(age if age < 10 else age // 5 * 5),
        "trading": {"state": trading.state, "why": trading.why, "text": trading.lines},
        "placebos": None if placebos is None else placebos.get("sentence"),
        "services": [[one.name, one.state] for one in facts.status.services],
        "today": plain(today.net),
        # Views load again when it is another number.
        "changes": 0 if facts.ledger is None else facts.ledger.rows_written(),
    }
