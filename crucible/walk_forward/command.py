"""The work of ``crucible walk-forward``: candles in; births, tables, figures and a page out.

First every slot's forge runs are made, or read where an earlier attempt left them; then the slots are traded under
each rule of selection, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crucible.features.history import features_of
from crucible.features.influence.mapper import InfluenceArrays
from crucible.features.pipeline import FeaturePipeline
from crucible.features.store import FeatureStore
from crucible.files import make_folder
from crucible.forge.command import progress_bars
from crucible.forge.revision import source_hash
from crucible.interruption import interruptible
from crucible.market.candles import Candles, read_folder
from crucible.market.funding import Funding, read_funding
from crucible.operations.state_files import read_json
from crucible.outputs import ask_for_folder
from crucible.registry.admission import Rules
from crucible.settings import MINUTE_MS, Settings, Slot, changed
from crucible.walk_forward.births import Birth, Material, forge_births
from crucible.walk_forward.figures import Path as Profit
from crucible.walk_forward.figures import figures, held
from crucible.walk_forward.life import Stage
from crucible.walk_forward.plan import FILE, Plan, identity_of, keep_plan, make_plan
from crucible.walk_forward.report import write_outcome
from crucible.walk_forward.rules import AtRandom, ByEvidence, ByQuarterHour, Frozen, Rule
from crucible.walk_forward.slot_walk import Outcome, SlotWalk, Walk
from crucible.walk_forward.slots import forge_on_workers

if TYPE_CHECKING:
    from crucible.registry.models import Registry

HOLD = "buy and hold"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks for; see `crucible.walk_forward.plan.make_plan`."""

    candles: Path
    out: Path
    slots: Sequence[str] = ()
    refit: str = "7d"
    start: str | None = None
    end: str | None = None
    seed: int = 0
    policy: str | None = None
    generations: int | None = None
    population: int | None = None
    funding: Path | None = None
    influence: Path | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """Candles, funding and features of what is walked."""

    candles: Mapping[str, Candles]
    funding: Mapping[str, Funding]
    settings: Settings
    asked: Asked
    plan: Plan

    def material(self, name: str, report: Callable[[float], None] | None = None) -> Material:
        """Give what a slot's forge runs are made of; features are computed once and kept."""
        slot = Slot.parse(name)
        settings = self.settings
        store = FeatureStore.of(settings)
        influence = self.asked.influence
        pipeline = FeaturePipeline(
            list(self.candles),
            settings.features,
            None if influence is None else InfluenceArrays.load(influence),
            radar_cache=None if store is None else store.beside("radar"),
        )
        frames = features_of(
            pipeline, self.candles, symbols=[slot.symbol], store=store, progress=report
        )
        return Material(
            slot,
            self.candles[slot.symbol],
            frames[slot.symbol],
            self.funding[slot.symbol],
            settings.forge,
            self.plan.seed,
        )


def walk_forward(
    asked: Asked, settings: Settings, registry: Registry | None = None
) -> dict[str, Any]:
    """Walk a factory over candles of the past.

    Needs no server. The same arguments, files and code give the same bytes.

    Parameters
    ----------
    asked : Asked
    settings : Settings
    registry : Registry, optional
        Where it is recorded as a run.

    Returns
    -------
    dict
        JSON-able summary, which is also ``summary.json`` in the folder.

    Raises
    ------
    WalkForwardError, SettingsError, CandleError, FundingError, ForgeError, BirthError
        Naming what cannot be used and why.
    MlflowException
        If it cannot be recorded; its files are written by then.
    """
    ask_for_folder("--out", asked.out)
    inputs = read_inputs(asked, settings)
    make_folder(asked.out)
    keep_plan(inputs.plan, read_json(asked.out / FILE), asked.out)
    plan = inputs.plan
    outcomes: list[Outcome] = []
    births: dict[str, list[Birth]] = {}
    with progress_bars() as progress, interruptible():
        count = len(plan.instants) * len(plan.slots)
        forge_runs = progress.add_task("forge runs", total=count)
        trading = progress.add_task("slots traded", total=len(plan.slots))

        def done() -> None:
            progress.advance(forge_runs)

        folder = asked.out / "births"
        materials: dict[str, Material] = {}
        if address := inputs.settings.forge.dask:
            progress.update(forge_runs, description="features")
            materials = {name: inputs.material(name) for name in plan.slots}
            progress.update(forge_runs, description="forge runs of all slots")
            births = forge_on_workers(address, materials, plan.instants, folder, done)
        for name in plan.slots:
            if name not in births:
                progress.update(forge_runs, description=f"{name}: features")
                materials = {name: inputs.material(name)}
                progress.update(forge_runs, description=f"{name}: forge runs")
                births[name] = forge_births(materials[name], plan.instants, folder / name, done)
            outcomes += trade_slot(inputs, materials[name], births[name])
            progress.advance(trading)
    summary = summarise(inputs, births, outcomes)
    paths = paths_of(inputs, outcomes)
    write_outcome(asked.out, summary, outcomes, paths)
    if registry is not None:
        # Imported here: MLflow takes a second to load, and most walk-forwards are recorded nowhere.
        from crucible.walk_forward.record import record

        record(registry, summary, paths, asked.out)
    return summary


