"""Proof that a version passed every gate: the evidence itself, under a seal that only its workspace can make.

A tag of the registry can be set by whoever reaches it, so no tag admits to real money. The forge run
seals what it measured (HMAC-SHA256 with a key that the workspace keeps, RFC 2104) together with the digest
of the strategy, and the arena checks the seal, the names, the strategy that it fetched, and each gate.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from crucible.errors import CrucibleError

TAG = "proof"
"""Tag of a version that holds its sealed evidence."""
_DIGITS = 64


class ProofError(CrucibleError, ValueError):
    """Why a proof proves nothing."""


class Gate(msgspec.Struct, frozen=True):
    """One gate as it was measured; `value` is None where it could not be."""

    name: str
    value: float | None
    threshold: float
    better: Literal["higher", "lower"]

    @property
    def passed(self) -> bool:
        """Whether the value is there and on the right side; the threshold itself passes."""
        if self.value is None:
            return False
        if self.better == "higher":
            return self.value >= self.threshold
        return self.value <= self.threshold


class MeasuredEdge(msgspec.Struct, frozen=True):
    """What the strategy earned where it had not learned; sizes follow it."""

    trades: int
    win_rate: float
    payoff: float


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The evidence about one version.

    Attributes
    ----------
    slot, version, run_id : str
        Of the registry; the evidence counts for these and no other.
    strategy : str
        `digest` of the strategy file.
    policy, feature_schema, data_hash, code_revision : str
    trials : int
        Candidates that were ever evaluated for the slot.
    gates : tuple of Gate
    edge : MeasuredEdge or None
    """

    slot: str
    version: str
    run_id: str
    strategy: str
    policy: str
    feature_schema: str
    data_hash: str
    code_revision: str
    trials: int
    gates: tuple[Gate, ...]
    edge: MeasuredEdge | None = None

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the gates that did not pass."""
        return tuple(gate.name for gate in self.gates if not gate.passed)

    @property
    def passed(self) -> bool:
        """Whether there were gates, and all of them passed."""
        return bool(self.gates) and not self.failed


def digest(strategy: Mapping[str, Any]) -> str:
    """Give the SHA-256 of a strategy file's content, whatever its spaces and order of names."""
    text = json.dumps(strategy, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def seal(proof: Proof, key: str) -> str:
    """Give a proof as text under the key's seal."""
    text = msgspec.json.encode(proof, order="sorted").decode()
    return f"{_seal(text, key)} {text}"


def open_sealed(text: str | None, key: str | None, slot: str, version: str, run_id: str) -> Proof:
    """Read a version's proof, if it is one.

    Raises
    ------
    ProofError
        Saying why it is none.
    """
    if text is None:
        message = "it has no proof; only a forge run of this workspace writes one"
        raise ProofError(message)
    if key is None:
        message = "its proof cannot be checked without this workspace's key"
        raise ProofError(message)
    reported, _, body = text.partition(" ")
    if len(reported) != _DIGITS or not hmac.compare_digest(
        reported.encode(*_ANY), _seal(body, key).encode()
    ):
        message = "its proof was not sealed by this workspace, or was altered"
        raise ProofError(message)
    try:
        proof = msgspec.json.decode(body, type=Proof)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        message = f"its proof is of another format: {error}"
        raise ProofError(message) from error
    if (proof.slot, proof.version, proof.run_id) != (slot, version, run_id):
        message = (
            f"its proof belongs to {proof.slot} version {proof.version} of run {proof.run_id}, "
            "not to this one"
        )
        raise ProofError(message)
    return proof


# Whoever can set a tag chooses its characters; none of them may raise.
_ANY = ("utf-8", "backslashreplace")


def _seal(text: str, key: str) -> str:
    return hmac.new(key.encode(), text.encode(*_ANY), hashlib.sha256).hexdigest()
