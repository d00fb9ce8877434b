"""Tells a campaign to people: figures for the terminal, a JSON file, a picture of the timeline."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.chaos import books
from tests.chaos.campaign import Happening, Outcome
from tests.chaos.schedule import FAULT_NAMES, KILLS

COLOURS = {"filled": "#2a9d8f", "cancelled": "#8d99ae", "new": "#457b9d", "rejected": "#e76f51"}
# Refusals that the moment decides: no trustworthy book, a time to live that has ended.
MOMENTARY = {"stale_book", "mark_unknown", "expired"}
DOWN_COLOUR = "#ffd6d6"


def order_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Give what became of every order, in the order of the schedule."""
    rows = []
    for order in outcome.schedule.orders:
        kept = outcome.journal.orders.get(books.link_of(order.intent_id))
        rows.append(
            {
                "number": order.number,
                "agent": order.agent,
                "symbol": order.symbol,
                "side": order.side,
                "style": order.style,
                "qty": order.qty,
                "sent_at": outcome.sent_at.get(order.number),
                "status": "unknown" if kept is None else kept.status,
                "filled": "0" if kept is None else format(kept.filled.normalize(), "f"),
                "code": None if kept is None else kept.code,
                "sends": 0 if kept is None else kept.sends,
            }
        )
    return rows


def unforetold(outcome: Outcome) -> list[str]:
    """Name orders that ended otherwise than predicted.

    Left out are refusals for a stale book or a time to live, and orders of a holding that Cerebellum
    protected, since it takes entries back when it closes a position.
    """
    found = []
    kept = outcome.journal.orders.values()
    protected = {(one.agent, one.symbol) for one in kept if one.origin != "arena"}
    for order, row in zip(outcome.schedule.orders, order_rows(outcome), strict=True):
        ended = {"new": "resting", "partially_filled": "resting"}.get(row["status"], row["status"])
        refused = ended == "rejected" and row["code"] in MOMENTARY
        withdrawn = ended == "cancelled" and (order.agent, order.symbol) in protected
        if order.predicted not in {None, ended} and not (refused or withdrawn):
            found.append(f"order {order.number} ({order.style}): {ended}, not {order.predicted}")
    return found


def figures(outcome: Outcome) -> dict[str, Any]:
    """Count what happened."""
    rows = order_rows(outcome)
    whats = Counter(happening.what for happening in outcome.happenings)
    return {
        "seed": outcome.schedule.seed,
        "orders": len(rows),
        "seconds": round(outcome.seconds, 1),
        "statuses": dict(sorted(Counter(row["status"] for row in rows).items())),
        "refusals": dict(sorted(Counter(row["code"] for row in rows if row["code"]).items())),
        "sent_more_than_once": sum(1 for row in rows if row["sends"] > 1),
        "amended": sum(1 for one in outcome.journal.orders.values() if one.qty != one.meant),
        "own_exits": sum(1 for one in outcome.journal.orders.values() if one.origin != "arena"),
        "fills": len(outcome.venue.fills),
        "fundings": len(outcome.venue.funding),
        "fees": format(outcome.venue.fees(), "f"),
        "events": outcome.journal.last_seq,
        "faults": {name: whats[name] for name in FAULT_NAMES},
        "kills": {name: whats[f"kill_{name}"] for name in KILLS},
        "alarms": dict(sorted(Counter(code for code, _ in outcome.journal.alarms).items())),
        "differences": outcome.faults,
    }


def publish(outcome: Outcome, out: Path) -> dict[str, Any]:
    """Write ``story.json``, ``timeline.png`` and the schedule into a folder; print the figures."""
    out.mkdir(parents=True, exist_ok=True)
    reported = figures(outcome)
    story = {
        **reported,
        "happenings": [asdict(happening) for happening in outcome.happenings],
        "rows": order_rows(outcome),
    }
    (out / "story.json").write_text(json.dumps(story, indent=1) + "\n")
    schedule = (outcome.folder / "schedule.jsonl").read_bytes()
    (out / "schedule.jsonl").write_bytes(schedule)
    draw(outcome, out / "timeline.png")
    print(summary(reported))
    print(f"story, schedule and timeline: {out}")
    return reported


