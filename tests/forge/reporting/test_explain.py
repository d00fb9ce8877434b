from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from crucible.cli import app
from crucible.errors import StrategyError
from crucible.forge.reporting.description import PHRASES, conditions, sentence
from crucible.forge.reporting.evidence import headline, hold_return, note, write_evidence
from crucible.forge.reporting.explain import explain_file, version_number
from crucible.forge.reporting.folder import write_folder
from crucible.forge.reporting.importance import permutation_importance, with_importance
from crucible.forge.reporting.tree import program_tree
from crucible.forge.result import verdict
from crucible.registry.proof import LivedProof
from crucible.vm.program import OPERATORS, features_of, node_count, parse_program
from tests.support.markets import SMALL, forge_run_of

KINDS = ["gp", "boosted"]
PROGRAM = parse_program(
    [
        "trade",
        [
            "and",
            ["gt", ["sub", "x", ["mean", "y", 20]], 1.5],
            ["or", ["not", ["lt", "x", 0]], ["cross_above", "y", ["ema", "y", 30]]],
        ],
        ["lt", ["rank", "x", 20], 0.2],
    ]
)


@pytest.fixture(scope="module")
def reported(planted):
    return {kind: with_importance(planted[kind].result, planted[kind].forge_run) for kind in KINDS}


def test_a_rule_is_told_as_a_list_of_conditions():
    assert conditions(PROGRAM[1]) == [
        "all of these are true:",
        "  - (x minus the mean of y over 20 candles) is above 1.5",
        "  - any of these is true:",
        "    - x is not below 0",
        "    - y has just risen above the exponential mean of y over 30 candles",
    ]


def test_every_operator_has_its_words():
    assert set(OPERATORS) - set(PHRASES) == {"and", "or", "not", "trade"}
    for name in PHRASES:
        operator = OPERATORS[name]
        expression = (name, *("f", "g", "h")[: len(operator.arguments)])
        reported = sentence(expression)
        assert all(part in reported for part in expression[1:]), name


def test_the_picture_of_a_program_holds_every_part_of_it_and_nothing_overlaps():
    root = ET.fromstring(program_tree(PROGRAM))  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    labels = [text.text for text in root.iter(f"{space}text")]
    assert set(features_of(PROGRAM)) <= set(labels)
    lookbacks = 3
    rules = 2
    assert len(labels) == node_count(PROGRAM) - lookbacks + rules
    boxes = [
        [float(box.get(name)) for name in ("x", "y", "width", "height")]
        for box in root.iter(f"{space}rect")
        if box.get("x")
    ]
    width, height = float(root.get("width")), float(root.get("height"))
    for index, (x, y, wide, high) in enumerate(boxes):
        assert 0 <= x <= x + wide <= width
        assert 0 <= y <= y + high <= height
        for a, b, c, d in boxes[index + 1 :]:
            assert x + wide <= a or a + c <= x or y + high <= b or b + d <= y


@pytest.mark.parametrize("kind", KINDS)
def test_the_planted_feature_matters_most(kind, reported):
    first = max(reported[kind].importance, key=lambda each: each.return_lost)
    assert first.feature == "edge"
    assert first.signals_changed > 0
    assert first.return_lost > 0


