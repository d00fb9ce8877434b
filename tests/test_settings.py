"""Settings: a misspelt name, a broken file and a senseless value are each told in one clear line."""

from __future__ import annotations

import os
import re
from decimal import Decimal
from pathlib import Path

import pytest

from crucible.setting_names import OTHER_VARIABLES, setting_names, variable_of
from crucible.settings import Settings, SettingsError, Slot, load_settings
from tests.support.documented import answers, lacking
from tests.support.processes import REPOSITORY


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder without a settings file, an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CRUCIBLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CRUCIBLE_SETTINGS_FILE", str(tmp_path / "crucible.toml"))


def refused() -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return str(caught.value)


def in_file(text: str | bytes) -> str:
    Path("crucible.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return refused()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[forgee]\npopulation = 9\n", "forgee: no such setting; the nearest is forge"),
        ("population = 9\n", "population: no such setting; the nearest is forge.population"),
        (
            "[forge]\npopulaton = 9\n",
            "forge.populaton: no such setting; the nearest is forge.popul",
        ),
        (
            "[forge.costs]\nfees = 9\n",
            "forge.costs.fees: no such setting; the nearest is forge.costs",
        ),
        ("password = 'xyzzy'\n", "password: no such setting"),
        (
            '[market]\nrules = "some"\n',
            "market.rules = 'some': Input should be 'learnable' or 'none'",
        ),
        ("[forge\n", "no TOML"),
        ("home = 1\nhome = 2\n", "no TOML"),
        ("a = " + "[" * 5_000, "no TOML"),
        ("seed = " + "1" * 5_000, "no TOML"),
        (b"home = '\xff'\n", "byte 8 is no UTF-8"),
    ],
)
def test_a_settings_file_that_says_nothing_we_know_is_refused_by_name(text, named):
    said = in_file(text)
    assert named in said
    assert "crucible.toml" in said
    assert "\n" not in said
    assert "xyzzy" not in said


def test_a_settings_file_that_cannot_be_read_is_named():
    Path("crucible.toml").mkdir()
    assert "crucible.toml: cannot be read" in refused()


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("CRUCIBLE_FORGE_POPULATION", "9", "the nearest is CRUCIBLE_FORGE__POPULATION"),
        ("CRUCIBLE_FORGE__POPULATON", "9", "the nearest is CRUCIBLE_FORGE__POPULATION"),
        ("CRUCIBLE_HOMES", "/x", "the nearest is CRUCIBLE_HOME"),
        ("crucible_home", "/x", "the nearest is CRUCIBLE_HOME"),
        ("CRUCIBLE_HOME__X", "/x", "CRUCIBLE_HOME__X: no such variable"),
        ("CRUCIBLE_DEPLOYMENT__BTCUSDT", "{}", "the nearest is CRUCIBLE_DEPLOYMENT"),
        ("CRUCIBLE_SECRET", "xyzzy", "CRUCIBLE_SECRET: no such variable"),
        ("CRUCIBLE_MARKET__SYMBOLS", "BTCUSDT,ETHUSDT", "CRUCIBLE_MARKET__SYMBOLS = 'BTCUSDT,ETH"),
        ("CRUCIBLE_FORGE", "{", "CRUCIBLE_FORGE = '{': no JSON"),
        ("CRUCIBLE_FORGE", "[" * 5_000, "no JSON"),
        ("CRUCIBLE_DEPLOYMENT", "3", "CRUCIBLE_DEPLOYMENT"),
        ("CRUCIBLE_FORGE", "3", "CRUCIBLE_FORGE"),
        ("CRUCIBLE_FORGE__POPULATION", "many", "CRUCIBLE_FORGE__POPULATION) = 'many'"),
        ("CRUCIBLE_FORGE__POPULATION", "\udcff", "CRUCIBLE_FORGE__POPULATION"),
        ("CRUCIBLE_HOME", "", "CRUCIBLE_HOME"),
    ],
)
def test_a_variable_that_says_nothing_we_know_is_refused_by_name(
    monkeypatch, variable, value, named
):
    monkeypatch.setenv(variable, value)
    said = refused()
    assert named in said
    assert "\n" not in said
    assert "xyzzy" not in said


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("market.speed", [0, -1, "inf", "nan", 1e9]),
        ("market.symbols", ["[]", '["BTCUSDT","BTCUSDT"]', '["btcusdt"]', '[""]', '["../x"]']),
        ("market.seed", [-1, 2**63]),
        ("market.history_days", [1, 10**9]),
        ("deployment", ['{"BTCUSDT": {"gp": -1}}', '{"BTCUSDT": {"gp": 1000000000}}']),
        ("deployment", ["{}", '{"BTCUSDT": {"gp": 0}}', '{"btcusdt": {"gp": 1}}']),
        ("deployment", ['{"BTCUSDT": {"gpu": 1}}']),
        ("arena.capital_per_agent", [0, -10_000, "nan", "Infinity", "1e400"]),
        ("arena.kelly_fraction", ["nan", 0, 1.5]),
        ("arena.ttl_ms", [-1, 10**18]),
        ("forge.max_candles", [1_999, 10**12]),
        ("forge.population", [3, 10**12]),
        ("forge.train_fraction", [0.8, "nan"]),
        ("forge.costs.fee", [-0.1, 0.055, 5]),
        ("forge.trades_per_day", ["inf"]),
        ("watchtower.every_minutes", [0, 10**12]),
        ("watchtower.lived_rate", [0, -0.05, 0.5, 1, "nan", "inf"]),
        ("ports.mlflow", [-1, 65_536, 4200]),
        ("execution.deadman_ms", [0, 10**15]),
        ("features.radar_window", [1, 10**9]),
        ("features.timeframes", ["[]", "[60, 15]", "[15, 15]", "[15, 30]", "15"]),
    ],
)
def test_a_senseless_value_is_refused_with_its_name(monkeypatch, name, values):
    for value in values:
        monkeypatch.setenv(variable_of(name), str(value))
        said = refused()
        assert name.rpartition(".")[0] in said or name in said, value
        assert "\n" not in said, value


