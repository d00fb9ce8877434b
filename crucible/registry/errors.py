"""What can go wrong between us and the registry."""

from __future__ import annotations

from crucible.errors import CrucibleError


class RegistryError(CrucibleError, RuntimeError):
    """The registry cannot be reached, or refuses; the message names model, version and reason."""
