"""One licence, wherever it is named."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_python_rust_and_the_readme_name_the_same_licence():
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    rust = tomllib.loads((ROOT / "cerebellum_core" / "Cargo.toml").read_text())
    assert rust["workspace"]["package"]["license"] == python
    assert f"\n{python}: " in (ROOT / "README.md").read_text()
    assert "GNU AFFERO GENERAL PUBLIC LICENSE" in (ROOT / "LICENSE").read_text()
