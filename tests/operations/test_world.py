"""A home stays in one market and never goes back in it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.market.candles import CandleError, Candles, write_candles
from crucible.operations.errors import HomeError
from crucible.operations.home import Home
from crucible.operations.world import DAY_MS, SIMULATED_ORIGIN_MS, World, open_world
from crucible.settings import MINUTE_MS

SYMBOLS = ("BTCUSDT", "ETHUSDT")

CASES = Path(__file__).resolve().parents[1] / "cases" / "candle_files"


def opened(home: Home, **changes: object) -> World:
    arguments: dict[str, object] = {
        "symbols": None,
        "default_symbols": SYMBOLS,
        "seed": 7,
        "history_days": 30,
    }
    return open_world(home, **{**arguments, **changes})  # type: ignore[arg-type]


def recording(folder: Path, symbol: str, minutes: int, first: int = 0) -> None:
    ts = np.arange(first, first + minutes, dtype=np.int64) * MINUTE_MS + 1_700_000_040_000
    ones = np.ones(minutes)
    write_candles(
        Candles(symbol, ts, ones, ones, ones, ones, ones), folder / f"{symbol}-1m.parquet"
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path / "home")
    made.create()
    return made


def test_the_first_simulated_start_is_the_same_everywhere(home: Home):
    world = opened(home)
    assert world.origin_ms == SIMULATED_ORIGIN_MS
    assert world.start_ms == SIMULATED_ORIGIN_MS + 30 * DAY_MS
    assert world.symbols == SYMBOLS


@settings(max_examples=30, deadline=None)
@given(passed=st.lists(st.integers(0, 10 * DAY_MS), min_size=1, max_size=5))
def test_a_later_start_never_relives_an_instant(tmp_path_factory: pytest.TempPathFactory, passed):
    home = Home.at(tmp_path_factory.mktemp("home"))
    home.create()
    newest = 0
    for span in passed:
        world = opened(home)
        assert world.start_ms >= newest
        assert world.start_ms % MINUTE_MS == 0
        newest = world.start_ms + span
        world.save(home, newest)
        world.save(home, newest - span)  # an older instant does not turn the clock back
    assert opened(home).start_ms >= newest


@pytest.mark.parametrize(
    ("change", "named"), [({"seed": 8}, "seed was 7"), ({"symbols": ("BTCUSDT",)}, "symbols was")]
)
def test_another_market_in_the_same_home_is_refused(home: Home, change: dict, named: str):
    opened(home).save(home, 0)
    with pytest.raises(HomeError, match=named):
        opened(home, **change)


def test_a_recording_starts_after_its_history_and_takes_the_symbols_it_has(
    home: Home, tmp_path: Path
):
    recording(tmp_path, "BTCUSDT", 5_000)
    recording(tmp_path, "SOLUSDT", 5_000)

    world = opened(home, candles=tmp_path)

    assert world.market == "replay"
    assert world.symbols == ("BTCUSDT",)
    assert world.start_ms == world.origin_ms + 3_000 * MINUTE_MS
    assert world.end_ms == world.origin_ms + 5_000 * MINUTE_MS
    assert world.candles == str(tmp_path)


def test_a_recording_spans_what_all_its_symbols_have(home: Home, tmp_path: Path):
    recording(tmp_path, "BTCUSDT", 5_000)
    recording(tmp_path, "ETHUSDT", 5_000, first=2_500)

    world = opened(home, candles=tmp_path)

    assert world.end_ms is not None
    assert world.end_ms - world.origin_ms == 2_500 * MINUTE_MS


def test_a_recording_that_has_ended_is_not_started_again(home: Home, tmp_path: Path):
    recording(tmp_path, "BTCUSDT", 2_500)
    world = opened(home, candles=tmp_path)
    assert world.end_ms is not None
    world.save(home, world.end_ms)
    with pytest.raises(HomeError, match="ends at"):
        opened(home, candles=tmp_path)


def test_a_symbol_without_candles_is_named(home: Home, tmp_path: Path):
    recording(tmp_path, "BTCUSDT", 2_500)
    with pytest.raises(HomeError, match="no candles of XRPUSDT; it holds BTCUSDT"):
        opened(home, candles=tmp_path, symbols=("XRPUSDT",))


def test_a_recording_that_nothing_can_be_forged_on_or_that_has_no_common_minute_is_refused(
    home: Home, tmp_path: Path
):
    recording(tmp_path, "BTCUSDT", 1_999)
    with pytest.raises(
        HomeError, match=r"1999 minutes .* fewer than 2000: give a longer recording"
    ):
        opened(home, candles=tmp_path)
    recording(tmp_path, "BTCUSDT", 2_500)
    recording(tmp_path, "ETHUSDT", 2_500, first=2_500)
    with pytest.raises(HomeError, match="no minute is in every file of BTCUSDT, ETHUSDT"):
        opened(home, candles=tmp_path)


@pytest.mark.parametrize(
    "case", ["microseconds", "a-row-of-1970", "times-without-a-zone", "no-price"]
)
def test_a_recording_with_a_bad_file_starts_nothing(home: Home, case: str):
    with pytest.raises(CandleError, match=r"BTCUSDT-1m\.parquet: (row|column)"):
        opened(home, candles=CASES / case)


def test_a_file_that_no_symbol_names_is_not_dropped_unsaid(home: Home, tmp_path: Path):
    recording(tmp_path, "BTCUSDT", 2_500)
    (tmp_path / "ethusdt-1m.parquet").write_bytes(b"")
    with pytest.raises(CandleError, match="'ethusdt' is no symbol"):
        opened(home, candles=tmp_path)


def test_an_empty_folder_is_named(home: Home, tmp_path: Path):
    with pytest.raises(HomeError, match=r"no SYMBOL-1m\.parquet at all"):
        opened(home, candles=tmp_path / "nothing")


def test_a_start_before_the_market_is_refused(home: Home):
    with pytest.raises(HomeError, match="--start"):
        opened(home, start_ms=1)
