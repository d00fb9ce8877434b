"""The page of `make results` tells what its forge runs' own files tell."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crucible.forge.reporting.folder import CHAMPION, REFUSAL
from crucible.market.candles import write_candles
from crucible.market.simulator import simulate

pytestmark = pytest.mark.process

REPOSITORY = Path(__file__).resolve().parents[2]
HEADINGS = {
    "train": "## Training window",
    "validation": "## Validation window",
    "sealed": "## Hold-out window",
}


def run(candles, folder, *more):
    return subprocess.run(
        [
            *(sys.executable, "-m", "tools.results_forge", "--candles", str(candles)),
            *("--population", "12", "--generations", "1", "--seed", "3"),
            *("--out", str(folder / "out"), "--docs", str(folder / "docs"), *more),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def candles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("markets")
    for span, seed in (("june", 3), ("july", 4)):
        for symbol, held in simulate(("BTCUSDT", "ETHUSDT"), minutes=6_000, seed=seed).items():
            write_candles(held, folder / span / f"{symbol}-1m.parquet")
    return folder


@pytest.fixture(scope="module")
def made(candles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    done = run(candles, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def text(made):
    return (made / "docs" / "forge.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def files(made):
    """Champion or refusal of every forge run, by span and slot."""
    found = {}
    for path in (made / "out").rglob("*.json"):
        if path.name in (CHAMPION, REFUSAL):
            span, slot = path.parent.parent.name, path.parent.name
            assert (span, slot) not in found
            found[span, slot] = (path.name, json.loads(path.read_text(encoding="utf-8")))
    return found


def first_failed(document):
    """What refuses under the strict policy."""
    gates = document["lineage"]["gates"]
    return next((gate["name"] for gate in gates if not gate["passed"]), None)


def table(text, heading):
    """The rows of the first table after a heading, as lists of cells."""
    rest = text.split(f"\n{heading}\n", 1)[1]
    block = re.search(r"(?:^\|.*\n)+", rest, re.MULTILINE)
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in block[0].splitlines()
    ][2:]


def test_every_forging_of_the_plan_has_a_row_and_a_file(text, files):
    assert sorted(files) == [
        *(("july", "BTCUSDT-gp-1"), ("july", "ETHUSDT-boosted-1")),
        *(("june", "BTCUSDT-gp-1"), ("june", "ETHUSDT-boosted-1")),
    ]
    assert [(row[1], row[2]) for row in table(text, HEADINGS["sealed"])] == sorted(files)


def test_the_windows_on_the_page_are_those_of_the_files(text, files):
    for name, heading in HEADINGS.items():
        for row in table(text, heading):
            _, document = files[row[1], row[2]]
            window = next(w for w in document["lineage"]["windows"] if w["name"] == name)
            summary = window["summary"]
            if name == "sealed":
                assert int(row[12]) == window["opened"] == (1 if summary else 0)
            if not summary:
                assert row[5:12] == ["-"] * 7
                continue
            assert float(row[5].rstrip("%")) == pytest.approx(100 * summary["net_return"], abs=6e-3)
            if summary["sharpe_annual"] is None:
                assert row[6] == "-"
            else:
                assert float(row[6]) == pytest.approx(summary["sharpe_annual"], abs=6e-3)
            assert float(row[7].rstrip("%")) == pytest.approx(
                100 * summary["max_drawdown"], abs=6e-3
            )
            assert int(row[8]) == summary["trades"]


def test_the_gates_on_the_page_are_those_of_the_files(text, files):
    sealed = table(text, HEADINGS["sealed"])
    for kind, heading in (
        ("evidence", "Evidence, binding under `strict` only:"),
        ("sanity", "Sanity, binding always:"),
    ):
        for row, (_, span, slot, *_) in zip(table(text, heading), sealed, strict=True):
            _, document = files[span, slot]
            gates = [g for g in document["lineage"]["gates"] if g["kind"] == kind]
            if len(document["lineage"]["gates"]) == 1:
                continue
            assert len(row) == 2 + len(gates)
            for cell, gate in zip(row[2:], gates, strict=True):
                bare = cell.strip("*")
                assert bare.endswith(" x") is not gate["passed"]
                refused = gate["name"] == first_failed(document)
                assert cell.startswith("**") is refused
                if gate["value"] is None:
                    assert bare.startswith("not measured")
                else:
                    assert float(bare.removesuffix(" x")) == pytest.approx(gate["value"], rel=1e-3)


def test_the_summary_counts_the_files(text, files):
    registered = [document for _, document in files.values() if first_failed(document) is None]
    earned = [
        next(w for w in document["lineage"]["windows"] if w["name"] == "sealed")["summary"]
        for document in registered
    ]
    positive = sum(summary["net_return"] > 0 for summary in earned)
    assert (
        f"- {len(files)} forge runs, {len(registered)} registered under `strict`, {positive} of those"
        in text
    )
    for _, document in files.values():
        lineage = document["lineage"]
        assert f"{lineage['trials']:,} trials, as {lineage['effective_trials']:,.0f} " in text
        assert f"Used {lineage['span']['description']}." in text
        assert lineage["data_hash"][:16] in text
        assert f"`{lineage['code_revision']}`" in text
    assert f"Funding: not charged, no rates are known ({len(files)} forge runs);" in text


def test_the_page_names_no_folder_of_this_machine(candles, made, text):
    assert str(candles) not in text
    assert str(made) not in text
    assert "july" in text


def test_the_same_arguments_give_the_same_page_on_any_number_of_processes(candles, made, tmp_path):
    done = run(candles, tmp_path, "--processes", "2")
    assert done.returncode == 0, done.stderr
    for name in ("forge.md", "forge.svg"):
        assert (tmp_path / "docs" / name).read_bytes() == (made / "docs" / name).read_bytes()


def test_the_page_of_a_kept_run_is_written_without_forging(candles, made, text, tmp_path):
    done = run(candles, made, "--page-only", "--docs", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "forge.md").read_text(encoding="utf-8") == text


def test_a_folder_without_candles_is_named(tmp_path):
    done = run(tmp_path, tmp_path)
    assert done.returncode == 1
    assert f"make results: no folder with SYMBOL-1m.parquet under {tmp_path}" in done.stderr