def read_inputs(asked: Asked, settings: Settings) -> Inputs:
    """Read candles and funding, and make the plan."""
    forge = changed(
        settings.forge,
        "forge",
        policy=asked.policy,
        generations=asked.generations,
        population=asked.population,
    )
    settings = settings.model_copy(update={"forge": forge})
    candles = read_folder(asked.candles)
    plan = make_plan(
        candles,
        settings,
        slots=asked.slots,
        refit=asked.refit,
        start=asked.start,
        end=asked.end,
        seed=asked.seed,
        identity=identity_of(candles, settings, source_hash()),
    )
    seen = {name: each.between(0, plan.to_ts) for name, each in candles.items()}
    funding = {name: read_funding(asked.funding or asked.candles, name) for name in candles}
    return Inputs(seen, funding, settings, asked, plan)


def trade_slot(inputs: Inputs, material: Material, births: Sequence[Birth]) -> list[Outcome]:
    """Trade one slot under every rule of selection; the factory's own comes first."""
    settings, plan = inputs.settings, inputs.plan
    every_ms = settings.watchtower.every_minutes * MINUTE_MS
    walk = Walk(plan.from_ts, plan.to_ts, every_ms, Rules("paper", settings.forge.policy))
    stage = Stage.of(
        material.candles, material.frame, material.funding, settings.arena, settings.forge.costs
    )

    def under(rule: Rule) -> Outcome:
        return SlotWalk(material.slot, stage, births, rule, walk).run()

    own = under(ByEvidence(settings.watchtower, settings.singularity.trial))
    lasted = [
        life["until_ts"] - life["since_ts"] for life in own.lives if life["role"] == "production"
    ]
    mean_ms = float(np.mean(lasted)) if lasted else float("inf")
    drawn = AtRandom(mean_ms, every_ms, f"{plan.seed} {material.slot.name} replacement")
    return [own, under(Frozen()), under(drawn), under(ByQuarterHour())]


def paths_of(inputs: Inputs, outcomes: Sequence[Outcome]) -> list[Profit]:
    """Give the profit of every rule over all slots, and that of buying and holding, as shares of all capital."""
    slots = inputs.plan.slots
    capital = float(inputs.settings.arena.capital_per_agent) * len(slots)
    ts = outcomes[0].ts
    rules = list(dict.fromkeys(outcome.rule for outcome in outcomes))
    paths = [
        Profit(
            rule,
            ts,
            np.sum([each.profit for each in outcomes if each.rule == rule], axis=0) / capital,
        )
        for rule in rules
    ]
    own = [inputs.candles[Slot.parse(name).symbol] for name in slots]
    costs = inputs.settings.forge.costs
    return [*paths, Profit(HOLD, ts, np.mean([held(each, ts, costs) for each in own], axis=0))]


def summarise(
    inputs: Inputs, births: Mapping[str, Sequence[Birth]], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """Sum up a walk-forward as JSON values."""
    paths = paths_of(inputs, outcomes)
    rows = []
    for path in paths:
        own = [each for each in outcomes if each.rule == path.name]
        lives = [life for each in own for life in each.lives if life["role"] == "production"]
        trades = [trade for each in own for trade in each.trades if trade["role"] == "production"]
        counted: dict[str, Any] = {}
        if own:
            counted = {
                "production_lives": len(lives),
                "trades": len(trades),
                "fees": sum(float(trade["fees"]) for trade in trades),
                "funding": sum(float(trade["funding"]) for trade in trades),
                "culled": sum(v["verdict"] == "cull" for each in own for v in each.verdicts),
                "promoted": sum(v["verdict"] == "promote" for each in own for v in each.verdicts),
                "seated_share": float(np.mean([each.seated.mean() for each in own])),
            }
        rows.append({"name": path.name, **figures(path, paths[0], inputs.plan.seed), **counted})
    made = [born for each in births.values() for born in each]
    return {
        **inputs.plan.to_json(),
        "policy": inputs.settings.forge.policy,
        "capital": str(inputs.settings.arena.capital_per_agent * len(inputs.plan.slots)),
        "funding": {
            slot: inputs.funding[symbol].describe(inputs.candles[symbol].ts)
            for slot in inputs.plan.slots
            for symbol in (Slot.parse(slot).symbol,)
        },
        "forge_runs": len(made),
        "registered": sum(born.strategy is not None for born in made),
        "proven": sum(born.version.proven for born in made),
        "rows": rows,
    }