def test_several_faults_are_told_together(monkeypatch):
    monkeypatch.setenv("CRUCIBLE_MARKET__SPEED", "-1")
    monkeypatch.setenv("CRUCIBLE_FORGE__POPULATION", "0")
    said = refused()
    assert "market.speed" in said
    assert "forge.population" in said


def test_every_name_of_the_tree_and_of_other_parts_is_known(monkeypatch):
    assert len(list(setting_names(Settings))) > 50
    for variable in OTHER_VARIABLES:
        monkeypatch.setenv(variable, "x")
    monkeypatch.setenv("CRUCIBLE_FORGE__COSTS__FEE", "0.001")
    monkeypatch.setenv("CRUCIBLE_ARENA__CAPITAL_PER_AGENT", "123.456789012345678901")
    monkeypatch.setenv("CRUCIBLE_HOME", ".")
    settings = load_settings()
    assert settings.forge.costs.fee == 0.001
    assert settings.arena.capital_per_agent == Decimal("123.456789012345678901")


def test_every_variable_that_our_own_code_names_is_known():
    known = {variable_of(name) for name in setting_names(Settings)} | OTHER_VARIABLES
    used = {
        variable
        for room in ("crucible", "flows", "tools", "benchmarks", ".make")
        for path in (REPOSITORY / room).rglob("*.*")
        if path.suffix in {".py", ".sh", ".toml", ".mk"}
        for variable in re.findall(r"\bCRUCIBLE_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))
    }
    assert len(used) > 15
    assert used - known - {"CRUCIBLE_E2E", "CRUCIBLE_TEST"} == set()


@pytest.mark.parametrize(
    "name",
    [
        "btcusdt", "", "../x", "BTCUSDT", "BTCUSDT-gp", "BTCUSDT-gp-0", "BTCUSDT-gp-01",
        "BTCUSDT-gp--1", "BTCUSDT-gp-1-1", "BTCUSDT-GP-1", "btcusdt-gp-1", "-gp-1", "../x-gp-1",
        "BTC/USDT-gp-1", "BTCUSDT-gp-\u0661", "BTCUSDT-gp-1\n", " BTCUSDT-gp-1", "\uff22TCUSDT-gp-1",
        "BTCUSDT-gp-1_0", "BTCUSDT-gp-1e1", "BTCUSDT-gp-1001", "B" * 25 + "-gp-1", "BTCUSDT-gp-\ud800",
    ],
)  # fmt: skip
def test_a_slot_has_one_spelling(name):
    with pytest.raises(SettingsError, match="write for example BTCUSDT-gp-1"):
        Slot.parse(name)


def test_a_slot_is_read_as_it_is_written():
    for name in ("BTCUSDT-gp-1", "1000PEPEUSDT-boosted-12", "X-gp-1000"):
        assert Slot.parse(name).name == name


PROMISED = answers("Settings")
WAYS = {
    "misspelt-in-file": lambda: in_file("[forgee]\npopulation = 9\n"),
    "misspelt-in-environment": lambda: in_environment("CRUCIBLE_FORGE_POPULATION", "9"),
    "no-toml": lambda: in_file("[forge\n"),
    "no-utf8": lambda: in_file(b"home = '\xff'\n"),
    "unreadable-file": lambda: Path("crucible.toml").mkdir() or refused(),
    "no-json": lambda: in_environment("CRUCIBLE_MARKET__SYMBOLS", "BTCUSDT"),
    "no-number": lambda: in_environment("CRUCIBLE_FORGE__POPULATION", "many"),
    "out-of-range": lambda: in_environment("CRUCIBLE_ARENA__CAPITAL_PER_AGENT", "-10000"),
    "no-symbols": lambda: in_environment("CRUCIBLE_MARKET__SYMBOLS", "[]"),
    "no-slots": lambda: in_file("deployment = {}\n"),
    "nothing-sealed": lambda: in_file("[forge]\ntrain_fraction = 0.9\n"),
    "same-port": lambda: in_file("[ports]\nmlflow = 4200\n"),
    "no-timeframes": lambda: in_file("[features]\ntimeframes = [60, 15]\n"),
    "no-path": lambda: in_file("home = ''\n"),
}


def in_environment(variable: str, value: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable, value)
        return refused()


@pytest.mark.parametrize("case", sorted(set(PROMISED) | set(WAYS)))
def test_a_bad_setting_gets_what_the_reference_says(case):
    assert lacking(PROMISED[case], WAYS[case]()) == []
