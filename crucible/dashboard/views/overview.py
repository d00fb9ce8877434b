"""The overview: how much, what trades, what came and went, what is wrong."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from crucible.dashboard.curves import MARK_MS, grid, total_profit
from crucible.dashboard.facts import Facts
from crucible.dashboard.history import buy_and_hold, price_at
from crucible.dashboard.views.rows import (
    DAY_MS,
    cause_of_end,
    day_of,
    known,
    money,
    open_result,
    state_of,
)
from crucible.ledger import page_reader
from crucible.ledger.reader import PLACEBO
from crucible.ledger.tally import Sums
from crucible.ledger.trades import ZERO
from crucible.operations.reconciliation.accounts import plain
from crucible.operations.status import market_time
from crucible.settings import MINUTE_MS

NEWEST = 6
BEHIND_S = 180.0
"""Wall seconds by which judgements may lie behind the market: on a fast one several are due at once."""
BEHIND_TURNS = 4
"""The same in judgements, on a slow one."""
_NOT_KNOWN = "equity of now is not known: an open position has no price"
STALE_S = 30.0
"""Wall seconds after which an arena that has written nothing is called silent."""


def overview(facts: Facts) -> dict[str, Any]:
    """Give everything that the first page shows, as JSON values; money as exact text."""
    return {
        "run": facts.status.run,
        "running": facts.status.running,
        "market_ts": facts.market_ts,
        "market_time": market_time(facts.market_ts),
        "market": facts.started.get("market"),
        "speed": facts.started.get("speed"),
        "arena_age_s": facts.arena_age_s,
        "trading": facts.status.trading.to_json(),
        "money": _money(facts),
        "agents": _by_state(facts),
        "slots": _slots(facts),
        "births": _births(facts),
        "deaths": _deaths(facts),
        "endings": len(facts.tally.endings),
        "warnings": warnings(facts),
        "services": services(facts),
    }


@dataclass(frozen=True, slots=True)
class Profit:
    """What all agents earned at the venue.

    Attributes
    ----------
    total, still_open : Decimal or None
        All of it, and the part of it that is open. None as long as one open position has no known result: it may
        have lost, so that a sum without it is no bound.
    known, known_open : Decimal
        The same without the open positions whose result is not known.
    unknown : list of str
        The agents that hold those.
    """

    known: Decimal
    known_open: Decimal
    unknown: list[str]

    @property
    def total(self) -> Decimal | None:
        """All of it."""
        return None if self.unknown else self.known

    @property
    def still_open(self) -> Decimal | None:
        """The part of it that is open."""
        return None if self.unknown else self.known_open


def profit_now(facts: Facts) -> Profit:
    """Sum up what all agents earned at the venue, closed and open."""
    total = whole_open = ZERO
    unknown = []
    for (agent, mode), own in facts.tally.agents.items():
        if mode != "live":
            continue
        total += own.sums.net
        result = open_result(facts.shown.get(agent), own)
        if result is None:
            unknown.append(agent)
        else:
            whole_open += result
    return Profit(total + whole_open, whole_open, sorted(unknown))


def base_capital(facts: Facts) -> Decimal | None:
    """Give the capital that the slots began with: one share a slot; None where settings cannot be used."""
    if facts.settings is None:
        return None
    return facts.settings.arena.capital_per_agent * len(facts.settings.slots)


def _money(facts: Facts) -> dict[str, Any]:
    earned = profit_now(facts)
    base = base_capital(facts)
    at_work = sum(
        (abs(own.cost) for (_, mode), own in facts.tally.agents.items() if mode == "live"), ZERO
    )
    periods = []
    if facts.market_ts is not None:
        today = day_of(max(0, facts.market_ts - 1))
        for name, since in (("today", today), ("week", today - 6 * DAY_MS)):
            periods.append({"name": name, "since_ts": since, **money(facts.tally.since(since))})
    whole = facts.tally.total if facts.tally.days else Sums()
    periods.append({"name": "all", "since_ts": None, **money(whole)})
    return {
        "base": None if base is None else plain(base),
        "profit": known(earned.total),
        "equity": None if base is None or earned.total is None else plain(base + earned.total),
        "open": known(earned.still_open),
        # Without the open positions of those that `unknown` names.
        "known_profit": plain(earned.known),
        "at_work": plain(at_work),
        "periods": periods,
        "unknown": earned.unknown,
    }


def equity_curve(facts: Facts) -> dict[str, Any]:
    """Give total equity beside buying and holding the traded symbols, over the same time."""
    base, now = base_capital(facts), facts.market_ts
    live = [row for row in facts.agents if (row.agent, "live") in facts.tally.agents]
    if facts.ledger is None or now is None or not live or base is None or facts.settings is None:
        return {"ts": [], "equity": [], "hold": [], "symbols": [], "note": "nothing was traded yet"}
    capital = facts.settings.arena.capital_per_agent
    instants = [ts for ts in grid(min(row.since_ts for row in live), now) if ts < now]
    totals = total_profit(facts.marks, facts.ledger, facts.tally, live, instants, capital)
    earned = profit_now(facts).total
    if earned is not None:
        instants.append(now)
        totals.append(earned)
    if not instants:
        return {"ts": [], "equity": [], "hold": [], "symbols": [], "note": _NOT_KNOWN}
    symbols = list(dict.fromkeys(row.symbol for row in live))
    held = [facts.prices.minutes(facts.tape, name, instants[0] - MARK_MS) for name in symbols]
    hold = buy_and_hold([price_at(each.candles, instants, 4 * MARK_MS) for each in held])
    notes = [each.trouble for each in held if each.trouble]
    if not any(hold):
        notes = [f"holding is not known: {'; '.join(notes) or 'no candles of this time are held'}"]
    if earned is None:
        notes.append(_NOT_KNOWN)
    return {
        "ts": instants,
        "equity": [plain(base + total) for total in totals],
        "hold": [None if worth is None else round(worth * float(base), 4) for worth in hold],
        "symbols": symbols,
        "note": "; ".join(notes),
    }


def _by_state(facts: Facts) -> dict[str, int]:
    counts = Counter(
        state_of(row, facts.shown.get(row.agent)) for row in facts.agents if row.until_ts is None
    )
    known = {row.agent for row in facts.agents if row.until_ts is None}
    for name, shown in facts.shown.items():
        if name not in known and shown.get("role") in {"refused", "quarantined"}:
            counts[str(shown["role"])] += 1
    return dict(counts)


def _slots(facts: Facts) -> dict[str, Any]:
    if facts.settings is None:
        return {"filled": None, "of": None, "empty": []}
    names = [slot.name for slot in facts.settings.slots]
    seated = {row.slot for row in facts.agents if row.until_ts is None and row.role == "production"}
    return {
        "filled": sum(name in seated for name in names),
        "of": len(names),
        "empty": [
            {"slot": name, "waits_for": waits_for(facts, name)}
            for name in names
            if name not in seated
        ],
    }


def waits_for(facts: Facts, slot: str) -> str:
    """Say what a slot without a production agent waits for."""
    challenger = [
        row
        for row in facts.agents
        if row.slot == slot and row.until_ts is None and row.role == "challenger"
    ]
    if challenger:
        return f"the evidence of {challenger[0].agent}, which trades in shadow"
    held = facts.slots
    if held.fault:
        return f"not known: {held.fault}"
    row = next((each for each in held.rows if each.get("slot") == slot), None)
    ordered = [each for each in held.actions if each.get("slot") == slot]
    if slot in held.under_way or any(each.get("action") in {"forge", "renew"} for each in ordered):
        return "a forge run that is under way or queued"
    if row is None:
        return "the first look at the slots"
    if row.get("rests"):
        runs = row.get("forgings without a version", 0)
        return f"its pause to end: {runs} forge runs in a row gave no version"
    return "its turn at the forge"


def _births(facts: Facts) -> list[dict[str, Any]]:
    born = sorted(
        (row for row in facts.agents if row.role != PLACEBO), key=lambda row: -row.since_ts
    )
    return [
        {"ts": row.since_ts, "agent": row.agent, "role": row.role, "proof": row.proven_by}
        for row in born[:NEWEST]
    ]


def _deaths(facts: Facts) -> list[dict[str, Any]]:
    ended = sorted(
        (row for row in facts.agents if row.until_ts is not None and row.role != PLACEBO),
        key=lambda row: -(row.until_ts or 0),
    )
    return [
        {
            "ts": row.until_ts,
            "agent": row.agent,
            "role": row.role,
            "cause": cause_of_end(facts, row),
        }
        for row in ended[:NEWEST]
    ]


def warnings(facts: Facts) -> list[dict[str, str]]:
    """Give what somebody should look at, the worst first: each a level and a sentence."""
    found: list[tuple[int, str]] = []
    trading = facts.status.trading
    if trading.state != "ACTIVE" or trading.why:
        found.append((0, trading.lines[0]))
    found += [(0, line) for line in trading.lines[1:]]
    down = [name for name in facts.status.down if name != "dashboard"]
    if down and facts.status.running:
        found.append((0, f"down: {', '.join(down)}"))
    silent = [one.name for one in facts.status.services if one.state == "starting"]
    if silent and facts.status.running:
        found.append((1, f"starting, or alive without an answer: {', '.join(silent)}"))
    if facts.status.placebos and facts.status.placebos.get("alarm"):
        found.append((0, str(facts.status.placebos.get("sentence"))))
    if (fault := facts.status.systemic) is not None:
        level = 0 if fault.get("alarm") else 1
        found.append((level, f"{fault.get('sentence')}. Next: {fault.get('next')}"))
    if facts.arena.get("trouble"):
        found.append((0, f"the ledger cannot be written: {facts.arena['trouble']}"))
    if facts.status.running and (facts.arena_age_s or 0.0) > STALE_S:
        age = facts.arena_age_s or 0.0
        since = f"{age:.0f} s" if age < 120 else f"{age / 60:.0f} min"
        found.append((1, f"the arena has shown nothing for {since}: figures are that old"))
    if facts.arena.get("registry_reachable") is False:
        found.append((1, "the arena cannot reach MLflow: it trades on with the versions it has"))
    for name in ("quarantined", "refused"):
        kept_out = facts.arena.get(name) or {}
        if kept_out:
            found.append((1, f"{name}: {', '.join(sorted(map(str, kept_out)))}"))
    if facts.slots.fault:
        found.append((1, facts.slots.fault))
    found += _of_ledger(facts)
    unknown = facts.started.get("unknown_funding")
    if unknown:
        names = ", ".join(map(str, unknown))
        found.append((2, f"no funding rates known of {names}: none are charged"))
    found.sort(key=lambda each: each[0])
    levels = "serious", "look", "note"
    return [{"level": levels[level], "text": text} for level, text in found]


def _of_ledger(facts: Facts) -> list[tuple[int, str]]:
    if facts.ledger is None or facts.market_ts is None:
        return []
    found = _of_judgements(facts)
    day = day_of(facts.market_ts)
    refused = facts.ledger.refused_orders(day, 500)
    if refused:
        first = refused[0]
        count = f"{len(refused)}{'+' if len(refused) == 500 else ''}"
        text = f"{count} orders refused today; the newest of {first['agent']}: {first['outcome']}"
        found.append((1, text))
    least = None if facts.settings is None else facts.settings.watchtower.minimum_parity
    active = {row.agent for row in facts.agents if row.until_ts is None}
    for agent, compared in facts.ledger.newest_parity().items():
        score = compared.score
        if agent in active and least is not None and score is not None and score < least:
            found.append((1, f"parity of {agent} is {score:.1%}, below {least:.0%}"))
    alarms = facts.ledger.alarms(None, page_reader.NEWEST, 3, day)
    found += [(1, f"{alarm['code']}: {alarm['text']}") for alarm in alarms]
    return found


def _of_judgements(facts: Facts) -> list[tuple[int, str]]:
    """Say that nobody is judged: what loses goes on losing meanwhile."""
    ledger, settings, now = facts.ledger, facts.settings, facts.market_ts
    begun = [row.since_ts for row in facts.agents if row.until_ts is None]
    if ledger is None or settings is None or now is None or not begun or not facts.status.running:
        return []
    judged = ledger.last_judged()
    since = min(begun) if judged is None else judged
    turns_ms = BEHIND_TURNS * settings.watchtower.every_minutes * MINUTE_MS
    fast_ms = BEHIND_S * 1_000 * float(facts.started.get("speed") or 1.0)
    if now - since <= max(turns_ms, fast_ms):
        return []
    hours = f"{(now - since) / (60 * MINUTE_MS):.1f} market hours"
    last = "yet" if judged is None else f"since {market_time(judged)}"
    text = f"no agent has been judged {last}, for {hours}: culls and promotions wait; crucible logs selection tells why"
    return [(1, text)]


def services(facts: Facts) -> list[dict[str, Any]]:
    """Give each service with its state and the age of its last sign of life, in seconds."""
    run = facts.run
    found = []
    for service in facts.status.services:
        sign, age = "its process and its address", 0.0 if service.state == "up" else None
        if service.name in {"worker", "selection", "cerebellum"}:
            sign = "its process"
        if service.name == "arena" and run is not None:
            sign, age = "its status file", facts.arena_age_s
        if age is None and run is not None:
            # What is down is as old as the last line of its log.
            log = run.path.parents[1] / "logs" / f"{service.name}.log"
            sign, age = "the last line of its log", _age_of(log)
        found.append({**service.to_json(), "sign": sign, "age_s": age})
    return found


def _age_of(path: Path) -> float | None:
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return None
