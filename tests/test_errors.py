"""Every fault that we name ourselves has one ancestor, and keeps the built-in one it always had."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_each_of_our_errors_is_a_crucible_error_and_a_built_in_one():
    bases = {
        node.name: {ast.unparse(base) for base in node.bases}
        for room in ("crucible", "flows")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }

    def ancestors(name: str) -> set[str]:
        return {name}.union(*map(ancestors, bases.get(name, ())))

    errors = {name: ancestors(name) for name in bases if name != "CrucibleError"}
    errors = {
        name: above
        for name, above in errors.items()
        if "Exception" in above or any(base.endswith("Error") for base in above - {name})
    }
    assert len(errors) > 20
    assert [name for name, above in errors.items() if "CrucibleError" not in above] == []
    usual = {"ValueError", "RuntimeError", "OSError"}
    assert [name for name, above in errors.items() if not above & usual] == []
