"""Who of a slot may trade here: its aliases, less the versions that admission refuses.

The rule itself is `crucible.registry.admission.refusal`; a seat whose version it refuses counts as empty.
"""

from __future__ import annotations

from crucible.lifecycle.context import Context


def refusals(context: Context, slot: str) -> dict[str, str]:
    """Give why the versions under ``production`` and ``challenger`` may not trade, by alias; only those.

    Raises
    ------
    RegistryError
        If the registry does not answer.
    """
    found = {}
    for alias, version in context.registry.aliases(slot).items():
        if alias in {"production", "challenger"}:
            reason = context.refusal(context.registry.version(slot, version))
            if reason:
                found[alias] = reason
    return found


def serving(context: Context, slot: str) -> dict[str, str]:
    """Give the versions under ``production`` and ``challenger`` that may trade, by alias.

    Raises
    ------
    RegistryError
        If the registry does not answer.
    """
    refused = refusals(context, slot)
    return {
        alias: version
        for alias, version in context.registry.aliases(slot).items()
        if alias in {"production", "challenger"} and alias not in refused
    }