def summary(reported: dict[str, Any]) -> str:
    """Spell the figures as a table."""

    def row(name: str, value: Any) -> str:
        if isinstance(value, dict):
            value = ", ".join(f"{key} {count}" for key, count in value.items()) or "none"
        return f"  {name:20} {value}"

    lines = [
        f"chaos: seed {reported['seed']}, {reported['orders']} orders in {reported['seconds']} s"
    ]
    lines += [row(name, reported[name]) for name in list(reported)[3:-1]]
    lines.append(row("differences", len(reported["differences"])))
    lines += [f"    {difference}" for difference in reported["differences"][:20]]
    return "\n".join(lines)


def draw(outcome: Outcome, path: Path) -> None:
    """Draw when each order left and what became of it, above every fault and kill."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    agents = sorted({order.agent for order in outcome.schedule.orders})
    lanes = [f"kill_{name}" for name in KILLS] + list(FAULT_NAMES)
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(16, 10), sharex=True, height_ratios=[len(agents) + 1, len(lanes)]
    )
    for axis in (above, below):
        for process in ("cerebellum", "arena"):
            for start, end in _downtimes(outcome.happenings, process):
                axis.axvspan(start, end, color=DOWN_COLOUR, linewidth=0)
    for status, colour in COLOURS.items():
        dots = [
            (row["sent_at"], agents.index(row["agent"]))
            for row in order_rows(outcome)
            if row["status"] == status and row["sent_at"] is not None
        ]
        if dots:
            above.scatter(*zip(*dots, strict=True), s=14, marker="|", color=colour, label=status)
    above.set_yticks(range(len(agents)), agents)
    above.set_ylim(-0.6, len(agents) - 0.4)
    above.legend(loc="upper right", ncols=4, fontsize=8, markerscale=2)
    reported = figures(outcome)
    differ = len(reported["differences"])
    above.set_title(
        f"seed {reported['seed']}: {reported['orders']} orders, {reported['fills']} fills, "
        f"{sum(reported['kills'].values())} kills, {sum(reported['faults'].values())} faults, "
        f"{differ} differences between venue, journal and arena"
    )
    for height, name in enumerate(lanes):
        at = [one.at for one in outcome.happenings if one.what == name]
        colour = "#c1121f" if name.startswith("kill_") else "#264653"
        below.scatter(at, [height] * len(at), s=30, marker="x", color=colour)
    below.set_yticks(range(len(lanes)), lanes, fontsize=8)
    below.invert_yaxis()
    below.grid(axis="y", alpha=0.2)
    below.set_xlabel("seconds; shaded: a process is down")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _downtimes(happenings: list[Happening], process: str) -> list[tuple[float, float]]:
    spans, start = [], None
    for happening in happenings:
        if happening.what == f"kill_{process}" and start is None:
            start = happening.at
        elif happening.what == f"up_{process}" and start is not None:
            spans.append((start, happening.at))
            start = None
    return spans


def retold(outcome: Outcome) -> list[tuple[Any, ...]]:
    """Give what must be the same in every run on a market that stands still while orders are under way.

    Every order's end and every fill's size, price and fee, in the order of the schedule; then every
    payment of funding.
    """
    rows: list[tuple[Any, ...]] = []
    for order in outcome.schedule.orders:
        link = books.link_of(order.intent_id)
        placed = outcome.venue.orders.get(link)
        fills = [
            (str(fill.qty), str(fill.price), str(fill.fee))
            for fill in outcome.venue.fills.values()
            if fill.link == link
        ]
        rows.append((order.number, None if placed is None else placed.status, fills))
    rows += [("funding", str(amount)) for amount in sorted(outcome.venue.funding.values())]
    return rows
