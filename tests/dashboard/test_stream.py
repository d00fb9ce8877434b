"""Live updates: only what changed, never more than the budget, and nothing while nobody listens."""

import asyncio
import json

from crucible.dashboard.facts import Source
from crucible.dashboard.stream import AGENT_BYTES, Digest, Stream
from tests.support.pages import LIVES, traded


def agents(count, result):
    return {
        f"BTCUSDT-gp-{n}@1": [f"BTCUSDT-gp-{n}@1", "0.015", f"{result}.1234", 7, "HOLD"]
        for n in range(count)
    }


def test_a_digest_tells_only_what_changed():
    state = {"money": {"profit": "1"}, "run": "0001"}
    digest = Digest(lambda: (state, agents(2, 1)))
    assert set(json.loads(digest.next())) == {"money", "run", "agents"}
    assert json.loads(digest.next()) == {}
    state["money"] = {"profit": "2"}
    assert json.loads(digest.next()) == {"money": {"profit": "2"}}
    assert json.loads(digest.whole()) == state


def test_two_thousand_agents_that_all_change_stay_within_the_budget_and_all_are_told():
    step = 0
    digest = Digest(lambda: ({}, agents(2_000, step)))
    seen_rows = {}
    for _ in range(12):
        text = digest.next()
        assert len(text) < AGENT_BYTES + 500
        seen_rows |= {row[0]: row for row in json.loads(text).get("agents", ())}
    assert seen_rows == agents(2_000, 0)
    # While all change all the time, each is told again before any is told twice.
    seen = []
    while len(seen) < 2_000:
        step += 1
        seen += [row[0] for row in json.loads(digest.next())["agents"]]
    assert len(set(seen[:2_000])) == 2_000


def test_an_agent_that_is_gone_is_not_told_again():
    held = agents(2, 1)
    digest = Digest(lambda: ({}, held))
    digest.next()
    held.pop("BTCUSDT-gp-0@1")
    assert json.loads(digest.next()) == {}


def test_nothing_is_read_while_nobody_listens(workspace):
    traded(workspace)
    source = Source(workspace)
    stream, reads = Stream(source), []
    opened = source.facts
    source.facts = lambda: reads.append(1) or opened()  # type: ignore[method-assign]

    async def look():
        await asyncio.sleep(0.3)
        assert reads == []
        events = stream.listen()
        first = json.loads((await anext(events)).removeprefix("data: "))
        assert [row[0] for row in first["agents"]].count(LIVES) == 1
        assert stream.listeners == 1
        await events.aclose()
        assert stream.listeners == 0
        await asyncio.sleep(1.5)
        after = len(reads)
        await asyncio.sleep(1.5)
        assert len(reads) == after

    asyncio.run(look())


def test_a_page_that_does_not_read_holds_nobody_up(workspace):
    traded(workspace)
    stream = Stream(Source(workspace))

    async def look():
        slow, quick = stream.listen(), stream.listen()
        await anext(slow)
        await anext(quick)
        for _ in range(6):
            await asyncio.wait_for(anext(quick), 5)
        await slow.aclose()
        await quick.aclose()

    asyncio.run(look())


def test_a_ledger_that_cannot_be_read_is_told_and_the_stream_goes_on(workspace):
    run = workspace.new_run()
    run.ledger.write_text("this is not a database, it is a long enough text")
    stream = Stream(Source(workspace))

    async def look():
        events = stream.listen()
        first = json.loads((await anext(events)).removeprefix("data: "))
        assert "cannot be read" in first["error"]
        run.ledger.unlink()
        while (
            json.loads((await asyncio.wait_for(anext(events), 5)).removeprefix("data: ")).get(
                "error"
            )
            != ""
        ):
            pass
        await events.aclose()

    asyncio.run(look())
