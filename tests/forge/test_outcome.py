"""What a forge run prints at its end: what was earned beside holding, which gates failed, and where the report is."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from crucible.commands.forge_outcome import held, outcome_json, print_outcome
from crucible.settings import Costs
from tests.support.markets import SMALL, forge_run_of

DEAR = SMALL.model_copy(update={"costs": Costs(fee=0.004, slippage=0.0005)})


@pytest.fixture(scope="module")
def refuted():
    return forge_run_of(settings=DEAR).run()


def test_the_windows_the_failed_gates_and_the_report_are_printed(refuted, capsys):
    print_outcome(refuted, Path("out"))
    printed = capsys.readouterr().out
    for window in ("training", "validation", "hold-out"):
        assert window in printed
    loss = refuted.window("validation").summary["net_return"]
    assert f"{loss:+.2%}" in printed
    assert refuted.failed_gates
    for name in refuted.failed_gates:
        assert name in printed
    assert "report: out/report.html" in printed
    assert f"{refuted.trials:,} trials" in printed


def test_the_same_is_there_as_json(refuted):
    values = json.loads(json.dumps(outcome_json(refuted, Path("out")), allow_nan=False))
    assert values["report"] == "out/report.html"
    assert [gate["gate"] for gate in values["failed_gates"]] == list(refuted.failed_gates)
    assert [window["name"] for window in values["windows"]] == ["train", "validation", "sealed"]


def test_holding_over_the_windows_is_what_the_curve_held(refuted):
    windows, hold = refuted.windows, refuted.curve.hold
    whole = math.prod(1.0 + held(refuted, window) for window in windows)
    between = 1.0  # what lies between two windows is in none of them
    for before, after in itertools.pairwise(windows):
        gap = replace(before, first_ts=before.last_ts, last_ts=after.first_ts)
        between *= 1.0 + (held(refuted, gap) or 0.0)
    assert whole * between == pytest.approx(float(hold[-1]), rel=1e-9)
    assert held(replace(refuted, curve=None), windows[0]) is None
