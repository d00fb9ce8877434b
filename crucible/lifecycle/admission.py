"""Who of a slot may trade here: its aliases, less the versions that admission refuses.

The rule itself is `crucible.registry.admission.refusal`; a seat whose version it refuses counts as empty.
"""

from __future__ import annotations

from crucible.lifecycle.context import Context


def serving(context: Context, slot: str) -> dict[str, str]:
    """Give the versions under ``production`` and ``challenger`` that may trade, by alias.

    Raises
    ------
    RegistryError
        If the registry does not answer.
    """
    return {
        alias: version
        for alias, version in context.registry.aliases(slot).items()
        if alias in {"production", "challenger"}
        and not context.refusal(context.registry.version(slot, version))
    }
