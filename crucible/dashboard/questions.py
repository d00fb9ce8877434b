"""The questions under ``/api``: a name, what it is made of, and how old an answer may be that pages share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from crucible.dashboard.facts import Facts, Source
from crucible.dashboard.versions import UNKNOWN_VERSION, version_of
from crucible.dashboard.views.agent import agent
from crucible.dashboard.views.agents import agents, correlations
from crucible.dashboard.views.events import Cursor, events
from crucible.dashboard.views.execution import execution
from crucible.dashboard.views.market import DEFAULT, market
from crucible.dashboard.views.overview import equity_curve, overview
from crucible.dashboard.views.population import forge_under_way, population
from crucible.operations.errors import OperationsError
from crucible.operations.reconciliation.report import make_report
from crucible.operations.supervision.probe import page

Answer = dict[str, Any] | None
FRESH_S, CALM_S, RARE_S = 1.0, 4.0, 30.0
PLACEBO = (
    "A placebo has no rule: it enters at random, so that what luck earns is seen beside the rest."
)
_LONGEST = 100


def _short(text: str) -> str:
    """Name what was asked for, no longer than an answer needs it."""
    return repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "...")


class Questions:
    """Answers what pages ask.

    Parameters
    ----------
    source : Source
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known_versions: dict[str, dict[str, Any]] = {}

    def answer(self, name: str, asked: Mapping[str, str]) -> Answer:
        """Answer one question; None where there is no such question, or nothing of that name.

        Raises
        ------
        OperationsError
            If a file of the workspace or the ledger cannot be read.
        """
        # What is asked for is part of the key of what is kept: it must not grow without bound.
        if any(len(value) > _LONGEST for value in asked.values()):
            return None
        simple: dict[str, tuple[float, Callable[[Facts], Answer]]] = {
            "overview": (FRESH_S, overview),
            "curve": (CALM_S, equity_curve),
            "correlations": (RARE_S, correlations),
            "population": (CALM_S, population),
        }
        if name in simple:
            seconds, made = simple[name]
            return self._of_facts(name, seconds, made)
        others: dict[str, Callable[[Mapping[str, str]], Answer]] = {
            "agents": self._agents,
            "agent": self._agent,
            "version": self._version,
            "market": self._market,
            "book": self._book,
            "forge-runs": self._forge_runs,
            "execution": self._execution,
            "accounts": self._accounts,
            "events": self._events,
        }
        return others[name](asked) if name in others else None

    def absent(self, name: str, asked: Mapping[str, str]) -> str:
        """Say what a question without an answer was about, and what there is instead."""
        if name in {"agent", "version"}:
            return (
                f"no agent is called {_short(asked.get('name', ''))} in this run; "
                "all that there are stand under Agents"
            )
        if name in {"market", "book"}:
            with self._source.facts() as facts:
                held = ", ".join(facts.symbols)
            there = f"there are {held}" if held else "none is traded yet: crucible up"
            return f"no symbol {_short(asked.get('symbol', ''))} is traded here; {there}"
        return f"there is no question {_short(name)} with these parameters"

    def _of_facts(self, key: str, seconds: float, make: Callable[[Facts], Answer]) -> Answer:
        def made() -> Answer:
            with self._source.facts() as facts:
                return make(facts)

        return self._source.shared(key, seconds, made)

    def _agents(self, asked: Mapping[str, str]) -> Answer:
        everyone = asked.get("all") == "1"
        return self._of_facts(
            f"agents {everyone}", CALM_S, lambda facts: agents(facts, everyone=everyone)
        )

    def _agent(self, asked: Mapping[str, str]) -> Answer:
        name = asked.get("name", "")
        return self._of_facts(f"agent {name}", FRESH_S, lambda facts: agent(facts, name))

    def _version(self, asked: Mapping[str, str]) -> Answer:
        """Tell the rule and the lineage of an agent that the ledger knows."""
        name = asked.get("name", "")
        with self._source.facts() as facts:
            row = next((each for each in facts.agents if each.agent == name), None)
        if row is None:
            return None
        if row.kind == "placebo":
            return {**UNKNOWN_VERSION, "known": True, "why": PLACEBO}
        if name in self._known_versions:
            return self._known_versions[name]
        services = self._source.status().services
        address = next((one.address for one in services if one.name == "mlflow"), "")

        def made() -> dict[str, Any]:
            return version_of(address, row.slot, row.version)

        found = self._source.shared(f"version {name}", CALM_S, made)
        if found["known"] and found["rules"]:
            if len(self._known_versions) > 500:
                self._known_versions.clear()
            self._known_versions[name] = found
        return found

    def _market(self, asked: Mapping[str, str]) -> Answer:
        span = asked.get("span", DEFAULT)
        symbol = asked.get("symbol", "")

        def made(facts: Facts) -> Answer:
            return market(facts, symbol or next(iter(facts.symbols), ""), span)

        return self._of_facts(f"market {symbol} {span}", FRESH_S, made)

    def _book(self, asked: Mapping[str, str]) -> Answer:
        symbol = asked.get("symbol", "")
        with self._source.facts() as facts:
            known = symbol in facts.symbols
        return self._source.tape.book(symbol) if known else None

    def _forge_runs(self, _: Mapping[str, str]) -> Answer:
        folder = self._source.workspace.path / "forge"
        return self._of_facts("forge-runs", FRESH_S, lambda facts: forge_under_way(folder, facts))

    def _execution(self, _: Mapping[str, str]) -> Answer:
        services = self._source.status().services
        address = next((one.address for one in services if one.name == "cerebellum"), "")

        def made() -> Answer:
            # Before the ledger is taken, which others wait for.
            read = page(address) if address else None
            metrics = None if read is None else read.decode(errors="replace")
            with self._source.facts() as facts:
                return execution(facts, metrics)

        return self._source.shared("execution", FRESH_S, made)

    def _accounts(self, _: Mapping[str, str]) -> Answer:
        """Compare the three accounts: every fill is read, so this is not done often."""

        def made() -> Answer:
            began = time.monotonic()
            try:
                report = make_report(self._source.workspace).to_json()
            except OperationsError as error:
                return {"known": False, "why": str(error)}
            wanted = ("run", "fills", "fees", "pnl", "books_agree", "books", "differences", "notes")
            taken = round(time.monotonic() - began, 2)
            return {"known": True, "took_s": taken, **{name: report[name] for name in wanted}}

        return self._source.shared("accounts", RARE_S, made)

    def _events(self, asked: Mapping[str, str]) -> Answer:
        kinds = frozenset(filter(None, asked.get("kinds", "").split(",")))
        agent_name = asked.get("agent") or None
        try:
            before = Cursor.parse(asked["before"]) if asked.get("before") else None
        except ValueError:
            return None
        key = f"events {sorted(kinds)} {agent_name} {before}"
        return self._of_facts(key, FRESH_S, lambda facts: events(facts, kinds, agent_name, before))
