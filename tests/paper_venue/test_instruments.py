"""The instrument of a replay is taken from facts, or from prices that leave no doubt, else refused."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.paper_venue.test_process import START, refuse
from tests.support.paper_venue import write_keys

# Prices of a coin that no table knows, on a grid of 0.0005.
PRICES = [1.2345, 1.2350, 1.2355, 1.2405, 1.2390] * 8


def write_prices(folder, symbol, prices, volume=5.5):
    folder.mkdir(exist_ok=True)
    table = {"ts": [START + 60_000 * minute for minute in range(len(prices))]}
    table |= dict.fromkeys(("open", "high", "low", "close"), prices)
    pq.write_table(
        pa.table(table | {"volume": [volume] * len(prices)}), folder / f"{symbol}-1m.parquet"
    )
    return folder


def replay(folder):
    return ("--market", "replay", "--candles", str(folder), "--stepped")


def filters(venue, symbol):
    path = f"/v5/market/instruments-info?category=linear&symbol={symbol}"
    row = venue.get(path)["result"]["list"][0]
    return row["priceFilter"]["tickSize"], row["lotSizeFilter"]["qtyStep"]


def refused(tmp_path, *flags):
    return refuse("--keys", str(write_keys(tmp_path)), *replay(tmp_path / "candles"), *flags)


def test_a_known_symbol_has_the_tick_and_step_of_the_exchange(fresh, tmp_path):
    # Whole prices say nothing of ticks.
    folder = write_prices(tmp_path / "candles", "BTCUSDT", [60_000.0, 60_001.0], volume=3.0)
    assert filters(fresh(*replay(folder)), "BTCUSDT") == ("0.1", "0.001")


def test_an_unknown_symbol_has_the_grid_that_all_its_prices_lie_on(fresh, tmp_path):
    folder = write_prices(tmp_path / "candles", "NEWUSDT", PRICES)
    write_prices(folder, "TINYUSDT", [1.234e-8, 1.235e-8, 1.231e-8], volume=1e9)
    venue = fresh(*replay(folder))
    assert filters(venue, "NEWUSDT") == ("0.0001", "0.1")
    assert filters(venue, "TINYUSDT") == ("0.00000000001", "1")
    rows = venue.get("/v5/market/kline?category=linear&symbol=TINYUSDT&interval=1")
    assert rows["result"]["list"][-1][1] == "0.00000001234"


@pytest.mark.parametrize("named", [True, False])
def test_written_instruments_win(fresh, tmp_path, named):
    folder = write_prices(tmp_path / "candles", "NEWUSDT", PRICES)
    rows = {"NEWUSDT": {"tick_size": "0.0005", "qty_step": "5", "min_notional": "10"}}
    place = tmp_path / "mine.json" if named else folder / "instruments.json"
    place.write_text(json.dumps(rows))
    venue = fresh(*replay(folder), *(("--instruments", str(place)) if named else ()))
    assert filters(venue, "NEWUSDT") == ("0.0005", "5")
    venue.post("/admin/advance", {"ms": 90_000})
    book = venue.get("/v5/market/orderbook?category=linear&symbol=NEWUSDT")["result"]
    levels = book["b"] + book["a"]
    assert len(levels) > 20
    assert all(int(price.replace(".", "")) % 5 == 0 and int(qty) % 5 == 0 for price, qty in levels)


def test_an_answer_of_instruments_info_is_a_file_of_instruments(fresh, tmp_path):
    folder = write_prices(tmp_path / "candles", "NEWUSDT", PRICES)
    first = fresh(*replay(folder))
    answer = first.get("/v5/market/instruments-info?category=linear")
    answer["result"]["list"][0]["lotSizeFilter"]["qtyStep"] = "0.5"
    (folder / "instruments.json").write_text(json.dumps(answer))
    assert filters(fresh(*replay(folder)), "NEWUSDT") == ("0.0001", "0.5")


@pytest.mark.process
@pytest.mark.parametrize(
    ("prices", "volume", "named"),
    [
        (
            [*[0.0123, 0.0124] * 60, 0.012300001],
            5.5,
            "row 120: open has 9 decimals where nearly all",
        ),
        ([27_123.45, 27_123.450000001], 5.5, "row 1: open is finer than any tick: 27123.450000001"),
        ([0.1 + 0.2, 0.3], 5.5, "row 0: open is finer than any tick: 0.30000000000000004"),
        ([1.0, 1.0, 2.0], 5.5, "a tick of 1 at a price of 1"),
        ([70_000.5, 70_000.25], 3.0, "a step worth 70000.5"),
        (PRICES, 0.1 + 0.2, "volume is finer than any step"),
    ],
)
def test_what_prices_cannot_tell_is_refused_with_the_next_step(tmp_path, prices, volume, named):
    write_prices(tmp_path / "candles", "NEWUSDT", prices, volume)
    line = refused(tmp_path)
    assert named in line
    assert "NEWUSDT-1m.parquet" in line
    assert "instruments.json" in line
    assert "--instruments" in line


@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "is not JSON"),
        ("7", "is not an object of instruments by symbol"),
        ('{"NEWUSDT": {"qty_step": "1"}}', "NEWUSDT lacks tick_size"),
        ('{"NEWUSDT": {"tick_size": "0", "qty_step": "1"}}', "tick_size 0"),
        ('{"NEWUSDT": {"tick_size": "1e-3", "qty_step": "1"}}', "1e-3"),
        ('{"NEWUSDT": {"tick_size": "0.001", "qty_step": "1", "step": "1"}}', "has step"),
        ('{"NEWUSDT": {"tick_size": "0.001", "qty_step": "1"}}', "row 0: open is not a multiple"),
        ('[{"symbol": "NEWUSDT"}]', "NEWUSDT"),
    ],
)
def test_a_file_of_instruments_that_cannot_be_meant_is_refused(tmp_path, text, named):
    folder = write_prices(tmp_path / "candles", "NEWUSDT", PRICES)
    (folder / "instruments.json").write_text(text)
    line = refused(tmp_path)
    assert named in line
    assert "instruments.json" in line


@pytest.mark.process
def test_a_file_of_instruments_must_be_there_and_belongs_to_a_replay(tmp_path):
    write_prices(tmp_path / "candles", "NEWUSDT", PRICES)
    assert "nowhere.json" in refused(tmp_path, "--instruments", str(tmp_path / "nowhere.json"))
    keys = str(write_keys(tmp_path))
    assert "belongs to a replay" in refuse("--keys", keys, "--instruments", "x.json")
