"""`crucible config`: every setting with its source, and a file of defaults that loads to the defaults."""

from __future__ import annotations

import itertools
import json
import os
import re
import tomllib

import pytest
from pydantic import BaseModel

from crucible.operations.installation.meanings import MEANINGS
from crucible.operations.installation.setting_sources import leaves
from crucible.operations.installation.settings_template import template
from crucible.setting_names import setting_names
from crucible.settings import Settings, load_settings
from tests.support.commands import call


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder without a settings file, an environment without settings."""
    for name in [name for name in os.environ if name.startswith("CRUCIBLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CRUCIBLE_SETTINGS_FILE", str(tmp_path / "crucible.toml"))
    return tmp_path


def shown(folder) -> dict[str, dict[str, object]]:
    ended = call(folder / "workspace", "config", "show", "--json")
    assert ended.code == 0
    return {setting["name"]: setting for setting in json.loads(ended.stdout)["settings"]}


def test_every_setting_is_shown_with_its_value_and_where_it_came_from(elsewhere, monkeypatch):
    file = elsewhere / "crucible.toml"
    file.write_text(
        "[forge]\npopulation = 64\ngenerations = 9\n[deployment]\nXRPUSDT = { gp = 3 }\n"
    )
    monkeypatch.setenv("CRUCIBLE_FORGE__GENERATIONS", "10")
    monkeypatch.setenv("CRUCIBLE_ARENA__MULTIPLIERS", '{"floor": 0.25}')
    found = shown(elsewhere)

    assert set(found) == {name for name, _ in leaves(load_settings())} | {"home"}
    assert found["forge.population"] == {
        "name": "forge.population", "value": 64, "source": "crucible.toml", "where": str(file)
    }  # fmt: skip
    assert found["forge.generations"]["value"] == 10
    assert found["forge.generations"]["where"] == "CRUCIBLE_FORGE__GENERATIONS"
    assert found["forge.islands"] == {
        "name": "forge.islands", "value": 1, "source": "default", "where": ""
    }  # fmt: skip
    assert found["deployment.XRPUSDT.gp"]["source"] == "crucible.toml"
    assert "deployment.BTCUSDT.gp" not in found
    assert found["arena.multipliers.floor"]["where"] == "CRUCIBLE_ARENA__MULTIPLIERS"
    assert found["arena.multipliers.radar"]["source"] == "default"
    assert found["arena.capital_per_agent"]["value"] == "10000"
    assert found["home"]["where"] == "CRUCIBLE_HOME"


def test_neither_a_key_nor_a_password_is_ever_shown(elsewhere, monkeypatch):
    keys = elsewhere / "keys.json"
    keys.write_text('[{"key": "open", "secret": "sesame"}]')
    monkeypatch.setenv("CRUCIBLE_EXECUTION__KEYS_FILE", str(keys))
    monkeypatch.setenv("CRUCIBLE_FORGE__DASK", "tcp://trader:sesame@127.0.0.1:8786")
    monkeypatch.setenv("BYBIT_API_SECRET", "sesame")
    found = shown(elsewhere)
    assert found["execution.keys_file"]["value"] == str(keys)
    assert found["forge.dask"]["value"] == "tcp://***@127.0.0.1:8786"
    for words in (("config", "show"), ("config", "show", "--json")):
        assert "sesame" not in call(elsewhere, *words).stdout


def test_settings_that_cannot_be_used_are_a_fault_and_not_shown(elsewhere):
    (elsewhere / "crucible.toml").write_text("[forge]\npopulaton = 3\n")
    ended = call(elsewhere, "config", "show", "--json")
    assert ended.code == 1
    assert "nearest is forge.population" in json.loads(ended.stdout)["error"]


def test_the_written_file_names_every_setting_and_loads_to_the_defaults(elsewhere):
    ended = call(elsewhere / "workspace", "config", "init")
    assert ended.code == 0
    text = (elsewhere / "crucible.toml").read_text()
    held = tomllib.loads(text)
    assert Settings(home=elsewhere) == Settings.model_validate({**held, "home": elsewhere})
    # What decides by whether it is named at all is not named.
    assert "symbols" not in load_settings().market.model_fields_set
    for name in setting_names(Settings):
        group, _, last = name.rpartition(".")
        own = text[text.index(f"[{group}]") :] if group else text
        assert f"{last} =" in own or f"[{name}]" in text, name


def test_every_setting_has_a_comment_and_no_comment_is_of_another():
    fields = dict(declared(Settings))
    assert set(fields) == set(setting_names(Settings))
    # Each is described at one place: where it is declared, or in the table.
    assert {name for name, field in fields.items() if not field.description} == set(MEANINGS)

    group, comments = "", {}
    for above, line in itertools.pairwise(template().splitlines()):
        if opened := re.fullmatch(r"\[([\w.]+)\]", line):
            group = opened[1]
            comments[group] = above
        elif assigned := re.match(r"(?:# )?(\w+) =", line):
            comments[f"{group}.{assigned[1]}".lstrip(".")] = above
    for name, field in fields.items():
        meaning = field.description or MEANINGS[name]
        assert comments[name].startswith(f"# {meaning}"), name
    meanings = [field.description or MEANINGS[name] for name, field in fields.items()]
    assert len(set(meanings)) == len(meanings)


def declared(tree, above=""):
    for name, field in tree.model_fields.items():
        yield above + name, field
        inner = field.get_default()
        if isinstance(inner, BaseModel):
            yield from declared(type(inner), f"{above}{name}.")


def test_a_settings_file_is_replaced_only_by_force(elsewhere):
    file = elsewhere / "crucible.toml"
    file.write_text("[forge]\npopulation = 64\n")
    ended = call(elsewhere, "config", "init", "--json")
    assert ended.code == 3
    assert json.loads(ended.stdout)["rule"] == "keep-settings-file"
    assert "--force" in ended.stderr
    assert file.read_text() == "[forge]\npopulation = 64\n"
    assert call(elsewhere, "config", "init", "--force").code == 0
    assert "population = 120" in file.read_text()
