"""The same seed and the same orders at the same market instants: the same bytes, run twice."""

import contextlib
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pybit.unified_trading
import requests
from pybit.exceptions import InvalidRequestError

from tests.support.paper_venue import KEYS

START = 1_704_067_200_000 + 7 * 3_600_000 + 50 * 60_000
FLAGS = ["--stepped", "--start", str(START), "--history-days", "1", "--address-limit", "0"]


def play(venue, seed: int) -> bytes:
    """Send forty random orders between jumps of market time; return the venue's ledger."""
    rng = random.Random(seed)
    sessions = []
    for keys in KEYS:
        session = pybit.unified_trading.HTTP(api_key=keys["key"], api_secret=keys["secret"])
        session.endpoint = venue.rest
        sessions.append(session)
    for number in range(40):
        venue.post("/admin/advance", {"ms": rng.randrange(60_000)})
        symbol, scale, places = rng.choice([("BTCUSDT", 3, 1), ("ETHUSDT", 2, 2)])
        last = venue.last(symbol)
        order = {
            "category": "linear",
            "symbol": symbol,
            "side": rng.choice(["Buy", "Sell"]),
            "orderType": rng.choice(["Limit", "Market"]),
            "qty": f"{rng.uniform(500, 20_000) / last:.{scale}f}",
            "price": f"{last * rng.uniform(0.9995, 1.0005):.{places}f}",
            "orderLinkId": f"run-{number}",
        }
        # An account that cannot afford more refuses, in both runs alike.
        with contextlib.suppress(InvalidRequestError):
            rng.choice(sessions).place_order(**order)
        time.sleep(0.1)
    venue.post("/admin/advance", {"ms": 600_000})
    return requests.get(venue.rest + "/admin/ledger", timeout=10).content


def test_two_runs_of_the_real_binary_give_the_same_bytes(fresh):
    venues = [fresh(*FLAGS, "--seed", seed) for seed in ("4", "4", "5")]
    with ThreadPoolExecutor(3) as pool:
        first, second, other = pool.map(lambda venue: play(venue, 8), venues)
    assert first.count(b"execId") > 30
    assert b"Funding" in first
    assert first == second
    assert first != other


def test_time_stands_still_until_it_is_moved_and_only_in_a_stepped_venue(fresh):
    venue = fresh(*FLAGS)
    before = venue.get("/admin/status")["market_ts"]
    time.sleep(0.3)
    assert venue.get("/admin/status")["market_ts"] == before
    assert venue.post("/admin/advance", {"ms": 1_234})["market_ts"] == before + 1_234
    assert "ms" in venue.post("/admin/advance", {"ms": -1})["error"]
    assert "--stepped" in fresh("--history-days", "1").post("/admin/advance", {"ms": 1})["error"]
