"""The page of the factory's results tells what its walk-forwards' own summaries tell."""

import json

import pytest

from crucible.market.candles import write_candles
from crucible.market.simulator import simulate
from tools.results_factory import main

pytestmark = pytest.mark.process


def test_the_page_has_every_span_every_rule_and_the_markets_that_switch(tmp_path):
    span = tmp_path / "candles" / "made-up"
    span.mkdir(parents=True)
    for symbol, own in simulate(("ETHUSDT",), minutes=38 * 1_440, seed=2).items():
        write_candles(own, span / f"{symbol}-1m.parquet")
    asked = ["--candles", str(tmp_path / "candles"), "--least-days", "30", "--refit", "2d"]
    asked += ["--markets", "1", "--market-days", "60", "--population", "8", "--generations", "1"]
    main([*asked, "--out", str(tmp_path / "out"), "--docs", str(tmp_path / "docs")])
    page = (tmp_path / "docs" / "factory.md").read_text()
    summary = json.loads((tmp_path / "out" / "made-up" / "summary.json").read_text())
    assert summary["slots"] == ["ETHUSDT-gp-1"]
    for row in summary["rows"]:
        (line,) = [each for each in page.splitlines() if each.startswith(f"| {row['name']} | ") and "culled" not in each][:1]  # fmt: skip
        assert f"{row['net_return']:+.2%}" in line
    assert "## Markets that switch" in page
    assert str(tmp_path) not in page
    drawn = (tmp_path / "docs" / "factory-made-up.svg").read_text()
    assert drawn.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "buy and hold" in drawn
