"""The concepts say what the code does: every gate with its threshold, every function of the walks, every figure of a scorecard."""

from __future__ import annotations

import ast
import re
from configparser import ConfigParser
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from crucible.forge.validation.policy import Policy, read_policy
from crucible.settings import Settings, WatchtowerSettings
from crucible.watchtower.scorecard import Scorecard
from crucible.watchtower.sequential import EVERY
from tests.support.processes import REPOSITORY

CONCEPTS = REPOSITORY / "docs" / "concepts"
# A gate is the heading of a section, or the first cell of a row.
SECTION = re.compile(r"^### `(?P<name>\w+)`\n(?P<text>.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<text>.*) \|$", re.MULTILINE)
PASSES = re.compile(r"(?:\*\*Passes\*\*|\|) at (?P<side>least|most) (?P<threshold>[\d.]*\d)")
PLACE = re.compile(r"`(?P<file>[\w/]+\.(?:py|rs)):?(?P<name>[\w.]*)`")


def page(name: str) -> str:
    return (CONCEPTS / name).read_text(encoding="utf-8")


def described() -> dict[str, str]:
    text = page("gates.md")
    return {
        match["name"]: match["text"] for form in (SECTION, ROW) for match in form.finditer(text)
    }


def test_the_layers_of_the_page_are_those_that_the_imports_are_held_to():
    held = ConfigParser()
    held.read(REPOSITORY / ".importlinter")
    lines = held["importlinter:contract:layers"]["layers"].split("\n")
    layers = [
        [name.strip().removeprefix("crucible.") for name in line.split("|")]
        for line in lines
        if line.strip()
    ]
    table = page("architecture.md").partition("| layer, the highest first |")[2]
    rows = [line.split("|")[1] for line in table.split("\n\n")[0].splitlines()[2:]]
    assert [re.findall(r"`([\w.]+)`", row) for row in rows] == layers


@pytest.mark.parametrize("name", read_policy("strict").gates)
def test_every_gate_of_the_policy_is_described_with_its_side_and_threshold(name: str):
    kind, better, threshold = read_policy("strict").gates[name]
    text = described().get(name)
    assert text is not None, f"docs/concepts/gates.md does not describe {name}"
    found = PASSES.search(f"| {text}")
    assert found is not None, f"{name}: says not where it passes"
    assert found["side"] == ("least" if better == "higher" else "most")
    assert float(found["threshold"]) == threshold
    # An evidence gate says why it is asked, in a section of its own.
    sections = {match["name"] for match in SECTION.finditer(page("gates.md"))}
    assert (name in sections) == (kind == "evidence")


def test_no_gate_is_described_that_the_policy_does_not_have():
    assert set(described()) == set(read_policy("explore").gates)


def test_the_profiles_bind_what_the_page_says():
    def binds(profile: str) -> frozenset[str]:
        policy: Policy = read_policy(profile)
        return policy.binds

    assert binds("explore") == {"sanity"}
    assert binds("strict") == {"sanity", "evidence"}


def test_every_figure_of_a_scorecard_is_explained():
    _, _, table = page("selection.md").partition("## Every number on a scorecard")
    named = set(re.findall(r"`(\w+)`", table.partition("\n## ")[0]))
    assert named == {field.name for field in fields(Scorecard)} - {"agent", "ts"}


def test_the_bounds_of_verdicts_are_those_of_the_settings():
    text = " ".join(page("selection.md").split())
    usual = WatchtowerSettings()
    for bound in (
        f"`max_drawdown`, {usual.max_drawdown:.0%}",
        f"`minimum_parity`, {usual.minimum_parity:.0%}",
        f"{usual.cull_confidence:g}: evidence {1 / (1 - usual.cull_confidence):.0f}",
        f"{usual.promote_confidence:.2f}: evidence {1 / (1 - usual.promote_confidence):.0f}",
        f"falls below `futility` | {usual.futility:g}",
        f"(versions ever) / ({usual.lived_rate:g} x `k`)",
    ):
        assert bound in text, bound
    words = {8: "eight"}
    assert f"from {words[usual.minimum_trades]} trades on" in text
    assert EVERY == usual.minimum_trades == 8  # "at every eighth trade after it"
    assert usual.idle_minutes == 1_440  # "one market day"


def test_the_times_of_the_loop_are_those_of_the_settings():
    text = page("the-loop.md")
    usual = Settings(home="unused")
    assert (
        f"asks the registry for changed aliases every {usual.arena.registry_poll_seconds:g} s"
        in text
    )
    assert f"runs at {usual.market.speed:g} times the clock" in " ".join(text.split())
    assert f"every {usual.watchtower.every_minutes} market minutes" in text


@cache
def names_of(file: Path) -> frozenset[str]:
    """Functions and classes of a file, methods with their class."""
    if file.suffix == ".rs":
        return frozenset(re.findall(r"\bfn (\w+)", file.read_text(encoding="utf-8")))
    found: set[str] = set()

    def walk(node: ast.AST, before: str = "") -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(before + child.name)
                walk(child, f"{before}{child.name}.")

    walk(ast.parse(file.read_text(encoding="utf-8")))
    return frozenset(found)


def test_every_file_and_function_of_the_walks_exists():
    places = list(PLACE.finditer(page("walks.md")))
    lost = [
        match[0]
        for match in places
        if not (REPOSITORY / match["file"]).is_file()
        or (match["name"] and match["name"] not in names_of(REPOSITORY / match["file"]))
    ]
    assert lost == []
    assert len(places) > 80


def test_the_check_of_the_walks_sees_what_is_wrong():
    assert "Agent.decide_and_execute" in names_of(REPOSITORY / "crucible/arena/agent.py")
    assert "decide_and_execute" not in names_of(REPOSITORY / "crucible/arena/agent.py")
    assert PLACE.search("`crucible/arena/agent.py:Agent.execute`")
    assert not PLACE.search("`crucible why ORDER`")


@pytest.mark.parametrize("name", ["why-paper-equals-live.md", "selection.md", "gates.md"])
def test_files_and_tests_that_a_concept_names_exist(name: str):
    named = re.findall(r"`((?:tests|crucible|mlflow)/[\w/.]+)`", page(name))
    assert named
    assert [file for file in named if not (REPOSITORY / file).exists()] == []
