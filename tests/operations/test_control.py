"""The operator's hand, on the real executor and the real paper venue."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import zmq

from crucible.dashboard.steering import Command, carry_out
from crucible.execution.cerebellum_link import Addresses, CerebellumLink, LinkError, new_intent_id
from crucible.execution.messages import (
    Ack,
    CommandMessage,
    ScopedState,
    Snapshot,
    SnapshotReply,
    Submit,
    Totals,
    VenueState,
    decode_command,
    encode,
)
from crucible.operations.control import close_position, halt, halt_and_flatten, resume
from crucible.operations.reconciliation.accounts import differences
from crucible.operations.reconciliation.own_accounts import journal_book
from crucible.operations.reconciliation.venue_statement import VenueAccount
from crucible.operations.workspace import Workspace, write_json
from tests.support.commands import call
from tests.support.polling import until
from tests.support.processes import cerebellum_command, running, venue_command, write_keys

SYMBOLS = "BTCUSDT,ETHUSDT"


@dataclass
class OrdersInFlight:
    link: CerebellumLink
    addresses: Addresses
    account: VenueAccount
    journal: Path
    sent: int = 0

    def submit(self, symbol: str, side: str, qty: str) -> Ack:
        self.sent += 1
        now = self.link.snapshot().ts
        reply = self.link.ask(
            Submit(
                ts=now,
                request_id=self.link.request_id(),
                intent_id=new_intent_id(now, self.sent),
                agent=f"{symbol}-gp-1@1",
                version="1",
                symbol=symbol,
                side=side,  # type: ignore[arg-type]
                kind="market",
                qty=qty,
                limit_price=None,
                reduce_only=False,
                ttl_ms=60_000,
                protect=None,
                reason="test",
            )
        )
        assert isinstance(reply, Ack)
        return reply


@pytest.fixture
def orders_in_flight(tmp_path: Path) -> Iterator[OrdersInFlight]:
    keys = write_keys(tmp_path)
    log = tmp_path / "processes.log"
    venue_words = venue_command(tmp_path, keys, SYMBOLS, speed=10, days=1)
    with (
        running(venue_words, log) as (_, venue),
        running(cerebellum_command(tmp_path, keys, SYMBOLS, venue), log) as (_, ready),
    ):
        addresses = Addresses(ready["commands"], ready["events"], ready["market"])
        with CerebellumLink(addresses) as link:
            until(lambda: link.snapshot().ts, lambda: log.read_text()[-2000:], seconds=15)
            time.sleep(1.0)
            account = VenueAccount.from_keys(venue["rest"], keys)
            yield OrdersInFlight(link, addresses, account, tmp_path / "journal.sqlite")


@pytest.mark.process
def test_a_halt_closes_everything_refuses_what_follows_and_leaves_equal_books(
    orders_in_flight: OrdersInFlight,
):
    for symbol, side, qty in (("BTCUSDT", "buy", "0.02"), ("ETHUSDT", "sell", "0.5")):
        assert orders_in_flight.submit(symbol, side, qty).status == "accepted"
    until(
        lambda: len(orders_in_flight.link.snapshot().positions) >= 2,
        orders_in_flight.link.snapshot,
        seconds=15,
    )

    halted = halt_and_flatten(orders_in_flight.addresses, "test", timeout_s=15)

    assert halted.flat
    assert halted.cancels == "0 cancels requested"
    assert halted.fills >= 4
    refused = orders_in_flight.submit("BTCUSDT", "buy", "0.02")
    assert (refused.status, refused.code) == ("rejected", "halted")
    statement = orders_in_flight.account.statement(Decimal(100_000))
    journal = journal_book(orders_in_flight.journal)
    assert journal is not None
    assert journal.positions == {}
    assert differences({"venue": statement.book(), "journal": journal}) == []
    assert statement.wallet_difference() == 0
    assert statement.wallet - 100_000 == journal.cash


def test_a_halt_without_cerebellum_says_so(tmp_path: Path):
    nobody = Addresses(*(f"ipc://{tmp_path}/{name}" for name in ("c", "e", "m")))
    with pytest.raises(LinkError, match="is Cerebellum running"):
        halt_and_flatten(nobody, "test")


@dataclass
class Deaf:
    """The end that Cerebellum binds; some commands it never answers, some it refuses, the rest it accepts."""

    addresses: Addresses
    silent: set[str]
    refused: set[str]
    heard: list[str]
    states: list[Any]


@pytest.fixture
def deaf(monkeypatch, tmp_path: Path) -> Iterator[Deaf]:
    monkeypatch.setattr("crucible.operations.control.ANSWER_S", 0.3)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as commands:
        addresses = Addresses(*(f"ipc://{tmp_path}/{name}" for name in ("c", "e", "m")))
        commands.bind(addresses.commands)
        made = Deaf(addresses, set(), set(), [], [])
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                if commands.poll(50):
                    *sender, frame = commands.recv_multipart()
                    command = decode_command(frame)
                    made.heard.append(type(command).__name__)
                    if made.heard[-1] not in made.silent:
                        taken = made.heard[-1] not in made.refused
                        reply = reply_to(command, made.states, taken=taken)
                        commands.send_multipart([*sender, encode(reply)])

        server = threading.Thread(target=serve)
        server.start()
        yield made
        over.set()
        server.join()


def reply_to(command: CommandMessage, states: list[Any], *, taken: bool) -> SnapshotReply | Ack:
    if isinstance(command, Snapshot):
        return SnapshotReply(
            ts=1, request_id=command.request_id, seq=1, state="HALTED", states=states, positions=[],
            orders=[], totals=Totals(fills=0, fees="0", cash="0"),
            venue=VenueState(connected=True, wallet=None),
        )  # fmt: skip
    return Ack(
        ts=1, request_id=command.request_id, intent_id=None, order=None,
        status="accepted" if taken else "rejected", code=None if taken else "journal",
        text="1 cancels requested" if taken else "the journal cannot be written",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("silent", "what"),
    [("SetState", "the halt"), ("CancelAll", "cancelling"), ("Flatten", "closing")],
)
def test_a_command_without_an_answer_keeps_none_of_the_others_back_and_is_named(deaf, silent, what):
    deaf.silent.add(silent)
    halted = halt_and_flatten(deaf.addresses, "test", 1.0)
    assert deaf.heard[:4] == ["Snapshot", "SetState", "CancelAll", "Flatten"]
    assert set(halted.acknowledged) == {"the halt", "cancelling", "closing"} - {what}
    [missed] = halted.unacknowledged
    assert missed.startswith(f"{what}: no reply to {silent}")
    assert halted.flat
    assert not halted.done
    effect = carry_out(deaf.addresses, Command("kill", None, None, 0), "test")
    assert not effect.done
    assert f"not acknowledged: {what}" in effect.text
    assert ("is HALTED" in effect.text) == (silent != "SetState")


def test_a_kill_of_which_nothing_is_acknowledged_is_an_error_that_names_all_of_it(deaf):
    deaf.silent |= {"SetState", "CancelAll", "Flatten"}
    with pytest.raises(LinkError, match=r"not acknowledged: the halt.*cancelling.*closing"):
        halt_and_flatten(deaf.addresses, "test", 1.0)
    assert "Flatten" in deaf.heard


@pytest.fixture
def command_line(deaf, monkeypatch, tmp_path: Path):
    """The program, in a workspace whose Cerebellum is the deaf one."""
    monkeypatch.setattr("crucible.commands.control.find_cerebellum", lambda: deaf.addresses)
    return lambda *words: call(tmp_path / "home", *words)


@pytest.mark.parametrize("action", ["resume", "halt"])
def test_a_move_that_cerebellum_refuses_is_an_error_with_its_reason(deaf, command_line, action):
    deaf.refused.add("SetState")
    ended = command_line(action, "--operator", "me", "--json")
    assert ended.code == 1
    why = "Cerebellum refused SetState: journal: the journal cannot be written"
    assert json.loads(ended.stdout) == {"error": why}
    assert why in ended.stderr
    assert deaf.heard.count("SetState") == 1
    with pytest.raises(LinkError, match=why):
        carry_out(deaf.addresses, Command(action, None, None, 0), "test")
    assert deaf.heard.count("SetState") == 2


def test_a_resume_after_which_trading_is_held_back_is_an_error_that_says_so(deaf, command_line):
    # It acknowledges, and is HALTED all the same.
    ended = command_line("resume", "--operator", "me", "--json")
    assert ended.code == 1
    assert json.loads(ended.stdout)["state"] == "HALTED"
    assert "it is HALTED again" in ended.stderr
    spoken = command_line("resume", "--operator", "me")
    assert spoken.stdout == "everything is HALTED; it was HALTED\n"
    effect = carry_out(deaf.addresses, Command("resume", None, None, 0), "test")
    assert not effect.done
    assert effect.text == "everything is HALTED; it was HALTED"


@pytest.mark.process
def test_one_agent_is_halted_closed_and_resumed_while_the_other_trades_on(
    orders_in_flight: OrdersInFlight,
):
    link, addresses = orders_in_flight.link, orders_in_flight.addresses
    agent = "BTCUSDT-gp-1@1"

    def held() -> dict[str, Decimal]:
        return {each.agent: Decimal(each.qty) for each in link.snapshot().positions}

    for symbol, side, qty in (("BTCUSDT", "buy", "0.02"), ("ETHUSDT", "buy", "0.5")):
        assert orders_in_flight.submit(symbol, side, qty).status == "accepted"
    until(lambda: len(held()) == 2, held, seconds=15)

    kept = halt(addresses, "test", agent=agent)
    assert (kept.before, kept.after) == ("ACTIVE", "HALTED")
    # What is halted keeps its position, and what is not halted trades on.
    assert held()[agent] == Decimal("0.02")
    assert orders_in_flight.submit("BTCUSDT", "buy", "0.02").code == "halted"
    assert orders_in_flight.submit("ETHUSDT", "buy", "0.1").status == "accepted"

    closed = close_position(addresses, "test", agent, "BTCUSDT", timeout_s=15)
    assert closed.flat
    until(lambda: held().get("ETHUSDT-gp-1@1") == Decimal("0.6"), held, seconds=15)
    assert held().get(agent, Decimal(0)) == 0

    assert resume(addresses, "test", agent=agent).before == "HALTED"
    assert orders_in_flight.submit("BTCUSDT", "buy", "0.02").status == "accepted"
    until(lambda: held().get(agent) == Decimal("0.02"), held, seconds=15)
    killed = halt_and_flatten(addresses, "test", 15.0, agent=agent)
    assert killed.flat
    assert held().get(agent, Decimal(0)) == 0
    assert held()["ETHUSDT-gp-1@1"] == Decimal("0.6")
    assert link.snapshot().state == "ACTIVE"


def test_a_misspelt_name_is_not_resumed_and_one_that_left_while_held_is(
    deaf, command_line, tmp_path
):
    workspace = Workspace.at(tmp_path / "home")
    workspace.create()
    run = workspace.new_run()
    write_json(run.arena, {"agents": [{"agent": "BTCUSDT-gp-1@1"}]})
    write_json(run.facts, {"symbols": ["BTCUSDT"]})
    for option, name in (("--agent", "BTCUSDT-gp-1@9"), ("--symbol", "BTCUSD")):
        ended = command_line("resume", "--operator", "me", option, name, "--json")
        assert ended.code == 1
        assert (
            f"{option} {name}: nothing of that name runs here" in json.loads(ended.stdout)["error"]
        )
        assert "SetState" not in deaf.heard
    deaf.states.append(ScopedState(agent="BTCUSDT-gp-1@9", symbol=None, state="HALTED"))
    command_line("resume", "--operator", "me", "--agent", "BTCUSDT-gp-1@9")
    assert "SetState" in deaf.heard
