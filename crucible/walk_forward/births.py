"""Births: what the Forge would have registered for a slot at each instant, knowing only what came before it.

A slot is forged at a fixed pace, whether anybody needs a version or not, so that every rule of selection chooses among
the same versions. Each forge run counts the trials of all that came before it, as live ones do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from crucible.errors import CrucibleError
from crucible.features.frame import FeatureFrame
from crucible.files import make_folder, replacing
from crucible.forge.evolution.run import ForgeRun
from crucible.forge.result import verdict
from crucible.forge.validation.novelty import earned
from crucible.lifecycle.publishing import minutes_between_trades, proof_of
from crucible.lifecycle.replacement import forge_seed
from crucible.market.candles import Candles
from crucible.market.funding import Funding
from crucible.registry.proof import Proof
from crucible.registry.version import Version
from crucible.settings import ForgeSettings, Slot


class BirthError(CrucibleError, ValueError):
    """A file of an earlier walk-forward that cannot be read."""


class Birth(msgspec.Struct, frozen=True):
    """What came of one forge run of a slot.

    Attributes
    ----------
    slot : str
    number : int
        Which forge run of the slot it was, from 1; the number of its version.
    known_until_ts : int
        Market instant, epoch milliseconds: no candle that closed later was seen.
    verdict : str
        What came of it, in a line.
    trials : int
        Of the slot so far, these included.
    effective_trials : float
        As independent ones.
    strategy : dict or None
        The strategy file of whom the policy let in; None for nobody.
    proof : Proof or None
        Its evidence.
    gap : float or None
        Minutes between two trades in its backtest.
    """

    slot: str
    number: int
    known_until_ts: int
    verdict: str
    trials: int
    effective_trials: float
    strategy: dict[str, Any] | None = None
    proof: Proof | None = None
    gap: float | None = None

    @property
    def version(self) -> Version:
        """The version that it would have been in the registry, its proof looked at."""
        doubt = "" if self.proof is not None else "it has no proof"
        return Version(self.slot, str(self.number), "", {}, self.proof, doubt)


@dataclass(frozen=True, slots=True)
class Material:
    """What the forge runs of a slot are made of: all candles, of which each run sees those before its instant.

    Attributes
    ----------
    slot : Slot
    candles : Candles
    frame : FeatureFrame
        Of the same candles, each row of nothing later than itself.
    funding : Funding
    settings : ForgeSettings
    seed : int
        0 gives the seeds of the live factory.
    """

    slot: Slot
    candles: Candles
    frame: FeatureFrame
    funding: Funding
    settings: ForgeSettings
    seed: int = 0


def forge_run_of(material: Material, number: int, instant: int, before: Birth | None) -> ForgeRun:
    """Prepare a forge run on what is known at an instant.

    Parameters
    ----------
    material : Material
    number : int
        Of the forge run, from 1.
    instant : int
        Market time, epoch milliseconds: candles that have closed by then are seen.
    before : Birth or None
        Of the slot's forge run before it, whose trials are counted.

    Raises
    ------
    ForgeError
        If there are too few candles before the instant.
    """
    slot, frame = material.slot, material.frame
    rows = int(np.searchsorted(frame.ts, instant, side="right"))
    candles = material.candles[:rows]
    past = FeatureFrame(frame.symbol, frame.ts[:rows], frame.values[:rows], frame.schema)
    funding = material.funding.between(0, instant + 1)
    name = slot.name if material.seed == 0 else f"{slot.name}/{material.seed}"
    return ForgeRun(
        slot,
        candles,
        past,
        material.settings,
        forge_seed(name, number),
        0 if before is None else before.trials,
        incumbents=earned({}, candles, past, material.settings, funding),
        funding=funding,
        prior_effective=None if before is None else before.effective_trials,
    )


def birth_of(material: Material, number: int, instant: int, before: Birth | None) -> Birth:
    """Make one forge run; parameters and errors are those of `forge_run_of`."""
    result = forge_run_of(material, number, instant, before).run()
    slot = material.slot
    born = Birth(
        slot.name, number, instant, verdict(result), result.trials, result.effective_trials
    )
    if result.offered is None:
        return born
    return msgspec.structs.replace(
        born,
        strategy=result.offered.to_json(),
        proof=proof_of(result, Version(slot.name, str(number), "", {})),
        gap=minutes_between_trades(result),
    )


def forge_births(
    material: Material,
    instants: Sequence[int],
    folder: Path,
    done: Callable[[], None] = lambda: None,
) -> list[Birth]:
    """Make every forge run of a slot, or read those that an earlier attempt has left.

    Parameters
    ----------
    material : Material
    instants : sequence of int
        Market time, epoch milliseconds, in order.
    folder : Path
        One file each, written when it is whole.
    done : callable
        Called after each.

    Raises
    ------
    ForgeError
        If there are too few candles before the first instant.
    BirthError
        If a file of an earlier attempt is not one of these.
    """
    births = births_so_far(folder, len(instants))
    for _ in births:
        done()
    for number in range(len(births) + 1, len(instants) + 1):
        before = births[-1] if births else None
        births.append(keep_birth(birth_of(material, number, instants[number - 1], before), folder))
        done()
    return births


def births_so_far(folder: Path, most: int) -> list[Birth]:
    """Read what an earlier attempt has left, up to the first that is missing; the folder is made where there is none.

    Raises
    ------
    BirthError
        If a file is none of these; the message names it.
    """
    make_folder(folder)
    births: list[Birth] = []
    while len(births) < most and (path := _file(folder, len(births) + 1)).exists():
        births.append(read_birth(path))
    return births


def keep_birth(born: Birth, folder: Path) -> Birth:
    """Write a birth to its file, at once and whole."""
    with replacing(_file(folder, born.number)) as part:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(born, order="sorted")))
    return born


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.json"


def read_birth(path: Path) -> Birth:
    """Read a birth from its file.

    Raises
    ------
    BirthError
        If it is none; the message names the file.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Birth)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"{path}: is no outcome of a forge run: {error}; remove it to have it made again"
        raise BirthError(message) from error
