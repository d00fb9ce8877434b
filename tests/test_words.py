"""The code and its documents use the words of the field: private words that were replaced do not come back."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.process  # git tells which files there are

ROOT = Path(__file__).resolve().parents[1]

# What stands in the first column was said once, by us alone; the second is what to say.
WORDS = {
    r"open_house|house": "context",
    r"the living agents|living_agents?_of": "incumbents",
    r"sealed window": "hold-out window",
    r"letterbox": "queue",
    r"oddity|oddities": "anomaly",
    r"books agree": "reconciled",
    r"foretells?|foretold": "predict",
    r"take back|takes back|taken back": "withdraw",
    r"twins?": "duplicate",
    r"crew": "threads",
    r"a forging|the forging|of forgings|forgings of": "forge run",
    r"pacing": "rate limit",
    r"strangers": "foreign orders",
}
# As names of things in Python code; in a sentence some of them are ordinary English.
NAMES = {
    "home", "world", "forging", "forgings", "living", "told", "tell", "say", "says", "hear", "heard",
    "hands", "letter", "bell", "doors", "pit", "care", "happened", "desk", "incoming", "deciding",
    "leaving", "looks", "wish", "chance", "niche", "crew", "twins", "spread", "house", "strangers",
}  # fmt: skip
# Names that mean something else, or that a format, a setting or another package gave.
GIVEN = {
    "crucible/settings": {"home"},
    "crucible/execution/messages.py": {"spread"},
    "crucible/features": {"spread"},
    "crucible/forge/reporting/tree.py": {"letter"},
    "crucible/market/simulator.py": {"spread"},
    "crucible/vm": {"spread"},
    "crucible/forge": {"spread", "niche", "leaving"},
    "crucible/testing": {"spread"},
    "crucible/files.py": {"tell"},
    "tools/results_forge_page.py": {"chance"},
    "tests": {
        "spread",
        "chance",
        "home",
        "heard",
        "leaving",
        "letter",
        "strangers",
        "doors",
        "hear",
        "niche",
    },
    "benchmarks": {"spread"},
}
TEXTS = ("*.py", "*.rs", "*.md", "*.toml", "*.yaml", "*.yml", "*.sh", "Makefile", ".importlinter")
HERE = "tests/test_words.py"


def tracked(*patterns: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.splitlines() if name != HERE and (ROOT / name).is_file()]


def names_of(tree: ast.AST) -> set[tuple[str, int]]:
    """Every name that a file gives to something: functions, classes, parameters, variables, fields."""
    found = set()
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add((node.name, line))
        elif isinstance(node, ast.arg):
            found.add((node.arg, line))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add((node.id, line))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add((node.attr, line))
    return found


def test_no_private_word_is_written_anywhere():
    private = [(re.compile(rf"\b({word})\b", re.IGNORECASE), say) for word, say in WORDS.items()]
    found = [
        f"{name}:{number}: {match[0]!r}: say {say}"
        for name in tracked(*TEXTS)
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        for word, say in private
        for match in [word.search(line)]
        if match
    ]
    assert found == []


def test_no_private_word_names_a_thing_in_python():
    found = []
    for name in tracked("*.py"):
        given = set().union(*(words for start, words in GIVEN.items() if name.startswith(start)))
        for word, line in sorted(names_of(ast.parse((ROOT / name).read_text(encoding="utf-8")))):
            if word.strip("_").lower() in NAMES - given:
                found.append(f"{name}:{line}: {word}")
    assert found == []


def test_no_file_is_longer_than_five_hundred_lines_and_no_package_has_more_than_thirteen_modules():
    sizes = {
        name: len((ROOT / name).read_text(encoding="utf-8").splitlines())
        for name in tracked("*.py", "*.rs")
    }
    assert {name: size for name, size in sizes.items() if size > 500} == {}
    folders: dict[Path, int] = {}
    for name in tracked("crucible/*.py", "flows/*.py"):
        folders[Path(name).parent] = folders.get(Path(name).parent, 0) + 1
    assert {str(folder): count for folder, count in folders.items() if count > 14} == {}
