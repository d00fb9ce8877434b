"""Evidence counts under the seal of its workspace, for one version and one strategy file, and no other."""

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.registry.admission import Rules, refusal
from crucible.registry.models import with_proofs
from crucible.registry.proof import (
    Gate,
    LivedProof,
    MeasuredEdge,
    Proof,
    ProofError,
    digest,
    open_lived,
    open_sealed,
    seal,
)
from crucible.registry.version import Version

KEY, NAMES = "key", ("BTCUSDT-gp-1", "3", "run")
GATES = (Gate("net", 0.1, 0.0, "higher"), Gate("costs", 0.05, 0.05, "lower"))
PROOF = Proof(
    *NAMES, "d" * 64, "strict", "schema", "data", "code", 9, GATES, MeasuredEdge(9, 0.5, 2)
)
LIVED = LivedProof(*NAMES, "d" * 64, "schema", 120.0, 80, 6, 1, 0.05, 900_000, "0001")


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


# --- the other route: lived ------------------------------------------------------------------------


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.builds(
    LivedProof,
    *(st.text(max_size=9) for _ in range(5)),
    NUMBERS, st.integers(0), st.integers(), st.integers(), NUMBERS, st.integers(), st.text(max_size=4),
))  # fmt: skip
def test_what_was_lived_and_sealed_comes_back_and_opens_for_its_version_only(proof):
    names = (proof.slot, proof.version, proof.run_id)
    text = seal(proof, KEY)
    assert open_lived(text, KEY, *names) == proof
    for place in range(3):
        others = [*names]
        others[place] += "x"
        with pytest.raises(ProofError, match="the proof of its life belongs to"):
            open_lived(text, KEY, *others)
    with pytest.raises(ProofError, match="was not sealed"):
        open_lived(text, KEY + "x", *names)


@given(st.integers(0, 10_000), st.characters())
def test_no_altered_character_of_a_lived_proof_passes(place, character):
    text = seal(LIVED, KEY)
    place %= len(text)
    altered = text[:place] + character + text[place + 1 :]
    if altered != text:
        with pytest.raises(ProofError):
            open_lived(altered, KEY, *NAMES)


def test_the_proof_of_one_route_is_none_of_the_other():
    with pytest.raises(ProofError, match="another format"):
        open_lived(seal(PROOF, KEY), KEY, *NAMES)
    with pytest.raises(ProofError, match="another format"):
        open_sealed(seal(LIVED, KEY), KEY, *NAMES)


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({}, True),
        ({"evidence": 119.9}, False),  # 6 ever at 5%: 120
        ({"ever": 7}, False),
        ({"named": 2, "evidence": 60.0}, True),
        ({"named": 7}, False),
        ({"named": 0}, False),
        ({"rate": 0.0}, False),
        ({"rate": 1.0}, False),
        ({"evidence": math.nan}, False),
        ({"evidence": math.inf}, False),
    ],
)
def test_what_a_life_proves_is_counted_anew_from_its_evidence(changes, passed):
    assert msgspec.structs.replace(LIVED, **changes).passed is passed


FAILING = msgspec.structs.replace(PROOF, gates=(Gate("edge", 0.0, 1.0, "higher"),))


@pytest.mark.parametrize(
    ("tags", "route", "lacks"),
    [
        ({}, "", ("it has no proof", "its life in shadow has not proven it")),
        ({"proof": seal(PROOF, KEY)}, "forged", ()),
        ({"lived_proof": seal(LIVED, KEY)}, "lived", ()),
        ({"proof": seal(PROOF, KEY), "lived_proof": seal(LIVED, KEY)}, "forged and lived", ()),
        ({"proof": seal(FAILING, KEY), "lived_proof": seal(LIVED, KEY)}, "lived", ()),
        (
            {"proof": seal(FAILING, KEY), "lived_proof": seal(LIVED, "another")},
            "",
            ("it failed edge", "the proof of its life was not sealed by this workspace"),
        ),
        (
            {"lived_proof": seal(msgspec.structs.replace(LIVED, evidence=1.0), KEY)},
            "",
            ("it has no proof", "the evidence of its life is not enough"),
        ),
        ({"proven": "true", "proven_by": "lived"}, "", ("it has no proof",)),
    ],
)
def test_either_route_admits_and_a_refusal_names_what_both_lacked(tags, route, lacks):
    version = with_proofs(Version(*NAMES, tags), KEY)
    assert (version.proven_by, version.proven) == (route, bool(route))
    for rules in (Rules("paper", "strict"), Rules("testnet", "strict"), Rules("live", "strict")):
        reason = refusal(version, rules, "d" * 64)
        assert bool(reason) is not bool(route)
        assert all(lack in reason for lack in lacks)


def test_a_route_counts_for_the_strategy_file_that_was_sealed_and_for_no_other():
    other = msgspec.structs.replace(LIVED, strategy="e" * 64)
    tags = {"proof": seal(PROOF, KEY), "lived_proof": seal(other, KEY)}
    version = with_proofs(Version(*NAMES, tags), KEY)
    assert version.proven_by == "forged and lived"
    assert [version.proven_with(letter * 64) for letter in "def"] == ["forged", "lived", ""]
    assert version.doubt_of("f" * 64) == (
        "its strategy file is not the one that was judged; its strategy file is not the one that lived"
    )