def test_importance_never_looks_at_the_sealed_window(planted):
    forge_run, strategy = planted["gp"].forge_run, planted["gp"].result.champion
    values = forge_run.frame.values.copy()
    values[forge_run.windows.sealed] = np.nan
    blind = replace(forge_run.frame, values=values)
    options = (forge_run.market, forge_run.settings.costs, forge_run.windows.validation, 1)
    assert permutation_importance(strategy, blind, *options) == permutation_importance(
        strategy, forge_run.frame, *options
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_evidence_is_the_same_bytes_and_complete(kind, reported, tmp_path):
    for name in ("one", "two"):
        write_evidence(reported[kind], tmp_path / name)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    drawn = "strategy.svg" if kind == "gp" else "model.txt"
    assert names == {
        "champion.json", "generations.parquet", "report.html", "equity.png", "strategy.txt",
        "strategy.json", "gates.csv", "windows.csv", "folds.csv", "importance.csv", "importance.svg", drawn,
    }  # fmt: skip
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    ET.parse(tmp_path / "one" / "importance.svg")  # noqa: S314 - our own
    folds = (tmp_path / "one" / "folds.csv").read_text().splitlines()
    assert len(folds) == len(reported[kind].folds) + 1 > 10
    gates = (tmp_path / "one" / "gates.csv").read_text().splitlines()
    assert len(gates) == len(reported[kind].gates) + 1


def test_a_refusal_leaves_evidence_but_no_strategy_to_register(tmp_path):
    settings = SMALL.model_validate({**SMALL.model_dump(), "policy": "strict"})
    result = forge_run_of(settings=settings).run()
    write_evidence(result, tmp_path)
    assert not (tmp_path / "strategy.json").exists()
    assert (tmp_path / "strategy.txt").exists()
    assert verdict(result) == f"nothing found: refused by {result.refusal.gate}"
    assert "refused by" in note(result, "files/{}", "")
    nobody = SMALL.model_validate({**SMALL.model_dump(), "trades_per_day": 2_000})
    result = forge_run_of(settings=nobody).run()
    write_evidence(with_importance(result, forge_run_of(settings=nobody)), tmp_path / "nobody")
    assert headline(result)["gates_failed"] == 1.0
    assert "sealed_net_return" not in headline(result)


def test_the_note_tells_verdict_figures_every_gate_and_where_the_pictures_are(reported):
    result = reported["gp"]
    text = note(result, "http://files/{}", "http://flow")
    assert text.startswith(f"**XUSDT-gp-1: {verdict(result)}**")
    assert "(http://files/equity.png)" in text
    assert "(http://flow)" in text
    assert all(f"| {gate.name} |" in text for gate in result.gates)
    sealed = result.window("sealed")
    assert f"{sealed.summary['net_return']:+.2%}" in text
    curve = result.curve
    rows = (curve.ts > sealed.first_ts) & (curve.ts <= sealed.last_ts)
    start = np.flatnonzero(rows)[0] - 1
    assert hold_return(curve, sealed) == curve.hold[rows][-1] / curve.hold[start] - 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_champions_file_is_explained_in_words_with_its_gates_and_lineage(
    kind, reported, tmp_path
):
    write_folder(reported[kind], tmp_path)
    told_file = explain_file(tmp_path / "champion.json")
    text = told_file.to_text()
    document = told_file.to_json()
    assert json.loads(json.dumps(document)) == document
    assert "It buys when" in text
    assert "edge" in text
    sealed = reported[kind].window("sealed").summary
    assert f"{sealed['net_return']:+.2%}, Sharpe {sealed['sharpe_annual']:.2f}" in text
    assert f"{sealed['trades']:.0f} trades" in text
    assert all(gate["name"] in text for gate in document["gates"])
    assert document["lineage"]["seed"] == "1"
    assert document["lineage"]["data hash"] == reported[kind].data_hash
    assert list(document["lineage"]) == [
        "file", "slot", "data hash", "candles", "funding", "feature schema", "code revision", "trials",
        "seed",
    ]  # fmt: skip
    assert document["lineage"]["funding"] == "not charged, no rates are known"
    assert "edge" in [row["feature"] for row in document["features"][:2]]


LIFE = LivedProof("BTCUSDT-gp-1", "3", "run", "d", "s", 4_321.0, 80, 12, 2, 0.05, 900_000, "0007")


@pytest.mark.parametrize(
    ("route", "doubt", "words"),
    [
        ("lived", "", "proven by living, not by its gates"),
        ("forged and lived", "", "proven: forged and lived"),
        ("forged", "", "proven: every gate passed"),
        ("", "it failed edge; its life in shadow has not proven it", "unproven"),
    ],
)
def test_a_version_is_explained_with_the_route_of_its_proof_and_what_it_rests_on(
    reported, tmp_path, route, doubt, words
):
    write_folder(reported["gp"], tmp_path)
    explained = replace(
        explain_file(tmp_path / "champion.json"),
        proven_by=route,
        doubt=doubt,
        life=LIFE if "lived" in route else None,
    )
    document, text = explained.to_json(), explained.to_text()
    assert json.loads(json.dumps(document)) == document
    assert (document["proven"], document["proven_by"]) == (bool(route), route or None)
    assert words in text
    assert ("evidence 4321 over 80 trades, 2 named of 12 versions ever" in text) == (
        "lived" in route
    )


def test_a_strategy_without_a_record_says_what_is_not_known(reported, tmp_path):
    path = tmp_path / "bare.json"
    path.write_text(json.dumps(reported["boosted"].champion.to_json()))
    told_file = explain_file(path)
    assert told_file.to_json()["lineage"]["seed"] == "not known"
    assert "Gates: not known" in told_file.to_text()
    assert told_file.features()[0]["gain"] > 0


def test_explain_refuses_what_is_neither_a_file_nor_a_version(tmp_path):
    runner = CliRunner()
    result = runner.invoke(app, ["explain", str(tmp_path / "no.json")])
    assert isinstance(result.exception, StrategyError)
    assert re.search(r"no\.json: cannot be read", str(result.exception))
    with pytest.raises(Exception, match="neither a file nor SLOT/VERSION"):
        version_number(None, "BTCUSDT-gp-1")
