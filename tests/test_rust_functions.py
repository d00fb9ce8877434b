"""No function of the Rust crates is longer than a screen: sixty lines, from its ``fn`` to its closing brace.

What counts is what a person reads: the library, the programs, their tests and their examples.
"""

from __future__ import annotations

import re
from pathlib import Path

CRATES = Path(__file__).parents[1] / "cerebellum_core"
MOST_LINES = 60

# Texts, letters and comments: a brace in one of them opens and closes nothing.
PROSE = re.compile(
    r'\br(#*)".*?"\1|"(?:[^"\\]|\\.)*"|\'(?:[^\'\\\n]|\\[^\n]{1,10}?)\'|//[^\n]*|/\*.*?\*/',
    re.DOTALL,
)
FUNCTION = re.compile(r"\bfn (\w+)")


def bare(text: str) -> str:
    """Return a source without its prose, with every line where it was."""
    return PROSE.sub(lambda found: "\n" * found[0].count("\n"), text)


def end_of(code: str, place: int) -> int:
    """Return where a function ends whose name ends at ``place``: its closing brace, or a semicolon."""
    depth = 0
    for here in range(place, len(code)):
        letter = code[here]
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(letter, 0)
        if depth == 0 and letter in "};":
            return here
    message = f"a function does not end: {code[place : place + 60]!r}"
    raise ValueError(message)


def lengths(text: str) -> list[tuple[int, str, int]]:
    """Return the first line, the name and the number of lines of every function of a source."""
    code = bare(text)
    return [
        (
            code.count("\n", 0, found.start()) + 1,
            found[1],
            code.count("\n", found.start(), end_of(code, found.end())) + 1,
        )
        for found in FUNCTION.finditer(code)
    ]


def sources() -> list[Path]:
    return sorted(
        path for path in CRATES.rglob("*.rs") if "target" not in path.relative_to(CRATES).parts
    )


def test_no_function_is_longer_than_sixty_lines() -> None:
    found = {path: lengths(path.read_text(encoding="utf-8")) for path in sources()}
    assert sum(map(len, found.values())) > 1_000, "hardly a function was read"
    assert [
        f"{path.relative_to(CRATES)}:{line}: {name} has {count} lines"
        for path, functions in found.items()
        for line, name, count in functions
        if count > MOST_LINES
    ] == []


def test_a_function_ends_with_its_own_brace() -> None:
    source = """trait Named {
    fn name(&self, of: [u8; 2]) -> String;
}

pub fn first<'a>(text: &'a str) -> &'a str
where
    str: Sized,
{
    let brace = ('{', "}", r#"}"#, '\\'', b'\\u{7d}'); // }
    text
}
    fn second() {}
"""
    assert lengths(source) == [(2, "name", 1), (5, "first", 7), (12, "second", 1)]
