"""The tables of docs/reference/bad-input.md: what each bad input is promised to get."""

from __future__ import annotations

import re

from tests.support.processes import REPOSITORY

_TEXT = (REPOSITORY / "docs/reference/bad-input.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| ([a-z0-9-]+) \| .* \| (`[^|]*`) \|$", re.MULTILINE)


def answers(section: str) -> dict[str, list[str]]:
    """For each case of a section, what its message contains."""
    _, found, rest = _TEXT.partition(f"\n## {section}\n")
    assert found, section
    rows = _ROW.findall(rest.partition("\n## ")[0])
    assert len(dict(rows)) == len(rows)
    return {case: re.findall("`([^`]+)`", answer) for case, answer in rows}


def lacking(words: list[str], said: str) -> list[str]:
    """The promised words that a message does not contain, however its lines are broken."""
    flat = " ".join(said.split())
    return [word for word in words if word not in flat]
