"""The blocks of code of a document, under the headings where they stand, and whether an output is what a document shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from tests.support.processes import REPOSITORY

# One within a list is indented.
_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of code: its language, its text, and the heading that it stands under."""

    heading: str
    language: str
    text: str


def blocks_of(page: str) -> list[Block]:
    """Every block of a page of the repository, in order."""
    text = Path(REPOSITORY / page).read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        # A line of a block that begins like a heading is none.
        before = _BLOCK.sub("", text[: match.start()])
        headings = _HEADING.findall(before)
        found.append(
            Block(headings[-1] if headings else "", match["language"], dedent(match["text"]))
        )
    return found


def not_shown(wanted: str, output: str) -> list[str]:
    """The lines of a block that an output does not hold; ``...`` stands for anything, white space for any."""
    flat = " ".join(output.split())

    def is_there(line: str) -> bool:
        parts = [re.escape(" ".join(part.split())) for part in line.split("...")]
        return re.search(".*?".join(parts), flat) is not None

    return [line for line in wanted.splitlines() if line.strip() and not is_there(line)]
