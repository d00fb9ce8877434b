"""The modules of every Rust crate form no circle.

The rule is checked for files: a file depends on the files whose items it names by a path that begins with
``crate``, ``super`` or ``self`` (or, in a parent, with a child's name). A parent that only declares its
children and re-exports their items depends on none of them, and a path through a re-export leads to the file
that defines the item. What is compiled for tests alone does not count: ``#[cfg(test)]`` modules and files
whose names end in ``_tests.rs``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CRATES = Path(__file__).parents[1] / "cerebellum_core"
NAMES = sorted(path.parent.name for path in CRATES.glob("*/Cargo.toml"))

# A quotation mark in a comment opens no string, and two slashes in a string no comment.
PROSE = re.compile(r'r#".*?"#|"(?:[^"\\]|\\.)*"|\'"\'|//[^\n]*|/\*.*?\*/', re.DOTALL)
TEST_FILE = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))? )?mod (\w+);")
TEST_MODULE = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))? )?mod \w+ \{")
VISIBILITY = re.compile(r"\bpub\([^)]*\)")
USE = re.compile(r"(?m)^\s*(pub(?:\([^)]*\))? )?use ([^;]+);")
PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")
PLAIN = re.compile(r"(?<![:\w])[a-z_]+::\w+")

Module = tuple[str, ...]


def closing(text: str, opening: int) -> int:
    """Return where the block ends that begins with the brace at ``opening``."""
    depth = 0
    for place in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    return len(text)


def leaves(tree: str) -> list[Module]:
    """Return every path that a ``use`` names: ``a::{b, c::d}`` gives ``a::b`` and ``a::c::d``."""
    head, brace, rest = tree.strip().partition("{")
    prefix = tuple(part.strip() for part in head.split("::") if part.strip())
    if not brace:
        return [(*prefix[:-1], prefix[-1].split(" as ")[0].strip())]
    parts, depth, part = [], 0, ""
    for letter in rest.rstrip().removesuffix("}"):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += letter
    return [prefix + leaf for part in [*parts, part] if part.strip() for leaf in leaves(part)]


class Crate:
    """The source files of a crate, each as its module and the text that is compiled without tests."""

    def __init__(self, source: Path) -> None:
        self.texts: dict[Module, str] = {}
        self.exports: dict[Module, dict[str, Module]] = {}
        tests: set[Module] = set()
        for path in sorted(source.rglob("*.rs")):
            if path.name == "main.rs" or path.stem.endswith("_tests"):
                continue
            module = path.relative_to(source).with_suffix("").parts
            module = module[:-1] if module[-1] in ("mod", "lib") else module
            text = PROSE.sub("", path.read_text())
            tests.update((*module, name) for name in TEST_FILE.findall(text))
            while found := TEST_MODULE.search(text):
                text = text[: found.start()] + text[closing(text, found.end() - 1) :]
            self.texts[module] = text
        for module in list(self.texts):
            if any(module[: len(test)] == test for test in tests):
                del self.texts[module]
        for module, text in self.texts.items():
            self.exports[module] = {}
            for public, tree in USE.findall(text):
                for leaf in leaves(tree) if public else []:
                    self.exports[module][leaf[-1]] = self.absolute(module, leaf)

    def absolute(self, module: Module, path: Module) -> Module:
        """Return a path as it reads from the root of the crate; empty where it leads out of the crate."""
        first, *rest = path
        if first == "crate":
            return tuple(rest)
        if first not in ("super", "self"):
            return (*module, *path) if (*module, first) in self.texts else ()
        here = module
        for count, part in enumerate(path):
            if part not in ("super", "self"):
                return (*here, *path[count:])
            here = here[:-1] if part == "super" else here
        return here

    def home(self, path: Module) -> Module:
        """Return the file that defines what a path names, through any re-export."""
        length = max(length for length in range(len(path) + 1) if path[:length] in self.texts)
        module, rest = path[:length], path[length:]
        target = self.exports[module].get(rest[0]) if rest else None
        return self.home((*target, *rest[1:])) if target else module

    def graph(self) -> dict[Module, set[Module]]:
        """Return which files each file depends on."""
        graph: dict[Module, set[Module]] = {}
        for module, text in self.texts.items():
            paths = [
                leaf for public, tree in USE.findall(text) if not public for leaf in leaves(tree)
            ]
            rest = VISIBILITY.sub("", USE.sub("", text))
            # In an expression a parent may name a child alone; `absolute` drops what is no child.
            paths += [
                tuple(found.split("::")) for found in PATH.findall(rest) + PLAIN.findall(rest)
            ]
            found = [self.absolute(module, path) for path in paths]
            graph[module] = {self.home(path) for path in found if path} - {module}
        return graph


def circles(graph: dict[Module, set[Module]]) -> list[list[Module]]:
    """Return every set of files that depend on each other, by Tarjan's algorithm."""
    index: dict[Module, int] = {}
    low: dict[Module, int] = {}
    stack: list[Module] = []
    found: list[list[Module]] = []

    def visit(module: Module) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            place = stack.index(module)
            if len(stack) - place > 1:
                found.append(sorted(stack[place:]))
            del stack[place:]

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_modules_of_a_crate_form_no_circle(name: str) -> None:
    """No file of a crate needs, by whatever way round, a file that needs it."""
    crate = Crate(CRATES / name / "src")
    assert any(crate.graph().values()), f"no dependency was read in {name}"
    found = [
        ", ".join("::".join(module) or "lib" for module in circle)
        for circle in circles(crate.graph())
    ]
    assert not found, f"{name}: these files need each other: {'; '.join(found)}"


def test_a_circle_is_found_whatever_way_round() -> None:
    """Three files that need each other in turn are one circle, and what hangs off it is not part."""
    a, b, c, d = (("a",), ("b",), ("c",), ("d",))

    assert circles({a: {b}, b: {c, d}, c: {a}, d: set()}) == [[a, b, c]]
    assert circles({a: {b, c}, b: {c}, c: {d}, d: set()}) == []
