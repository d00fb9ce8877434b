"""`crucible explain`: a version in words, how it was judged, and where it comes from."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from crucible.errors import StrategyError
from crucible.forge.backtest.engine import ForgeError
from crucible.forge.reporting.description import exits_in_words, rules, spoken_rule
from crucible.forge.reporting.folder import CANDIDATE, CHAMPION
from crucible.forge.reporting.origin import UNKNOWN, origin_of_run, origin_of_version
from crucible.registry.proof import LivedProof, digest
from crucible.registry.version import BOTH, FORGED, LIVED
from crucible.strategies.boosted import BoostedStrategy
from crucible.strategies.contract import Strategy
from crucible.strategies.document import read_document, shown
from crucible.strategies.load import load_strategy, read_strategy
from crucible.text import moment

if TYPE_CHECKING:
    from crucible.registry.models import Registry

TOP_FEATURES = 12
WINDOWS = {"train": "training", "validation": "validation", "sealed": "hold-out"}
"""What a person calls the windows of a forge run."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of one strategy.

    Attributes
    ----------
    name : str
        ``SLOT/VERSION``, or the file.
    strategy : Strategy
    judged : mapping
        The lineage that its forge run wrote: seed, trials, gates, windows, importance; empty if none.
    lineage : mapping
        From the version back to the seed, in that order; a step that is not known says so.
    agents : sequence of mapping or None
        Who traded it, as the ledger knows; None where no ledger was asked.
    doubt : str
        Why a version of the registry is not proven; empty if it is, or if it is a file.
    proven_by : str
        The route by which a version of the registry is proven; empty for none, and for a file.
    life : LivedProof or None
        What its life proved, where it did.
    """

    name: str
    strategy: Strategy
    judged: Mapping[str, Any]
    lineage: Mapping[str, str]
    agents: Sequence[Mapping[str, Any]] | None = None
    doubt: str = ""
    proven_by: str = ""
    life: LivedProof | None = None

    @property
    def proven(self) -> bool:
        """Whether it is proven: of a version by its workspace's seal, of a file by the gates that it names."""
        return bool(self.route)

    @property
    def route(self) -> str:
        """The route of its proof: ``forged``, ``lived``, ``forged and lived``, or empty."""
        if self.proven_by or self.doubt:
            return self.proven_by
        return FORGED if self.judged.get("proven") else ""

    def features(self) -> list[dict[str, Any]]:
        """Tell what the features matter: by shuffling, else a classifier's shares of gain."""
        measured = self.judged.get("importance") or []
        if measured:
            return [dict(row) for row in measured[:TOP_FEATURES]]
        if isinstance(self.strategy, BoostedStrategy):
            gains = list(self.strategy.importance().items())[:TOP_FEATURES]
            return [{"feature": name, "gain": share} for name, share in gains]
        return []

    def to_json(self) -> dict[str, Any]:
        """JSON-able."""
        exits = self.strategy.exits
        return {
            "name": self.name,
            "kind": self.strategy.kind,
            "symbol": self.strategy.symbol,
            "rules": rules(self.strategy),
            "exits": {"stop": exits.stop, "target": exits.target, "timeout": exits.timeout},
            "features": self.features(),
            "gates": list(self.judged.get("gates", ())),
            "windows": list(self.judged.get("windows", ())),
            "proven": self.proven,
            "proven_by": self.route or None,
            "life": None if self.life is None else msgspec.to_builtins(self.life),
            "not_proven_because": self.doubt or None,
            "agents": None if self.agents is None else [dict(agent) for agent in self.agents],
            "lineage": dict(self.lineage),
        }

    def to_text(self) -> str:
        """Tell everything, for a person."""
        return "\n".join(
            [
                *self._what_it_does(),
                *self._what_it_earned(),
                *self._what_it_listens_to(),
                *self._how_it_was_judged(),
                *self._where_it_comes_from(),
            ]
        )

    def _what_it_does(self) -> list[str]:
        reported = rules(self.strategy)
        kind = "a genetic program" if self.strategy.kind == "gp" else "a boosted classifier"
        lines = [f"{self.name}: {kind} that trades {self.strategy.symbol}", ""]
        for name, begin in (("buy", "It buys when"), ("exit", "It exits when")):
            lines += spoken_rule(begin, reported[name])
        return [*lines, exits_in_words(self.strategy.exits)]

    def _what_it_earned(self) -> list[str]:
        windows = [window for window in self.judged.get("windows", ()) if window.get("summary")]
        if not windows:
            return []
        lines = ["", "What it earned in its forge run, net of costs:"]
        for window in windows:
            figures = window["summary"]
            name = WINDOWS.get(window["name"], window["name"])
            parts = [
                f"  {name:<11}{moment(window['first_ts'])} to {moment(window['last_ts'])}",
                f"{_figure(figures.get('net_return'), '+.2%')}",
                f"Sharpe {_figure(figures.get('sharpe_annual'), '.2f')}",
                f"drawdown {_figure(figures.get('max_drawdown'), '.2%')}",
                f"{_figure(figures.get('trades'), '.0f')} trades",
                f"{_figure(figures.get('win_rate'), '.0%')} won",
            ]
            lines.append(", ".join(parts))
        return lines

    def _what_it_listens_to(self) -> list[str]:
        features = self.features()
        if not features:
            return []
        if "gain" in features[0]:
            lines = ["", "Features by their share of the model's gain:"]
            return [*lines, *(f"  {row['gain']:7.1%}  {row['feature']}" for row in features)]
        lines = [
            "",
            "Features, each shuffled over the validation window: signals that change, return lost",
        ]
        return lines + [
            f"  {row['signals_changed']:7.2%}  {row['return_lost']:+8.2%}  {row['feature']}"
            for row in features
        ]

    def _how_it_was_judged(self) -> list[str]:
        return [*self._its_gates(), *self._its_life()]

    def _its_life(self) -> list[str]:
        """Tell what its life in shadow proved; nothing where it proved nothing."""
        life = self.life
        if life is None:
            return []
        reported = (
            f"Life in shadow (proven by living at market time {moment(life.ts)}, run {life.trading_run}): evidence "
            f"{life.evidence:.4g} over {life.trades} trades, {life.named} named of {life.ever} versions ever "
            f"registered, at a false discovery rate of {life.rate:g}"
        )
        return ["", reported]

    def _its_gates(self) -> list[str]:
        gates = self.judged.get("gates")
        if not gates:
            how = f" It is proven: {self.route}." if self.route else ""
            return ["", f"Gates: not known; no forge run's record comes with it.{how}"]
        proven = {
            "": "unproven",
            FORGED: "proven: every gate passed",
            BOTH: "proven: forged and lived",
        }.get(self.route, "proven by living, not by its gates")
        if self.doubt and self.judged.get("proven"):
            proven = f"unproven: {self.doubt}"
        trials = self.judged.get("trials")
        counted = f"{trials:,} trials" if isinstance(trials, int) else f"{trials} trials"
        if self.judged.get("effective_trials") is not None:
            counted += f", as {self.judged['effective_trials']:,.0f} independent ones"
        lines = ["", f"Gates ({proven}; {counted}):"]
        for gate in gates:
            value = "not measured" if gate["value"] is None else f"{gate['value']:.4g}"
            side = "at least" if gate["better"] == "higher" else "at most"
            mark = "passed" if gate["passed"] else "FAILED"
            limit = f"{side} {gate['threshold']:g}"
            lines.append(f"  {mark}  {gate['name']:<18} {value:>12}  {limit:<15} {gate['meaning']}")
        return lines

    def _where_it_comes_from(self) -> list[str]:
        lines = ["", "Where it comes from:"]
        for agent in self.agents or ():
            ended = agent["until_ts"]
            until = "active" if ended is None else f"until {moment(ended)}"
            lines.append(
                f"  agent            {agent['agent']}, {agent['role']}, from {moment(agent['since_ts'])}, "
                f"{until}: {agent['orders']} orders (last {agent['last_order'] or 'none'}), "
                f"{agent['fills']} fills at the venue, {agent.get('simulated_fills', 0)} simulated"
            )
        if not self.agents:
            none = UNKNOWN if self.agents is None else "none has traded it in this run"
            lines.append(f"  agent            {none}")
        return lines + [f"  {name:<16} {value}" for name, value in self.lineage.items()]


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def explain_file(path: Path) -> Explanation:
    """Explain a strategy file.

    Raises
    ------
    StrategyError
        Naming the file, and what is wrong with it.
    """
    strategy = read_strategy(path)
    judged = read_document(path).get("lineage", {})
    slot = str(judged.get("slot", UNKNOWN))
    lineage = {"file": str(path), "slot": slot, **origin_of_run(judged)}
    return _reported(Explanation(str(path), strategy, judged, lineage))


