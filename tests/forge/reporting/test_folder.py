from __future__ import annotations

import json
import re

import pyarrow.parquet as pq
import pytest

from crucible.forge.reporting.charts import equity_picture
from crucible.forge.reporting.folder import write_folder
from crucible.strategies.load import read_strategy
from tests.support.markets import SMALL, forge_run_of


@pytest.mark.parametrize("kind", ["gp", "boosted"])
def test_a_champions_folder_holds_a_strategy_that_loads(kind, planted, tmp_path):
    result = planted[kind].result
    (tmp_path / "refusal.json").write_text("left by an earlier forge run")
    write_folder(result, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "champion.json",
        "generations.parquet",
        "report.html",
    ]
    assert read_strategy(tmp_path / "champion.json").to_json() == result.champion.to_json()
    lineage = json.loads((tmp_path / "champion.json").read_text())["lineage"]
    assert lineage["trials"] == result.trials
    assert pq.read_table(tmp_path / "generations.parquet").to_pylist() == result.generations


def test_a_refusals_folder_says_gate_value_and_threshold(tmp_path):
    settings = SMALL.model_validate({**SMALL.model_dump(), "policy": "strict"})
    result = forge_run_of(settings=settings).run()
    write_folder(result, tmp_path)
    refusal = json.loads((tmp_path / "refusal.json").read_text())
    assert (refusal["gate"], refusal["threshold"]) == (
        result.refusal.gate,
        result.refusal.threshold,
    )
    assert not (tmp_path / "champion.json").exists()
    assert "Nothing found" in (tmp_path / "report.html").read_text()
    candidate = json.loads((tmp_path / "candidate.json").read_text())
    assert candidate["lineage"]["gates"] == refusal["lineage"]["gates"]


def test_the_same_forging_writes_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_folder(forge_run_of().run(), tmp_path / name, picture=True)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_the_report_needs_nothing_from_outside(planted):
    from crucible.forge.reporting.folder import html_report

    result = planted["gp"].result
    page = html_report(result)
    assert not re.search(r"(src|href)\s*=|url\(|@import|<script", page)
    assert page.count("<polyline") >= 6
    assert all(gate.meaning in page for gate in result.gates)
    assert "It buys when" in page
    assert "crosses" in page or "&gt;" in page
    assert page.count('class="drawn"') == 1


def test_the_picture_is_a_png(planted):
    assert equity_picture(planted["gp"].result).startswith(b"\x89PNG")


def test_a_refusal_without_a_candidate_still_has_a_report(tmp_path):
    settings = SMALL.model_validate({**SMALL.model_dump(), "trades_per_day": 2_000})
    result = forge_run_of(settings=settings).run()
    write_folder(result, tmp_path, picture=True)
    assert json.loads((tmp_path / "refusal.json").read_text())["gate"] == "trades_train"
