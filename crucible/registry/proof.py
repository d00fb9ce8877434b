"""Proof of a version: the evidence itself, under a seal that only its workspace can make.

A tag of the registry can be set by whoever reaches it, so no tag admits to real money. There are two routes.
*Forged*: the forge run seals what it measured at every gate (`Proof`). *Lived*: the Watchtower seals what the
version's life in shadow came to (`LivedProof`). Both carry the digest of the strategy under HMAC-SHA256 with a
key that the workspace keeps (RFC 2104); the arena checks the seal, the names, the strategy that it fetched, and
computes anew what the evidence proves.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec

from crucible.errors import CrucibleError

TAG = "proof"
"""Tag of a version that holds the sealed evidence of its forge run."""
LIVED_TAG = "lived_proof"
"""Tag of a version that holds the sealed evidence of its life."""
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


class LivedProof(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="route", tag="lived"
):
    """What the life in shadow of one version proved, at one instant.

    Attributes
    ----------
    slot, version, run_id : str
        Of the registry; the evidence counts for these and no other.
    strategy : str
        `digest` of the strategy file that was traded.
    feature_schema : str
    evidence : float
        Wealth of the bet against "no gain", over all segments of its life (`crucible.watchtower.sequential`).
    trades : int
        Closed ones behind it.
    ever : int
        Versions that had ever been registered, over all slots.
    named : int
        Versions that were named at that instant, this one included.
    rate : float
        The false discovery rate at which they were named.
    ts : int
        Market instant, epoch milliseconds.
    trading_run : str
        Run of the stack in which it was proven.
    """

    slot: str
    version: str
    run_id: str
    strategy: str
    feature_schema: str
    evidence: float
    trades: int
    ever: int
    named: int
    rate: float
    ts: int
    trading_run: str

    @property
    def passed(self) -> bool:
        """Whether the evidence pays for its place among the named (Wang and Ramdas 2022), counted anew."""
        sound = 0 < self.rate < 1 and 0 < self.named <= self.ever
        return (
            sound
            and math.inf > self.evidence
            and self.evidence * self.rate * self.named >= self.ever
        )


AnyProof = TypeVar("AnyProof", Proof, LivedProof)
_NONE = {
    Proof: "it has no proof; only a forge run of this workspace writes one",
    LivedProof: "its life in shadow has not proven it",
}
_NAMES = {Proof: "its proof", LivedProof: "the proof of its life"}


def digest(strategy: Mapping[str, Any]) -> str:
    """Give the SHA-256 of a strategy file's content, whatever its spaces and order of names."""
    text = json.dumps(strategy, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def seal(proof: Proof | LivedProof, key: str) -> str:
    """Give a proof as text under the key's seal."""
    text = msgspec.json.encode(proof, order="sorted").decode()
    return f"{_seal(text, key)} {text}"


def open_sealed(text: str | None, key: str | None, slot: str, version: str, run_id: str) -> Proof:
    """Read a version's proof by its forge run, if it is one.

    Raises
    ------
    ProofError
        Saying why it is none.
    """
    return _open(Proof, text, key, (slot, version, run_id))


def open_lived(
    text: str | None, key: str | None, slot: str, version: str, run_id: str
) -> LivedProof:
    """Read a version's proof by its life, if it is one.

    Raises
    ------
    ProofError
        Saying why it is none.
    """
    return _open(LivedProof, text, key, (slot, version, run_id))


def _open(
    kind: type[AnyProof], text: str | None, key: str | None, names: tuple[str, str, str]
) -> AnyProof:
    if text is None:
        raise ProofError(_NONE[kind])
    what = _NAMES[kind]
    if key is None:
        message = f"{what} cannot be checked without this workspace's key"
        raise ProofError(message)
    reported, _, body = text.partition(" ")
    if len(reported) != _DIGITS or not hmac.compare_digest(
        reported.encode(*_ANY), _seal(body, key).encode()
    ):
        message = f"{what} was not sealed by this workspace, or was altered"
        raise ProofError(message)
    try:
        proof = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        message = f"{what} is of another format: {error}"
        raise ProofError(message) from error
    if (proof.slot, proof.version, proof.run_id) != names:
        message = (
            f"{what} belongs to {proof.slot} version {proof.version} of run {proof.run_id}, "
            "not to this one"
        )
        raise ProofError(message)
    return proof


# Whoever can set a tag chooses its characters; none of them may raise.
_ANY = ("utf-8", "backslashreplace")


def _seal(text: str, key: str) -> str:
    return hmac.new(key.encode(), text.encode(*_ANY), hashlib.sha256).hexdigest()
