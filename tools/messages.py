"""Every message to a person in one file, to be read through as a whole: ``python -m tools.messages``.

The messages are those of errors: what stands in a variable ``message`` before it is raised or shown. Values that a message names stand in braces.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "tests" / "messages.txt"
SOURCES = ("crucible", "flows")
HEAD = (
    "# Messages to a person, by module. Made by `python -m tools.messages`; a test holds it to the code.\n"
    "# Each says what happened, to what, and what to do next.\n"
)


def messages() -> Iterator[tuple[str, str]]:
    """Give each module that has messages and one of them, in the order of the code."""
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            # Its users are tests and benchmarks, not people.
            if "testing" in path.parts:
                continue
            module = str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (text := _message(node)) is not None:
                    yield module, text


def page() -> str:
    """Give the whole file."""
    lines, last = [HEAD], ""
    for module, text in messages():
        if module != last:
            lines.append(f"\n{module}\n")
            last = module
        lines.append(f"  {text}\n")
    return "".join(lines)


def _message(node: ast.AST) -> str | None:
    if isinstance(node, ast.Assign):
        target = node.targets[0]
    elif isinstance(node, ast.AugAssign):
        target = node.target
    else:
        return None
    named = isinstance(target, ast.Name) and target.id == "message"
    return _text(node.value) if named else None


def _text(node: ast.expr) -> str | None:
    """Give a text as it is written; None for what is no text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
            else "{"
            + ast.unparse(part.value if isinstance(part, ast.FormattedValue) else part)
            + "}"
            for part in node.values
        )
    if isinstance(node, ast.IfExp):
        sides = [_text(side) for side in (node.body, node.orelse)]
        return " | ".join(side for side in sides if side is not None) or None
    return None


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
    print(f"{FILE}: {sum(1 for _ in messages())} messages")