def explain_version(
    registry: Registry, name: str, agents: Sequence[Mapping[str, Any]] = ()
) -> Explanation:
    """Explain a version of the registry.

    Parameters
    ----------
    registry : Registry
    name : str
        ``SLOT/VERSION`` with a number or an alias.
    agents : sequence of mapping
        Who traded it; see `Explanation`.

    Raises
    ------
    ForgeError
        If the name is none, or the slot has no such alias.
    RegistryError, StrategyError
        If there is no such version, or it has no usable strategy.
    """
    slot, number = version_number(registry, name)
    version = registry.version(slot, number)
    document = registry.strategy(version)
    strategy = load_strategy(document)
    judged: Mapping[str, Any] = {}
    # Registered by hand it has none: there is no forge run to tell of.
    for file in (CHAMPION, CANDIDATE):
        with contextlib.suppress(StrategyError):
            reported = registry.document(version, file).get("lineage")
            judged = reported if isinstance(reported, dict) else {}
            break
    facts = registry.run_facts(version.run_id)
    held = [alias for alias, held in registry.aliases(slot).items() if held == number]
    named = ", ".join([f"{slot} version {number}", *held])
    lineage = origin_of_version(named, registry.page_of_run(version.run_id), facts, judged)
    held_digest = digest(document)
    doubt, route = version.doubt_of(held_digest), version.proven_with(held_digest)
    life = version.lived if route in {LIVED, BOTH} else None
    return _reported(
        Explanation(f"{slot}/{number}", strategy, judged, lineage, agents, doubt, route, life)
    )


def _reported(explanation: Explanation) -> Explanation:
    """Refuse a lineage that cannot be told: loading ignores it, so it may be anything."""
    try:
        explanation.to_json()
        explanation.to_text()
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        message = (
            f"{explanation.name}: lineage: not what a forge run writes "
            f"({type(error).__name__}: {shown(error)}); take it out of the file"
        )
        raise StrategyError(message) from error
    return explanation


def version_number(registry: Registry, name: str) -> tuple[str, str]:
    """Read ``SLOT/VERSION``, an alias turned into its number.

    Raises
    ------
    ForgeError
        If it is neither.
    """
    slot, slash, version = name.rpartition("/")
    if not slash or not slot or not version:
        message = f"{name!r} is neither a file nor SLOT/VERSION; write for example BTCUSDT-gp-1/3"
        raise ForgeError(message)
    if version.isdigit():
        return slot, version
    aliases = registry.aliases(slot)
    if version not in aliases:
        message = f"{slot} has no alias {version!r}; it has {', '.join(aliases) or 'none'}"
        raise ForgeError(message)
    return slot, aliases[version]
