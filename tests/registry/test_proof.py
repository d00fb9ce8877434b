"""Evidence counts under the seal of its workspace, for one version and one strategy file, and no other."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.registry.proof import (
    Gate,
    MeasuredEdge,
    Proof,
    ProofError,
    digest,
    open_sealed,
    seal,
)

KEY, NAMES = "key", ("BTCUSDT-gp-1", "3", "run")
GATES = (Gate("net", 0.1, 0.0, "higher"), Gate("costs", 0.05, 0.05, "lower"))
PROOF = Proof(
    *NAMES, "d" * 64, "strict", "schema", "data", "code", 9, GATES, MeasuredEdge(9, 0.5, 2)
)


def test_what_was_sealed_comes_back():
    assert open_sealed(seal(PROOF, KEY), KEY, *NAMES) == PROOF
    assert PROOF.passed
    assert PROOF.failed == ()


@pytest.mark.parametrize(
    ("gate", "passed"),
    [
        (Gate("g", None, 0.0, "higher"), False),
        (Gate("g", 0.0, 0.0, "higher"), True),
        (Gate("g", 0.1, 0.0, "lower"), False),
    ],
)
def test_a_gate_that_was_not_measured_did_not_pass(gate, passed):
    assert gate.passed is passed
    assert msgspec.structs.replace(PROOF, gates=(gate,)).passed is passed
    assert not msgspec.structs.replace(PROOF, gates=()).passed


@pytest.mark.parametrize(
    ("text", "key", "names", "reason"),
    [
        (None, KEY, NAMES, "it has no proof"),
        (seal(PROOF, KEY), None, NAMES, "without this workspace's key"),
        (seal(PROOF, KEY), "other", NAMES, "not sealed by this workspace"),
        (seal(PROOF, KEY), KEY, ("BTCUSDT-gp-1", "4", "run"), "belongs to BTCUSDT-gp-1 version 3"),
        (seal(PROOF, KEY), KEY, ("ETHUSDT-gp-1", "3", "run"), "belongs to BTCUSDT-gp-1 version 3"),
        (
            seal(PROOF, KEY),
            KEY,
            ("BTCUSDT-gp-1", "3", "other"),
            "belongs to BTCUSDT-gp-1 version 3",
        ),
        ("\ud800" * 64 + " {}", KEY, NAMES, "not sealed by this workspace"),
    ],
)
def test_a_proof_that_proves_nothing_says_why(text, key, names, reason):
    with pytest.raises(ProofError, match=reason):
        open_sealed(text, key, *names)


@given(st.integers(0, 10_000), st.characters())
def test_no_altered_character_passes(place, character):
    text = seal(PROOF, KEY)
    place %= len(text)
    altered = text[:place] + character + text[place + 1 :]
    if altered != text:
        with pytest.raises(ProofError):
            open_sealed(altered, KEY, *NAMES)


@given(st.text())
def test_whatever_stands_in_the_tag_is_an_answer(text):
    with pytest.raises(ProofError):
        open_sealed(text, KEY, *NAMES)


def test_a_digest_is_of_the_content_and_of_all_of_it():
    strategy = {"kind": "gp", "exits": {"stop": 0.1, "timeout": 60}, "program": ["x", 1.0]}
    again = json.loads(json.dumps(strategy, indent=3))
    assert digest(again) == digest(dict(reversed(strategy.items())))
    assert digest({**strategy, "program": ["x", 1.0000000000000002]}) != digest(strategy)
    assert digest({**strategy, "kind": "\ud800"}) != digest(strategy)
