"""A workspace stays in one market and never goes back in it."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.forge.validation.windows import cut, fewest_trades
from crucible.market.candles import CandleError, Candles, write_candles
from crucible.market.funding import Funding, write_funding
from crucible.market.timeframes import history_days
from crucible.operations.errors import WorkspaceError
from crucible.operations.market_configuration import (
    DAY_MS,
    RULES_EDITION,
    SIMULATED_ORIGIN_MS,
    MarketConfiguration,
    open_configuration,
)
from crucible.operations.supervision.options import (
    UpOptions,
    configuration_of,
    options_settings,
    refuse_short_history,
)
from crucible.operations.workspace import Workspace
from crucible.setting_names import SettingsError
from crucible.settings import MINUTE_MS, Settings

SYMBOLS = ("BTCUSDT", "ETHUSDT")

CASES = Path(__file__).resolve().parents[1] / "cases" / "candle_files"


def opened(workspace: Workspace, **changes: object) -> MarketConfiguration:
    arguments: dict[str, object] = {
        "symbols": None,
        "default_symbols": SYMBOLS,
        "seed": 7,
        "history_days": 30,
    }
    return open_configuration(workspace, **{**arguments, **changes})  # type: ignore[arg-type]


def recording(folder: Path, symbol: str, minutes: int, first: int = 0) -> None:
    ts = np.arange(first, first + minutes, dtype=np.int64) * MINUTE_MS + 1_700_000_040_000
    ones = np.ones(minutes)
    write_candles(
        Candles(symbol, ts, ones, ones, ones, ones, ones), folder / f"{symbol}-1m.parquet"
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.at(tmp_path / "home")
    made.create()
    return made


def test_the_first_simulated_start_is_the_same_everywhere(workspace: Workspace):
    configuration = opened(workspace)
    assert configuration.origin_ms == SIMULATED_ORIGIN_MS
    assert configuration.start_ms == SIMULATED_ORIGIN_MS + 30 * DAY_MS
    assert configuration.symbols == SYMBOLS


@settings(max_examples=30, deadline=None)
@given(passed=st.lists(st.integers(0, 10 * DAY_MS), min_size=1, max_size=5))
def test_a_later_start_never_relives_an_instant(tmp_path_factory: pytest.TempPathFactory, passed):
    workspace = Workspace.at(tmp_path_factory.mktemp("home"))
    workspace.create()
    newest = 0
    for span in passed:
        configuration = opened(workspace)
        assert configuration.start_ms >= newest
        assert configuration.start_ms % MINUTE_MS == 0
        newest = configuration.start_ms + span
        configuration.save(workspace, newest)
        configuration.save(
            workspace, newest - span
        )  # an older instant does not turn the clock back
    assert opened(workspace).start_ms >= newest


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 8}, "seed was 7"),
        ({"symbols": ("BTCUSDT",)}, "symbols was"),
        ({"rules": "learnable"}, 'rules was none, now learnable.*market.rules = "none" goes on'),
    ],
)
def test_another_market_in_the_same_home_is_refused(workspace: Workspace, change: dict, named: str):
    opened(workspace).save(workspace, 0)
    with pytest.raises(WorkspaceError, match=named):
        opened(workspace, **change)


def test_a_workspace_of_before_there_were_rules_has_lived_without_any(workspace: Workspace):
    opened(workspace).save(workspace, 0)
    saved = json.loads(workspace.configuration_file.read_text())
    del saved["rules"]
    workspace.configuration_file.write_text(json.dumps(saved))

    assert opened(workspace, rules="none").rules == "none"
    with pytest.raises(WorkspaceError, match="rules was none"):
        opened(workspace, rules="learnable")


def test_a_workspace_whose_market_held_other_rules_is_not_continued_with_these(
    workspace: Workspace,
):
    opened(workspace, rules="learnable").save(workspace, 0)
    assert opened(workspace, rules="learnable").rules_edition == RULES_EDITION
    saved = json.loads(workspace.configuration_file.read_text())
    del saved["rules_edition"]
    workspace.configuration_file.write_text(json.dumps(saved))
    with pytest.raises(
        WorkspaceError, match=f"rules_edition was 1, now {RULES_EDITION}.*new folder"
    ):
        opened(workspace, rules="learnable")


def test_a_default_market_holds_rules_and_the_settings_can_leave_them_out(workspace: Workspace):
    learnable = configuration_of(Settings(home=workspace.path), UpOptions(), workspace)
    without = Settings(home=workspace.path, market={"rules": "none"})

    assert learnable.rules == "learnable"
    assert configuration_of(without, UpOptions(), workspace).rules == "none"


def test_a_recording_starts_after_its_history_and_takes_all_the_symbols_it_has(
    workspace: Workspace, tmp_path: Path
):
    recording(tmp_path, "BTCUSDT", 5_000)
    recording(tmp_path, "SOLUSDT", 5_000)

    configuration = opened(workspace, candles=tmp_path)

    assert configuration.market == "replay"
    assert configuration.symbols == ("BTCUSDT", "SOLUSDT")
    assert not any("left out" in line for line in configuration.describe())
    assert configuration.start_ms == configuration.origin_ms + 3_000 * MINUTE_MS
    assert configuration.end_ms == configuration.origin_ms + 5_000 * MINUTE_MS
    assert configuration.candles == str(tmp_path)


def test_a_recording_spans_what_all_its_symbols_have(workspace: Workspace, tmp_path: Path):
    recording(tmp_path, "BTCUSDT", 5_000)
    recording(tmp_path, "ETHUSDT", 5_000, first=2_500)

    configuration = opened(workspace, candles=tmp_path)

    assert configuration.end_ms is not None
    assert configuration.end_ms - configuration.origin_ms == 2_500 * MINUTE_MS


def test_a_recording_that_has_ended_is_not_started_again(workspace: Workspace, tmp_path: Path):
    recording(tmp_path, "BTCUSDT", 2_500)
    configuration = opened(workspace, candles=tmp_path)
    assert configuration.end_ms is not None
    configuration.save(workspace, configuration.end_ms)
    with pytest.raises(WorkspaceError, match="ends at"):
        opened(workspace, candles=tmp_path)


def test_a_symbol_without_candles_is_named(workspace: Workspace, tmp_path: Path):
    recording(tmp_path, "BTCUSDT", 2_500)
    with pytest.raises(WorkspaceError, match="no candles of XRPUSDT; it holds BTCUSDT"):
        opened(workspace, candles=tmp_path, symbols=("XRPUSDT",))


def test_a_recording_that_nothing_can_be_forged_on_or_that_has_no_common_minute_is_refused(
    workspace: Workspace, tmp_path: Path
):
    recording(tmp_path, "BTCUSDT", 1_999)
    with pytest.raises(
        WorkspaceError, match=r"1999 minutes .* fewer than 2000: give a longer recording"
    ):
        opened(workspace, candles=tmp_path)
    recording(tmp_path, "BTCUSDT", 2_500)
    recording(tmp_path, "ETHUSDT", 2_500, first=2_500)
    with pytest.raises(WorkspaceError, match="no minute is in every file of BTCUSDT, ETHUSDT"):
        opened(workspace, candles=tmp_path)


@pytest.mark.parametrize(
    "case", ["microseconds", "a-row-of-1970", "times-without-a-zone", "no-price"]
)
def test_a_recording_with_a_bad_file_starts_nothing(workspace: Workspace, case: str):
    with pytest.raises(CandleError, match=r"BTCUSDT-1m\.parquet: (row|column)"):
        opened(workspace, candles=CASES / case)


def test_a_file_that_no_symbol_names_is_not_dropped_unsaid(workspace: Workspace, tmp_path: Path):
    recording(tmp_path, "BTCUSDT", 2_500)
    (tmp_path / "ethusdt-1m.parquet").write_bytes(b"")
    with pytest.raises(CandleError, match="'ethusdt' is no symbol"):
        opened(workspace, candles=tmp_path)


def test_symbols_that_a_replay_leaves_out_are_told(workspace: Workspace, tmp_path: Path):
    for symbol in ("BTCUSDT", "SOLUSDT", "BTCUSD"):
        recording(tmp_path, symbol, 2_000)

    assert opened(workspace, candles=tmp_path).symbols == ("BTCUSDT", "SOLUSDT")
    assert any(
        "left out of the replay: BTCUSD;" in line
        for line in opened(workspace, candles=tmp_path).describe()
    )
    named = opened(workspace, candles=tmp_path, symbols=("BTCUSDT",))
    assert any("left out of the replay: BTCUSD, SOLUSDT;" in line for line in named.describe())


def test_a_home_goes_on_with_the_symbols_that_it_replayed_before(
    workspace: Workspace, tmp_path: Path
):
    recording(tmp_path, "BTCUSDT", 2_000)
    recording(tmp_path, "SOLUSDT", 2_000)
    opened(workspace, candles=tmp_path, symbols=("BTCUSDT",)).save(workspace, 0)

    assert opened(workspace, candles=tmp_path).symbols == ("BTCUSDT",)


def test_a_replay_knows_whose_funding_it_does_not_know(workspace: Workspace, tmp_path: Path):
    rates = tmp_path / "rates"
    for symbol in ("BTCUSDT", "ETHUSDT"):
        recording(tmp_path, symbol, 2_000)
    settled = Funding("BTCUSDT", np.array([1_700_000_040_000]), np.array([0.0001]))
    write_funding(settled, rates)

    assert opened(workspace, candles=tmp_path).unknown_funding == ("BTCUSDT", "ETHUSDT")
    configuration = opened(workspace, candles=tmp_path, funding=rates)
    assert configuration.funding == str(rates)
    assert configuration.unknown_funding == ("ETHUSDT",)
    assert any(
        "no rates of funding are known for ETHUSDT" in line for line in configuration.describe()
    )
    configuration.save(workspace, 0)
    with pytest.raises(WorkspaceError, match="funding was"):
        opened(workspace, candles=tmp_path)


@pytest.mark.parametrize(
    ("place", "named"),
    [("nowhere", "no such folder"), (".", r"has none of BTCUSDT-funding\.parquet")],
)
def test_a_folder_without_rates_is_refused(
    workspace: Workspace, tmp_path: Path, place: str, named: str
):
    recording(tmp_path, "BTCUSDT", 2_000)
    with pytest.raises(WorkspaceError, match=named):
        opened(workspace, candles=tmp_path, funding=tmp_path / place)


def test_rates_without_a_replay_are_refused(workspace: Workspace, tmp_path: Path):
    with pytest.raises(WorkspaceError, match=r"--funding .* belongs to a replay"):
        opened(workspace, funding=tmp_path)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("", ("BTCUSDT", "ETHUSDT", "LTCUSDT")),
        ("[market]\nspeed = 5.0\n", ("BTCUSDT", "ETHUSDT", "LTCUSDT")),
        ('[market]\nsymbols = ["BTCUSDT", "ETHUSDT"]\n', ("BTCUSDT", "ETHUSDT")),
    ],
)
@pytest.mark.parametrize("speed", [None, 60.0])
def test_only_settings_that_name_symbols_restrict_a_replay(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text, held, speed
):
    for symbol in ("BTCUSDT", "ETHUSDT", "LTCUSDT"):
        recording(tmp_path / "candles", symbol, 2_000)
    (tmp_path / "crucible.toml").write_text(text)
    monkeypatch.setenv("CRUCIBLE_SETTINGS_FILE", str(tmp_path / "crucible.toml"))
    monkeypatch.delenv("CRUCIBLE_MARKET__SYMBOLS", raising=False)

    options = UpOptions(candles=tmp_path / "candles")
    assert configuration_of(options_settings(speed, None), options, workspace).symbols == held


@pytest.mark.parametrize(
    ("timeframes", "fewest"), [((15, 60), 2), ((15, 60, 240), 5), ((15, 60, 240, 1_440), 23)]
)
def test_a_history_shorter_than_the_windows_of_the_features_is_refused_with_the_days_it_needs(
    timeframes, fewest
):
    def asked(days: int) -> Settings:
        return Settings(features={"timeframes": timeframes}, market={"history_days": days})

    refuse_short_history(asked(fewest))
    refuse_short_history(Settings(features={"timeframes": timeframes}))
    if fewest > 2:
        named = f"history_days = {fewest - 1} is too short.*set it to {fewest} at least"
        with pytest.raises(SettingsError, match=named):
            refuse_short_history(asked(fewest - 1))


def test_a_market_begins_with_the_history_that_forging_needs():
    """Enough training candles for all the trades that statistics need, after the features are known."""
    plain, daily = Settings(), Settings(features={"timeframes": [15, 60, 240, 1_440]})
    for asked, known in ((plain, 0), (daily, 21)):
        days = history_days(asked)
        rows = (days - known) * 1_440
        windows = cut(rows, asked.forge)
        assert fewest_trades(windows.train.stop, 10) == 30
        assert fewest_trades(cut(rows - 1_440, asked.forge).train.stop, 10) == 29
    assert history_days(Settings(market={"history_days": 5})) == 5


def test_a_replay_brings_its_own_history(workspace: Workspace, tmp_path: Path):
    recording(tmp_path / "candles", "BTCUSDT", 2_000)
    short = Settings(features={"timeframes": [1_440]}, market={"history_days": 2})
    options = UpOptions(candles=tmp_path / "candles")
    assert configuration_of(short, options, workspace).symbols == ("BTCUSDT",)
    with pytest.raises(SettingsError, match="history_days = 2"):
        configuration_of(short, UpOptions(), workspace)


def test_an_empty_folder_is_named(workspace: Workspace, tmp_path: Path):
    with pytest.raises(WorkspaceError, match=r"no SYMBOL-1m\.parquet at all"):
        opened(workspace, candles=tmp_path / "nothing")


def test_a_start_before_the_market_is_refused(workspace: Workspace):
    with pytest.raises(WorkspaceError, match="--start"):
        opened(workspace, start_ms=1)
