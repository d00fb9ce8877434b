"""What is written once is used everywhere: no module writes state, or prints foreign text, its own way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Method or function names that write a file or give it its name.
WRITING = {
    "write_text",
    "write_bytes",
    "rename",
    "renames",
    "savez",
    "savez_compressed",
    "to_parquet",
}
# Of these modules only `os.replace` and `Path.replace` count: texts have a method of that name.
ALLOWED = {
    ("crucible/files.py", "replace"): "it is the one place",
    ("crucible/files.py", "rename"): "it is the one place",
    ("crucible/files.py", "write_bytes"): "it is the one place",
    ("crucible/operations/supervision/process.py", "replace"): "an old log beside the new one",
    ("crucible/registry/models.py", "write_text"): "a temporary folder, on its way to MLflow",
    (
        "crucible/forge/reporting/folder.py",
        "write_bytes",
    ): "into the temporary path that `replacing` gave",
    ("crucible/walk_forward/report.py", "write_text"): "into a path that `replacing` gave",
    ("crucible/walk_forward/report.py", "to_parquet"): "into a path that `replacing` gave",
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call by its name, but for those on what `replacing` gave: into a temporary path."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.With) and any(map(is_replacing, block.items))
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node


def is_replacing(item: ast.withitem) -> bool:
    call = item.context_expr
    return isinstance(call, ast.Call) and getattr(call.func, "id", "") == "replacing"


def modules() -> list[Path]:
    found = [*(ROOT / "crucible").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]
    return sorted(path for path in found if "testing" not in path.parts)


def writes(name: str, call: ast.Call) -> bool:
    if isinstance(call.func, ast.Name):
        return False  # `write_text` of `crucible.files`
    if name == "replace":
        # One argument: a path's. A text's takes two.
        return len(call.args) + len(call.keywords) == 1 and not call.keywords
    if name == "open":
        modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
        return any(isinstance(mode, str) and set(mode) & set("wx") for mode in modes)
    return name in WRITING


def test_only_one_module_gives_files_their_bytes_and_names():
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in modules()
        for name, call in calls(path)
        if writes(name, call)
    }
    opened = {
        # A lock; a service's output.
        ("crucible/files.py", "open"),
        ("crucible/market/lake.py", "open"),
        ("crucible/operations/supervision/process.py", "open"),
    }
    assert found - ALLOWED.keys() - opened == set()


@pytest.mark.parametrize("name", ["Console", "get_console"])
def test_only_one_module_makes_consoles(name: str):
    found = {
        str(path.relative_to(ROOT))
        for path in modules()
        for called, _ in calls(path)
        if called == name
    }
    assert found <= {"crucible/text.py"}


def test_no_module_uses_the_clock_of_the_day_to_know_a_process():
    found = [str(path.relative_to(ROOT)) for path in modules() if "create_time" in path.read_text()]
    assert found == []
