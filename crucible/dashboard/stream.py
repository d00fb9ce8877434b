"""Live updates as server-sent events: once a second at most, only what changed, and nothing while nobody listens.

One task makes the digest for all open pages. A page that does not read in time slows nobody: what waits for it is
thrown away, and it is sent everything as it stands instead.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from crucible.dashboard.facts import Facts, Source
from crucible.dashboard.views.overview import profit_now, services
from crucible.dashboard.views.rows import day_of, known
from crucible.errors import CrucibleError
from crucible.ledger.tally import Sums
from crucible.operations.reconciliation.accounts import plain
from crucible.operations.status import market_time

EVERY_S = 1.0
AGENT_BYTES = 20_000
"""What one digest tells of agents at most; the others follow in the next ones, longest unsent first."""
_WAITING = 4
_log = logging.getLogger(__name__)


class Digest:
    """What open pages were told, and what is new.

    Parameters
    ----------
    gather : callable
        Gives the parts of a digest, and the rows of agents by name.
    """

    def __init__(self, gather: Callable[[], tuple[dict[str, Any], dict[str, list[Any]]]]) -> None:
        self._gather = gather
        self._sent: dict[str, str] = {}
        self._agents: dict[str, str] = {}
        self._pending: dict[str, None] = {}

    def whole(self, *, agents: bool = False) -> str:
        """Give everything as pages know it.

        Parameters
        ----------
        agents : bool
            Whether agents are among it. A page that has just been opened asks for its agents itself.
        """
        # Copied in one step: the next digest is made in another thread.
        parts = dict(self._sent)
        if agents:
            parts["agents"] = f"[{','.join(dict(self._agents).values())}]"
        return "{" + ",".join(f"{json.dumps(key)}:{text}" for key, text in parts.items()) + "}"

    def failed(self, why: str) -> str:
        """Give an error as a digest, and keep it as what pages know, so that the next good digest clears it."""
        self._sent["error"] = json.dumps(why)
        return f'{{"error":{self._sent["error"]}}}'

    def next(self) -> str:
        """Give what changed since the last time, as a JSON object."""
        parts, agents = self._gather()
        fresh: dict[str, str] = {}
        for key, value in parts.items():
            text = json.dumps(value, separators=(",", ":"))
            if self._sent.get(key) != text:
                fresh[key] = self._sent[key] = text
        texts = {name: json.dumps(row, separators=(",", ":")) for name, row in agents.items()}
        for name, text in texts.items():
            if self._agents.get(name) != text:
                self._pending.setdefault(name)
        rows, size = [], 0
        for name in list(self._pending):
            if size > AGENT_BYTES:
                break
            del self._pending[name]
            if name in texts:
                self._agents[name] = texts[name]
                rows.append(texts[name])
                size += len(texts[name]) + 1
        for gone in [name for name in self._agents if name not in texts]:
            del self._agents[gone]
        if rows:
            fresh["agents"] = f"[{','.join(rows)}]"
        return "{" + ",".join(f"{json.dumps(key)}:{text}" for key, text in fresh.items()) + "}"


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
            text = self._digest.whole(agents=True)
        queue.put_nowait(text)

    def _gather(self) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        with self._source.facts() as facts:
            parts = digest_of(facts)
            return parts, agents_of(facts)


def digest_of(facts: Facts) -> dict[str, Any]:
    """Give what stands at the head of every page, in parts that are sent when they change."""
    earned = profit_now(facts)
    now = facts.market_ts
    today = Sums() if now is None else facts.tally.since(day_of(max(0, now - 1)))
    age = facts.arena_age_s
    changes = {} if facts.ledger is None else facts.ledger.marks_of_change()
    return {
        "error": "",
        "run": facts.status.run,
        "running": facts.status.running,
        "market": {"ts": now, "text": market_time(now)},
        # In steps that grow: an age that is told every second is told to no purpose.
        "arena_age_s": None if age is None else int(age if age < 10 else age // 5 * 5),
        "trading": facts.status.trading.to_json(),
        "placebos": None
        if facts.status.placebos is None
        else facts.status.placebos.get("sentence"),
        "services": [
            [one["name"], one["state"], None if one["age_s"] is None else int(one["age_s"])]
            for one in services(facts)
        ],
        "money": {
            "profit": known(earned.total),
            "open": known(earned.still_open),
            "today": plain(today.net),
        },
        "changes": {
            name: changes.get(name) for name in ("fills", "verdicts", "decisions", "equity")
        },
    }


def agents_of(facts: Facts) -> dict[str, list[Any]]:
    """Give by agent what changes from minute to minute: position, result, closed trades, last signal."""
    return {
        name: [name, row.get("position"), row.get("pnl"), row.get("trades"), row.get("last_signal")]
        for name, row in facts.shown.items()
    }
