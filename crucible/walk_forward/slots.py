"""The forge runs of all slots: one slot after the other here, or side by side on Dask workers.

A slot's forge runs follow one another, since each counts the trials of those before it; slots do not wait for each other. Where
`forge.dask` names workers, a task is one forge run. The outcome is the same to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crucible.forge.backtest.engine import ForgeError
from crucible.forge.evolution.distributed import ONE_FORGE_RUN, names_of_workers, workers
from crucible.forge.revision import source_hash
from crucible.walk_forward.births import Birth, Material, birth_of, births_so_far, keep_birth


def forge_on_workers(
    address: str,
    materials: Mapping[str, Material],
    instants: Sequence[int],
    folder: Path,
    done: Callable[[], None] = lambda: None,
) -> dict[str, list[Birth]]:
    """Make every forge run of every slot on Dask workers, or read those that an earlier attempt has left.

    Parameters
    ----------
    address : str
        See ``forge.dask``.
    materials : mapping of str to Material
        By slot.
    instants : sequence of int
        Market time, epoch milliseconds, in order.
    folder : Path
        One folder for each slot, as `forge_births` writes it.
    done : callable
        Called after each forge run.

    Raises
    ------
    ForgeError
        If there is no worker, a worker runs other code, or a forge run cannot be made.
    BirthError
        If a file of an earlier attempt is not one of these.
    """
    import distributed

    as_they_end: Any = distributed.as_completed
    births = {}
    for name in materials:
        births[name] = births_so_far(folder / name, len(instants))
        for _ in births[name]:
            done()
    ready = [name for name in materials if len(births[name]) < len(instants)]
    if not ready:
        return births
    with workers(address, len(ready)) as client:
        require_same_code(client, address)
        held: dict[str, Any] = {}
        under_way: dict[Any, str] = {}

        def begin(name: str) -> Any:  # noqa: ANN401 - a future of Dask
            if name not in held:
                held[name] = client.scatter(materials[name], hash=False)
            number = len(births[name]) + 1
            before = births[name][-1] if births[name] else None
            future = client.submit(
                birth_on_worker, held[name], number, instants[number - 1], before, pure=False
            )
            under_way[future] = name
            return future

        futures = as_they_end([begin(name) for name in ready], loop=client.loop)
        for future in futures:
            name = under_way.pop(future)
            births[name].append(keep_birth(future.result(), folder / name))
            done()
            if len(births[name]) < len(instants):
                futures.add(begin(name))
            else:
                del held[name]
    return births


def birth_on_worker(material: Material, number: int, instant: int, before: Birth | None) -> Birth:
    """Make one forge run in a worker's process."""
    with ONE_FORGE_RUN:
        return birth_of(material, number, instant, before)


def require_same_code(client: Any, address: str) -> None:  # noqa: ANN401 - Dask's client
    """Refuse workers that run other code: their forge runs would be others.

    Raises
    ------
    ForgeError
    """
    names_of_workers(client, address)
    for name, found in client.run(source_hash).items():
        if found != source_hash():
            message = f"forge.dask = {address}: the worker {name} runs other code; install the same Crucible there"
            raise ForgeError(message)
