"""The workspace is found from any folder and whatever is wrong with the settings."""

from pathlib import Path

import pytest

from crucible.settings import Settings
from crucible.whereabouts import SOURCE, find_workspace, place


@pytest.fixture
def file(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.delenv("CRUCIBLE_HOME", raising=False)
    monkeypatch.setenv("CRUCIBLE_SETTINGS_FILE", str(tmp_path / "crucible.toml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "crucible.toml"


@pytest.mark.parametrize(
    ("text", "workspace", "doubt"),
    [
        (None, SOURCE / "data", ""),
        (b"", SOURCE / "data", ""),
        (b'home = "/srv/crucible"\n', Path("/srv/crucible"), ""),
        (b'home = "testnet"\n', SOURCE / "testnet", ""),
        (b"home = 'testnet'\n[market\nspeed = ", SOURCE / "testnet", "cannot be read"),
        (b'# \xff\xfe\nhome = "/srv/money"\n', Path("/srv/money"), "cannot be read"),
        (b'[market]\nhome = "/srv/other"\nspeed = = 1', SOURCE / "data", "cannot be read"),
        (b"home = 7\n", SOURCE / "data", "workspace is 7, not a path"),
        (b"x = " + b"[" * 20_000, SOURCE / "data", "cannot be read"),
    ],
)
def test_the_home_is_found_whatever_is_wrong_with_the_file(file: Path, text, workspace, doubt):
    if text is not None:
        file.write_bytes(text)
    found = find_workspace()
    assert found.workspace == workspace
    assert (doubt in " ".join(found.doubts)) if doubt else found.doubts == ()


def test_the_environment_names_the_home_first_and_is_believed_as_the_settings_do(file, monkeypatch):
    file.write_text('home = "/srv/crucible"\n')
    assert Settings().home == find_workspace().workspace
    for path in ("/srv/other", "~/money", "beside"):
        monkeypatch.setenv("CRUCIBLE_HOME", path)
        assert Settings().home == find_workspace().workspace == place(path)
    # The settings refuse it so; what stops everything does not argue.
    monkeypatch.delenv("CRUCIBLE_HOME")
    monkeypatch.setenv("crucible_home", "/srv/lower")
    assert find_workspace().workspace == Path("/srv/lower")


@pytest.mark.parametrize("folder", ["a", "b/c"])
def test_no_folder_that_one_stands_in_changes_the_settings(file, tmp_path, monkeypatch, folder):
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "crucible.toml").write_text("[market]\nseed = 99\n")
    monkeypatch.chdir(tmp_path / folder)
    assert Settings().home == find_workspace().workspace == SOURCE / "data"
    assert Settings().market.seed == 7
    monkeypatch.setenv("CRUCIBLE_HOME", "kept")
    assert Settings().home == find_workspace().workspace == SOURCE / "kept"
