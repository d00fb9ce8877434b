"""Live updates: only what changed, never more than the budget, and nothing while nobody listens."""

import asyncio
import json

import pytest

from crucible.dashboard import stream as stream_module
from crucible.dashboard.facts import Source
from crucible.dashboard.stream import AGENT_BYTES, Digest, Stream
from crucible.operations.errors import BooksError
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


def data_of(event):
    return json.loads(event.removeprefix("data: "))


@pytest.mark.parametrize("fault", [BooksError("the ledger is taken"), KeyError("a bad row")])
def test_a_passing_error_is_cleared_by_the_next_digest_whatever_it_was(
    workspace, monkeypatch, caplog, fault
):
    traded(workspace)
    monkeypatch.setattr(stream_module, "EVERY_S", 0.0)
    source = Source(workspace)
    opened, faults = source.facts, [fault]

    def facts():
        if late and faults:
            raise faults.pop()
        return opened()

    source.facts = facts  # type: ignore[method-assign]
    late: list[int] = []
    stream = Stream(source)

    async def look():
        events = stream.listen()
        assert data_of(await anext(events))["error"] == ""
        late.append(1)
        errors = []
        while errors[-1:] != [""]:
            found = data_of(await asyncio.wait_for(anext(events), 20))
            errors += [found["error"]] if "error" in found else []
        assert len(errors) == 2
        assert str(fault) in errors[0]
        # A page that is opened from now on is told of no error either.
        second = stream.listen()
        assert data_of(await anext(second))["error"] == ""
        await second.aclose()
        await events.aclose()

    asyncio.run(look())
    assert ("a digest could not be made" in caplog.text) == isinstance(fault, KeyError)


def test_a_page_that_fell_behind_is_sent_everything_as_it_stands(workspace, monkeypatch):
    monkeypatch.setattr(stream_module, "EVERY_S", 0.0)
    state = {"trading": "ACTIVE", "step": 0}
    held = agents(2, 1)
    stream = Stream(Source(workspace))

    def gather():
        state["step"] += 1
        return dict(state), dict(held)

    stream._gather = gather  # type: ignore[method-assign]

    async def look():
        slow, quick = stream.listen(), stream.listen()
        seen = data_of(await anext(slow))
        await anext(quick)
        assert seen["trading"] == "ACTIVE"
        state["trading"] = "HALTED"
        held["BTCUSDT-gp-0@1"][1] = "0"
        # The halt is told once, then many digests follow that do not name it.
        began = state["step"]
        while state["step"] < began + 12:
            await asyncio.wait_for(anext(quick), 20)
        rows = {}
        for _ in range(5):
            found = data_of(await asyncio.wait_for(anext(slow), 20))
            seen |= found
            rows |= {row[0]: row for row in found.get("agents", ())}
        assert seen["trading"] == "HALTED"
        assert rows["BTCUSDT-gp-0@1"][1] == "0"
        await slow.aclose()
        await quick.aclose()

    asyncio.run(look())
