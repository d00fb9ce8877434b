"""The registry's policy: which gates there are, where they pass, and which bind."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import crucible
from crucible.forge.backtest.engine import ForgeError
from crucible.forge.result import Gate

FILE = Path(crucible.__file__).resolve().parents[1] / "mlflow" / "policy.toml"

GateKind = Literal["sanity", "evidence"]


class PolicyError(ForgeError):
    """A policy file that cannot be used; names the file, the entry and what is wrong."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One profile of the policy file.

    Attributes
    ----------
    name : str
    binds : frozenset of str
        Kinds of gate that refuse.
    gates : mapping
        Name to (kind, better, threshold), in the file's order.
    """

    name: str
    binds: frozenset[str]
    gates: Mapping[str, tuple[GateKind, Literal["higher", "lower"], float]]

    def gate(self, name: str, value: float, meaning: str) -> Gate:
        """Hold a measured value against the policy.

        Raises
        ------
        PolicyError
            If the policy has no such gate: a gate must not vanish by a misspelling.
        """
        if name not in self.gates:
            message = f"gate {name!r} has no entry in the policy; add [gates.{name}]"
            raise PolicyError(message)
        kind, better, threshold = self.gates[name]
        return Gate(name, kind, float(value), threshold, better, meaning)

    @property
    def binds_evidence(self) -> bool:
        """Whether nothing may be registered that has not shown that it earns."""
        return "evidence" in self.binds

    def refusing(self, gates: tuple[Gate, ...]) -> Gate | None:
        """Return the first gate that failed and binds."""
        return next((g for g in gates if not g.passed and g.kind in self.binds), None)


def read_policy(profile: str, path: Path = FILE) -> Policy:
    """Read one profile.

    Raises
    ------
    PolicyError
        If the file cannot be read, lacks the profile, or an entry is wrong.
    """
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"{path}: cannot be read as the registry's policy: {error}"
        raise PolicyError(message) from error
    profiles = document.get("profiles", {})
    if profile not in profiles:
        message = f"{path}: no profile {profile!r}; it has {', '.join(sorted(profiles))}"
        raise PolicyError(message)
    gates = {name: _entry(path, name, entry) for name, entry in document.get("gates", {}).items()}
    binds = frozenset(profiles[profile].get("binds", ()))
    if "sanity" not in binds:
        message = f"{path}: profile {profile!r} does not bind sanity gates; they bind always"
        raise PolicyError(message)
    return Policy(profile, binds, gates)


def _entry(
    path: Path, name: str, entry: dict[str, Any]
) -> tuple[GateKind, Literal["higher", "lower"], float]:
    kind, better, threshold = (entry.get(key) for key in ("kind", "better", "threshold"))
    sound = (
        kind in ("sanity", "evidence")
        and better in ("higher", "lower")
        and isinstance(threshold, (int, float))
    )
    if not sound:
        message = f"{path}: gate {name!r}: kind, better or threshold is missing or wrong: {entry}"
        raise PolicyError(message)
    return cast("tuple[GateKind, Literal['higher', 'lower'], float]", (kind, better, threshold))
