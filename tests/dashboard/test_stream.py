"""Live updates: only what changed and what is read, and nothing while nobody listens."""

import asyncio
import json
import re
from decimal import Decimal

import pytest

from crucible.dashboard import stream as stream_module
from crucible.dashboard.document import STATIC
from crucible.dashboard.facts import Source
from crucible.dashboard.stream import Digest, Stream, digest_of
from crucible.ledger.ledger import Ledger
from crucible.operations.errors import BooksError
from crucible.operations.status import market_time
from tests.support.factories import fill_event
from tests.support.pages import LIVES, NOW, traded


def test_a_digest_tells_only_what_changed():
    state = {"today": "1", "market": "now"}
    digest = Digest(lambda: state)
    assert json.loads(digest.next()) == state
    assert json.loads(digest.next()) == {}
    state["today"] = "2"
    assert json.loads(digest.next()) == {"today": "2"}
    assert json.loads(digest.whole()) == state


def test_everything_that_is_told_is_read_by_a_script_of_the_page(workspace):
    traded(workspace)
    with Source(workspace).facts() as facts:
        digest = digest_of(facts)
    scripts = "".join(path.read_text() for path in STATIC.glob("*.js"))
    for key in digest:
        assert re.search(rf'(state|parts)\.{key}\b|"{key}"', scripts), key
    for key in digest["trading"]:
        assert f"trading.{key}" in scripts
    assert len(json.dumps(digest)) < 2_000


def test_a_write_of_anything_that_a_view_shows_is_told(workspace):
    run = traded(workspace)
    digest = Digest(Stream(Source(workspace))._gather)
    digest.next()
    writes = (
        lambda ledger: ledger.book_event(fill_event(ledger.last_seq() + 1, "new", agent=LIVES)),
        lambda ledger: ledger.book_verdict(NOW + 1, LIVES, "2", "keep", "", {}),
        lambda ledger: ledger.book_decision(NOW + 1, LIVES, "skip", "", Decimal(1), None, None),
        lambda ledger: ledger.book_equity(NOW + 1, [(LIVES, "live", Decimal(1))]),
    )
    for write in writes:
        with Ledger(run.ledger) as ledger:
            write(ledger)
        assert "changes" in json.loads(digest.next())
    assert "changes" not in json.loads(digest.next())


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
        assert first["market"] == market_time(NOW)
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
    stream = Stream(Source(workspace))

    def gather():
        state["step"] += 1
        return dict(state)

    stream._gather = gather  # type: ignore[method-assign]

    async def look():
        slow, quick = stream.listen(), stream.listen()
        seen = data_of(await anext(slow))
        await anext(quick)
        assert seen["trading"] == "ACTIVE"
        state["trading"] = "HALTED"
        # The halt is told once, then many digests follow that do not name it.
        began = state["step"]
        while state["step"] < began + 12:
            await asyncio.wait_for(anext(quick), 20)
        for _ in range(5):
            seen |= data_of(await asyncio.wait_for(anext(slow), 20))
        assert seen["trading"] == "HALTED"
        await slow.aclose()
        await quick.aclose()

    asyncio.run(look())
