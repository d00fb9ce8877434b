from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crucible.forge.validation.gates import changed_by_the_future, differs_live
from crucible.forge.validation.policy import PolicyError, read_policy
from crucible.strategies.contract import Exits
from crucible.strategies.gp import GpStrategy
from crucible.vm.program import parse_program
from crucible.vm.signals import Signal
from tests.support.markets import make_market


def honest(frame):
    program = parse_program(["trade", ["gt", "edge", ["mean", "edge", 20]], ["lt", "noise_2", 0]])
    return GpStrategy("XUSDT-gp-1", "XUSDT", frame.schema.hash, program, Exits(0.01, 0.02, 60))


class Peeker(GpStrategy):
    """Buys when the next row's edge is high."""

    def signals(self, frame):
        return super().signals(replace(frame, values=np.roll(frame.values, -1, axis=0)))


class Forgetful(GpStrategy):
    """Holds whenever it is asked live."""

    def decide(self, row):
        return Signal.HOLD


def test_looking_ahead_is_noticed():
    _, frame = make_market()
    strategy = honest(frame)
    assert changed_by_the_future(strategy, frame, 1) == 0
    peeker = Peeker(
        *(getattr(strategy, n) for n in ("slot", "symbol", "schema_hash", "program", "exits"))
    )
    assert changed_by_the_future(peeker, frame, 1) > 0


def test_deciding_otherwise_when_live_is_noticed():
    _, frame = make_market()
    strategy = honest(frame)
    assert differs_live(strategy, frame) == 0
    other = Forgetful(
        *(getattr(strategy, n) for n in ("slot", "symbol", "schema_hash", "program", "exits"))
    )
    assert differs_live(other, frame) > 0


def test_sanity_binds_always_and_evidence_under_strict():
    explore, strict = read_policy("explore"), read_policy("strict")
    doubtful = explore.gate("deflated_sharpe", 0.1, "")
    insane = explore.gate("lookahead", 3, "")
    assert explore.refusing((doubtful,)) is None
    assert strict.refusing((doubtful,)) is doubtful
    assert explore.refusing((doubtful, insane)) is insane


def test_what_could_not_be_measured_does_not_pass():
    policy = read_policy("explore")
    assert not policy.gate("overfitting", float("nan"), "").passed
    assert policy.gate("overfitting", float("nan"), "").to_json()["value"] is None


def test_a_wrong_policy_is_named(tmp_path):
    with pytest.raises(PolicyError, match="no profile 'brave'"):
        read_policy("brave")
    with pytest.raises(PolicyError, match="'vanished'"):
        read_policy("strict").gate("vanished", 1, "")
    path = tmp_path / "policy.toml"
    path.write_text('[profiles.loose]\nbinds = ["evidence"]\n')
    with pytest.raises(PolicyError, match="does not bind sanity"):
        read_policy("loose", path)
    path.write_text('[profiles.x]\nbinds = ["sanity"]\n[gates.y]\nkind = "sanity"\n')
    with pytest.raises(PolicyError, match="gate 'y'"):
        read_policy("x", path)
