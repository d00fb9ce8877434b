"""What a backtest prints: dates, holding, why trades ended, and which candles the strategy was chosen by."""

from __future__ import annotations

import numpy as np
import pytest

from crucible.commands.backtest_outcome import print_backtest
from crucible.forge.command import seen_before

HOUR = 3_600_000
TS = np.arange(100, dtype=np.int64) * HOUR
WINDOWS = [
    {"name": "train", "first_ts": 0, "last_ts": 60 * HOUR},
    {"name": "validation", "first_ts": 60 * HOUR, "last_ts": 80 * HOUR},
    {"name": "sealed", "first_ts": 200 * HOUR, "last_ts": 300 * HOUR},
]


def trade(entry, exit_, net_return, reason="take_profit"):
    return {
        "entry_ts": entry * HOUR,
        "exit_ts": exit_ * HOUR,
        "entry_price": 100.0,
        "exit_price": 101.0,
        "net_return": net_return,
        "reason": reason,
    }


DONE = {
    "strategy": {"symbol": "BTCUSDT", "kind": "gp"},
    "candles": {"description": "all 100 candles"},
    "funding": "not charged",
    "summary": {"net_return": 0.01},
    "hold_return": 0.25,
    "seen": seen_before({"lineage": {"windows": WINDOWS}}, TS),
    "trades": [trade(1, 3, 0.02), trade(5, 6, -0.01, "stop"), trade(10, 14, 0.01)],
}


def test_the_share_of_candles_that_a_forge_run_had_seen_is_counted_window_by_window():
    shares = {window["name"]: window["share"] for window in DONE["seen"]}
    assert shares == pytest.approx({"train": 0.6, "validation": 0.2, "sealed": 0.0})
    assert seen_before({}, TS) == []


def test_holding_the_exits_and_the_candles_that_prove_nothing_are_printed(capsys):
    print_backtest(DONE)
    printed = capsys.readouterr().out
    assert "buy and hold" in printed
    assert "25.00%" in printed
    reasons = printed[printed.index("Why trades ended") :]
    assert reasons.index("take_profit") < reasons.index("stop")
    assert "+1.500%" in reasons  # the mean of both that reached the target
    assert "180" in reasons  # and how long they were held
    assert "1970-01-01 05:00" in printed  # the worst was entered then
    assert "60% of these candles are its training window (to 1970-01-03 12:00)" in printed
    assert "20% of these candles are its validation window" in printed
    assert "hold-out" not in printed


def test_a_backtest_without_a_trade_has_no_table_of_trades(capsys):
    print_backtest({**DONE, "trades": [], "seen": []})
    printed = capsys.readouterr().out
    assert "0 trades" in printed
    assert "Why trades ended" not in printed
