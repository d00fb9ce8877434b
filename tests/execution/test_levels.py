"""Levels of an order book from the wire: what no book can hold is refused with a reason."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.dashboard.depth import depth
from crucible.execution.messages import LevelsMessage, WireError, decode_market

VECTORS = Path(__file__).parents[2] / "cerebellum_core" / "protocol" / "vectors"


def levels(**changes: object) -> bytes:
    """A frame of levels with some fields changed."""
    value = json.loads((VECTORS / "market_levels.json").read_text())
    return json.dumps({**value, **changes}).encode()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bids": []}, r"length >= 1 - at `\$\.bids`"),
        ({"asks": []}, r"length >= 1 - at `\$\.asks`"),
        ({"bids": [["2", "1"]] * 11}, r"length <= 10 - at `\$\.bids`"),
        ({"bids": None}, r"got `null` - at `\$\.bids`"),
        ({"bids": [["95012"]]}, r"length 2 - at `\$\.bids\[0\]`"),
        ({"bids": [["95012", "1", "1"]]}, r"length 2 - at `\$\.bids\[0\]`"),
        ({"bids": [[95012, "1"]]}, r"got `int` - at `\$\.bids\[0\]\[0\]`"),
        ({"bids": [["NaN", "1"]]}, r"matching regex .* at `\$\.bids\[0\]\[0\]`"),
        ({"bids": [["Infinity", "1"]]}, "matching regex"),
        ({"bids": [["-1", "1"]]}, "matching regex"),
        ({"bids": [["1e5", "1"]]}, "matching regex"),
        ({"bids": [["٩٥", "1"]]}, "matching regex"),
        ({"bids": [["95012\n", "1"]]}, "matching regex"),
        ({"bids": [["9" * 5_000, "1"]]}, "matching regex"),
        ({"bids": [["<b>1</b>", "1"]]}, "matching regex"),
        ({"bids": [["95012", "0.000"]]}, "price 95012 and size 0.000 must both be above zero"),
        ({"asks": [["0", "1"]]}, "asks: price 0 and size 1 must both be above zero"),
        ({"bids": [["1", "1"], ["2", "1"]]}, "bids: the prices 2 and 1 are out of order"),
        ({"asks": [["95013", "1"], ["95013.0", "1"]]}, "asks: the prices 95013 and 95013.0 are out of"),
        ({"bids": [["95012.3", "1"]]}, "the best bid 95012.3 is not below the best ask 95012.30"),
        ({"ts": 0}, "ts 0 is no time between 1970 and 2100"),
        ({"ts": 10**18}, "is no time between 1970 and 2100"),
        ({"ts": 1.5}, "Expected `int`"),
        ({"v": 2}, "Invalid enum value 2"),
        ({"seq": 7}, "unknown field `seq`"),
    ],
    ids=str,
)  # fmt: skip
def test_levels_that_no_book_can_hold_are_refused_with_the_reason(changes, reason):
    with pytest.raises(WireError, match=reason):
        decode_market(levels(**changes))


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)).map(lambda found: levels(bids=found)))  # fmt: skip
def test_whatever_comes_is_levels_or_is_refused(frame):
    with suppress(WireError):
        assert isinstance(decode_market(frame), LevelsMessage)


def test_cumulative_sizes_mid_and_spread_are_exact():
    tiny, huge = "0.000000000001", "99999999999999.999999999999"
    bids = [(str(10_000 - n), huge if n % 2 else tiny) for n in range(10)]
    message = LevelsMessage(ts=1_000, symbol="BTCUSDT", bids=bids, asks=[("10000.000000000001", "0.1"), ("10001", "0.2")])  # fmt: skip
    found = depth(message, 0.5)
    totals = [Decimal(level["total"]) for level in found["bids"]]
    assert totals[0] == Decimal(tiny)
    assert totals[9] == 5 * Decimal(tiny) + 5 * Decimal(huge)
    assert [level["total"] for level in found["asks"]] == ["0.1", "0.3"]
    assert (found["spread"], found["mid"]) == ("0.000000000001", "10000.0000000000005")
    assert [(level["price"], level["qty"]) for level in found["bids"]] == bids
