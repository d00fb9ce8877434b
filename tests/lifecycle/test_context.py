"""What a decision finds in a workspace."""

from pathlib import Path

from crucible.lifecycle.context import Context
from crucible.operations.workspace import Workspace
from crucible.settings import Settings


def test_features_are_kept_beside_the_evaluations_of_the_radar(tmp_path: Path):
    context = Context(Settings(home=tmp_path), Workspace.at(tmp_path))
    store = context.feature_store
    assert store is not None
    assert store.folder == context.workspace.path / "cache" / "features"
    assert store.beside("radar") == context.workspace.path / "cache" / "radar"


def test_no_features_are_kept_where_the_settings_say_so(tmp_path: Path):
    settings = Settings(home=tmp_path, cache={"features_gb": 0})
    assert Context(settings, Workspace.at(tmp_path)).feature_store is None
