"""A made ledger for the live page: agents that trade, ended, replaced each other, are judged and simulated."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from random import Random
from typing import Any

from starlette.testclient import TestClient

from crucible.execution.messages import FundingEvent
from crucible.ledger.ledger import Ledger
from crucible.ledger.parity import ParityDay
from crucible.operations.supervision.ports import claim
from crucible.operations.supervision.process import Identity, ServiceProcess
from crucible.operations.workspace import Run, Workspace, write_json
from tests.support.factories import agent_row, fill, fill_event
from tests.support.plant import answer
from tests.support.processes import REPOSITORY

DAY_MS = 86_400_000
BEGAN = 1_735_689_600_000
NOW = BEGAN + 2 * DAY_MS + 6 * 3_600_000
LIVES = "BTCUSDT-gp-1@2"
ENDED = "BTCUSDT-gp-1@1"
RIVAL = "BTCUSDT-gp-1@3"
OTHER = "ETHUSDT-gp-1@1"
QUARTER_MS = 900_000
CAUSE = "loses 0.1000% a trade over 12 trades (evidence 21.0, needed 20.0)"


def ask(client: TestClient, path: str) -> Any:
    """Give what the page's data say under a path."""
    answer = client.get(f"/api/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@contextmanager
def served(workspace: Workspace) -> Iterator[tuple[str, ServiceProcess]]:
    """Serve the page of a workspace in a process of its own; give its address, and the process."""
    port = claim(0, "dashboard")
    environment = {**os.environ, "CRUCIBLE_HOME": str(workspace.path)}
    command = (sys.executable, "-m", "crucible.dashboard", "--port", str(port))
    process = ServiceProcess("dashboard", command, environment, workspace.logs, REPOSITORY)
    try:
        answer(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.stop(5.0)


def traded(workspace: Workspace, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")) -> Run:
    """Make a run with a ledger and a status file; nothing lives."""
    run = workspace.new_run()
    write_json(
        run.facts,
        {"prefect": "http://127.0.0.1:4200", "mlflow": "http://127.0.0.1:5000", "symbols": list(symbols)},
    )  # fmt: skip
    random = Random(4)
    with Ledger(run.ledger) as ledger:
        ledger.seat(agent_row(ENDED, since_ts=BEGAN))
        _trade(ledger, random, ENDED, "BTCUSDT", BEGAN, BEGAN + DAY_MS, flat=True)
        ledger.unseat(ENDED, BEGAN + DAY_MS)
        ledger.book_verdict(BEGAN + DAY_MS, ENDED, "1", "cull", CAUSE, {"role": "production"})
        ledger.seat(agent_row(LIVES, since_ts=BEGAN + DAY_MS, proven_by="lived"))
        _trade(ledger, random, LIVES, "BTCUSDT", BEGAN + DAY_MS, NOW)
        ledger.seat(agent_row(OTHER, symbol="ETHUSDT", since_ts=BEGAN))
        _trade(ledger, random, OTHER, "ETHUSDT", BEGAN, NOW)
        ledger.seat(agent_row(RIVAL, "challenger", since_ts=BEGAN + DAY_MS))
        _trade(ledger, random, RIVAL, "BTCUSDT", BEGAN + DAY_MS, NOW, mode="shadow")
        _judge(ledger)
        ledger.book_decision(
            NOW - 60_000, LIVES, "buy", "edge 0.61 x 1.4", Decimal("101.5"), Decimal("0.25"), "i-last",
            {"fraction": 0.06, "multipliers": {"radar": {"state": "measured", "value": 0.8, "inputs": {"radar_distance": 2.5}}, "product": 0.8}},
        )  # fmt: skip
        ledger.book_parity(ParityDay(LIVES, BEGAN + 2 * DAY_MS, 100, 99, 4, 4, ("one departure",)))
        ledger.set_market_ts(NOW)
        shown = [
            _shown(ledger, name, symbol)
            for name, symbol in ((LIVES, "BTCUSDT"), (OTHER, "ETHUSDT"))
        ]
        shown.append({**_shown(ledger, RIVAL, "BTCUSDT"), "simulated": True, "role": "challenger"})
    write_json(run.arena, {"market_ts": NOW, "agents": shown})
    return run


def announce(
    workspace: Workspace, run: Run, pids: dict[str, int], addresses: dict[str, str], ready: dict[str, str]
) -> None:  # fmt: skip
    """Write which processes serve this run, as the supervisor does; `ready` is what Cerebellum printed."""
    entries: dict[str, dict[str, Any]] = {
        name: {
            **_identity(pid), "state": "up", "address": addresses.get(name, ""), "event": "started",
        }
        for name, pid in pids.items()
    }  # fmt: skip
    entries["cerebellum"]["ready"] = ready
    facts = {"supervisor": _identity(os.getpid()), "run": run.run_id, "services": entries}
    write_json(workspace.services_file, facts)


def _identity(pid: int) -> dict[str, Any]:
    found = Identity.of(pid)
    assert found is not None, f"process {pid} has ended"
    return found.to_json()


def _trade(
    ledger: Ledger, random: Random, agent: str, symbol: str, since: int, until: int,
    *, flat: bool = False, mode: str = "live",
) -> None:  # fmt: skip
    cash, held, number = Decimal(0), Decimal(0), 0
    for ts in range(since, until, QUARTER_MS):
        number += 1
        price = Decimal(f"{random.uniform(95, 105):.2f}")
        last = ts + QUARTER_MS >= until
        if number % 5 == 0 or (flat and last and held):
            side = "sell" if held else "buy"
            qty = held or Decimal(f"0.{random.randint(100, 999)}")
            fee = Decimal(f"0.0{random.randint(1000000, 9999999)}")
            if flat and last and not held:
                continue
            seq = ledger.last_seq() + 1
            changes = {
                "agent": agent,
                "symbol": symbol,
                "exec_ts": ts + 1_000,
                "reason": "entry" if side == "buy" else "signal",
            }
            if mode == "live":
                ledger.book_event(
                    fill_event(
                        seq,
                        f"e{seq}",
                        side=side,
                        qty=str(qty),
                        price=str(price),
                        fee=str(fee),
                        intent_id=f"i{seq}",
                        **changes,
                    )
                )
            else:
                ledger.book_shadow_fill(
                    fill(
                        number,
                        side,
                        qty,
                        price,
                        fee,
                        mode="shadow",
                        exec_id=f"s{agent}{number}",
                        **changes,
                    )
                )
            cash += (-qty if side == "buy" else qty) * price - fee
            held = qty if side == "buy" else Decimal(0)
        if number == 30 and mode == "live":
            seq = ledger.last_seq() + 1
            ledger.book_event(
                FundingEvent(
                    ts=ts,
                    seq=seq,
                    exec_id=f"f{seq}",
                    agent=agent,
                    symbol=symbol,
                    amount="0.01234567",
                    exec_ts=ts,
                )
            )
            cash -= Decimal("0.01234567")
        ledger.book_equity(ts, [(agent, mode, 10_000 + cash + held * price)])  # type: ignore[list-item]


def _judge(ledger: Ledger) -> None:
    for ts in range(BEGAN + DAY_MS, NOW + 1, QUARTER_MS):
        for agent, evidence in ((LIVES, 1.4), (OTHER, 0.9), (RIVAL, 2.5)):
            details = {
                "gain_evidence": evidence,
                "loss_evidence": 0.7,
                "trades": 9,
                "drawdown": 0.01,
            }
            ledger.book_verdict(ts, agent, "1", "keep", "evidence is not decisive", details)
    ledger.set_last_judged(NOW - NOW % QUARTER_MS)


def _shown(ledger: Ledger, agent: str, symbol: str) -> dict[str, object]:
    fills = ledger.fills(agent)
    held = sum((each.signed_qty for each in fills), Decimal(0))
    cash = sum((each.cash for each in fills), Decimal(0))
    cash -= sum((each.amount for each in ledger.payments(agent)), Decimal(0))
    return {
        "agent": agent, "role": "production", "symbol": symbol, "kind": "gp", "proven": False, "simulated": False,
        "position": str(held), "trades": len(ledger.trades(agent)), "pnl": str(cash + held * Decimal(100)),
        "last_signal": "HOLD", "last_event": "nothing",
        "multipliers": {
            "micro_causality": {
                "value": 0.8, "state": "measured",
                "inputs": {"mce_skew": None, "mce_pressure": 0.25, "mce_tier": 1.0},
            },
            "product": 0.8,
        },
    }  # fmt: skip
