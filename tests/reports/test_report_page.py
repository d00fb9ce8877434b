"""A report is one file that says what the ledger says, asks for no network, and takes nobody's text for markup."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crucible.ledger.ledger import Ledger
from crucible.market.candles import Candles, write_candles
from crucible.market.lake import Lake
from crucible.market.simulator import simulate
from crucible.operations.reconciliation.accounts import plain
from crucible.operations.workspace import Workspace
from crucible.settings import MINUTE_MS
from tests.support.browsers import find_chromium, launched
from tests.support.commands import call
from tests.support.factories import AGENT, agent_row, fill_event
from tests.support.factories import fill as made_fill

DAY_MS = 86_400_000
START = 20_089 * DAY_MS
DAYS = 45
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
SHADOW = "BTCUSDT-gp-1@2"


class Text(HTMLParser):
    """What a browser would take for elements, and the data of the charts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._in_script = False

    def handle_data(self, data):
        if self._in_script:
            self.scripts[-1] += data

    @property
    def charts(self) -> list[dict]:
        return json.loads(self.scripts[0])


def wave() -> Candles:
    """Prices of every minute of the span, a day before it as well."""
    count = (DAYS + 1) * 1_440
    close = 100.0 + 10.0 * np.sin(np.arange(count) / 700.0) + np.arange(count) / 20_000.0
    ts = START - DAY_MS + np.arange(count) * MINUTE_MS
    return Candles("BTCUSDT", ts, close, close + 0.5, close - 0.5, close, np.ones(count))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    made = Workspace.at(tmp_path_factory.mktemp("reports") / "workspace")
    made.create()
    run = made.new_run()
    candles = wave()
    lake = Lake(made.path / "lake")
    lake.candles_folder.mkdir(parents=True)
    write_candles(candles, lake.path("BTCUSDT"))
    with Ledger(run.ledger) as ledger:
        ledger.seat(agent_row(proven=True, proven_by="lived", since_ts=START))
        ledger.seat(agent_row(SHADOW, "challenger", since_ts=START))
        number = 0
        for day in range(DAYS - 1):
            for hour, side in ((3, "buy"), (9, "sell")):
                number += 1
                ts = START + day * DAY_MS + hour * 3_600_000
                price = candles.close[np.searchsorted(candles.close_ts, ts, side="right") - 1]
                ledger.book_event(
                    fill_event(
                        number,
                        f"e{number}",
                        intent_id=f"i{number}",
                        side=side,
                        qty="1.5",
                        price=repr(float(price)),
                        fee="0.0825",
                        exec_ts=ts,
                        reason=EVIL if day == 0 else "exit",
                    )
                )
                if side == "buy":
                    decided = Decimal(repr(float(price))) - Decimal("0.01")
                    ledger.book_decision(
                        ts - 1, AGENT, "buy", "signal", decided, Decimal("1.5"), f"i{number}"
                    )
        for number, side in ((1, "buy"), (2, "sell")):
            ledger.book_shadow_fill(
                made_fill(
                    number,
                    side,
                    "1",
                    100 + number,
                    "0.05",
                    exec_id=f"s{number}",
                    agent=SHADOW,
                    mode="shadow",
                    exec_ts=START + number * 3_600_000,
                )
            )
        ledger.book_verdict(
            START + DAY_MS, "BTCUSDT-gp-1@9", "9", "cull", EVIL, {"role": "production"}
        )
        details = {"role": "production", "gain_evidence": 21.5, "trades": 44, "parity": 0.99}
        ledger.book_verdict(START + 2 * DAY_MS, AGENT, "1", "keep", "it gains", details)
        ledger.set_last_judged(START + 2 * DAY_MS)
        ledger.set_market_ts(START + DAYS * DAY_MS - 3_600_000)
    return made


@pytest.fixture(scope="module")
def page(workspace: Workspace, tmp_path_factory) -> str:
    file = tmp_path_factory.mktemp("page") / "run.html"
    ended = call(workspace.path, "report", "--html", file)
    assert ended.code == 0, ended.stderr
    assert "the whole report" in ended.stdout
    return file.read_text(encoding="utf-8")


def figures(workspace: Workspace, *words: object) -> dict:
    ended = call(workspace.path, "report", *words, "--json")
    assert ended.code == 0, ended.stderr
    return json.loads(ended.stdout)["figures"]


def test_the_figures_of_a_run_are_the_ledgers_to_the_last_digit(workspace: Workspace):
    found = figures(workspace)
    with Ledger(workspace.run("0001").ledger) as ledger:
        live = [fill for fill in ledger.fills() if fill.mode == "live"]
        trades = ledger.trades(AGENT)
    profit = sum((fill.cash for fill in live), Decimal(0))
    assert Decimal(found["figures"]["profit"]["value"]) == profit
    assert Decimal(found["costs"]["fees"]) == sum(fill.fee for fill in live)
    assert Decimal(found["costs"]["slippage"]) == Decimal("0.01") * Decimal("1.5") * (DAYS - 1)
    assert (found["costs"]["fills"], found["costs"]["fills_decided"]) == (88, 44)
    assert found["figures"]["trades"]["value"] == len(trades) == DAYS - 1
    assert found["figures"]["net_return"]["value"] == pytest.approx(float(profit / 10_000))
    assert found["whole_days"] == DAYS - 1
    assert found["figures"]["sharpe"]["value"] is not None
    assert len(found["rolling_sharpe"]) == DAYS - 1 - 30 + 1
    assert found["figures"]["hold_return"]["value"] is not None
    assert [row["verdict"] for row in found["verdicts"]] == ["cull"]
    (proof,) = [row for row in found["proofs"] if row["agent"] == AGENT]
    assert (proof["proven_by"], proof["gain_evidence"]) == ("lived", 21.5)
    days = [value for _, value in found["daily_equity"]]
    assert days[0] == 10_000.0


def test_the_page_needs_no_network_and_shows_what_the_figures_say(page: str, workspace: Workspace):
    seen = Text(page)
    assert not [value for name, value in seen.attributes if name in {"src", "href"}]
    assert "default-src 'none'" in page
    assert "width=device-width" in page
    assert "prefers-color-scheme: dark" in page
    names = [chart["name"] for chart in seen.charts]
    assert names == ["equity", "drawdown", "rolling", "returns", "durations", "candles-BTCUSDT"]
    for name in names:
        assert ("id", name) in seen.attributes
    found = figures(workspace)
    profit = Decimal(found["figures"]["profit"]["value"])
    assert f"{profit:,.2f} USDT" in page
    assert f'title="{plain(profit)}. ' in page
    assert {trace["name"] for trace in seen.charts[0]["traces"]} == {"equity", "buy and hold"}
    entries = seen.charts[-1]["traces"][1]
    assert len(entries["x"]) == DAYS - 1
    for table in ("months", "drawdowns", "costs", "reasons", "agents", "proofs", "verdicts"):
        assert ("id", table) in seen.attributes, table


def test_no_text_from_outside_becomes_markup(page: str):
    seen = Text(page)
    assert "img" not in seen.tags
    assert seen.tags.count("script") == 3  # the data, plotly, and what draws
    assert "alert(1)" in page  # it is shown, as text
    assert "<script>alert" not in page
    exits = seen.charts[-1]["traces"][2]["text"]
    assert "&lt;/script&gt;" in exits[0]


def test_one_agent_has_a_report_of_its_own_and_what_was_simulated_says_so(
    workspace: Workspace, tmp_path: Path
):
    own = figures(workspace, "--agent", AGENT)
    assert own["figures"]["profit"] == figures(workspace)["figures"]["profit"]
    assert own["verdicts"] == []
    file = tmp_path / "shadow.html"
    shadow = figures(workspace, "--agent", SHADOW, "--html", file)
    assert Decimal(shadow["figures"]["profit"]["value"]) == Decimal("0.9")
    assert "SIMULATED" in file.read_text()
    assert any("SIMULATED" in note for note in shadow["notes"])
    none = call(workspace.path, "report", "--agent", "BTCUSDT-gp-1@77")
    assert none.code == 1
    assert AGENT in none.stderr
    seen = call(workspace.path, "report", "--agent", AGENT)
    assert "Sharpe ratio" in seen.stdout


def test_a_run_too_short_for_a_ratio_says_so(tmp_path: Path):
    made = Workspace.at(tmp_path / "workspace")
    made.create()
    with Ledger(made.new_run().ledger) as ledger:
        ledger.seat(agent_row(since_ts=START))
        ledger.set_market_ts(START + 3_600_000)
    file = tmp_path / "short.html"
    ended = call(made.path, "report", "--html", file)
    assert ended.code == 0, ended.stderr
    text = file.read_text()
    assert "needs 20 whole days; there are 0" in text
    assert "Needs 30 whole days; there are 0" in text
    assert "the lake has no candles" in text
    assert "no candles reach over the span" in text


def test_a_workspace_without_anything_and_a_place_that_cannot_be_written_are_named(
    workspace: Workspace, tmp_path: Path
):
    empty = call(tmp_path / "empty", "report", "--html", tmp_path / "a.html")
    assert empty.code == 1
    assert "crucible up" in empty.stderr
    folder = call(workspace.path, "report", "--html", tmp_path)
    assert folder.code == 1
    assert "is a folder" in folder.stderr
    wrong = call(workspace.path, "report", "--walk-forward", tmp_path, "--agent", AGENT)
    assert wrong.code == 2
    none = call(workspace.path, "report", "--walk-forward", tmp_path)
    assert none.code == 1
    assert "walk-forward" in none.stderr


def walked(folder: Path, days: int = 40) -> Path:
    """What a walk-forward leaves, made by hand."""
    ts = START + np.arange(days * 96 + 1) * 15 * MINUTE_MS
    profit = np.sin(np.arange(len(ts)) / 300.0) / 50.0
    profit[0] = 0.0
    pd.DataFrame(
        {"ts": ts, "factory": profit, "first population": profit * 0, "buy and hold": profit / 2}
    ).to_parquet(folder / "equity.parquet")
    own = {"slot": "BTCUSDT-gp-1", "rule": "factory", "agent": AGENT, "role": "production"}
    numbers = {
        "qty": "1",
        "entry_price": "100",
        "exit_price": "102",
        "fees": "0.1",
        "funding": "0.02",
    }
    times = {"entry_ts": START + DAY_MS, "exit_ts": START + DAY_MS + 600_000}
    trade = {**own, **times, **numbers, "profit": "1.88", "net_return": 0.0188, "reason": "stop"}
    pd.DataFrame([trade, {**trade, "rule": "first population"}]).to_parquet(
        folder / "trades.parquet"
    )
    verdict = {**own, "ts": START + DAY_MS, "verdict": "cull", "reason": EVIL}
    pd.DataFrame([verdict]).to_parquet(folder / "verdicts.parquet")
    life = {
        **own,
        "proven_by": "forged",
        "since_ts": START,
        "until_ts": int(ts[-1]),
        "trades": 1,
        "fees": "0.1",
        "profit": "1.88",
        "end": "the walk ended",
    }
    pd.DataFrame([life]).to_parquet(folder / "agents.parquet")
    summary = {"slots": ["BTCUSDT-gp-1"], "capital": "10000", "forge_runs": 3}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_a_walk_forward_is_reported_from_the_folder_that_it_left(
    workspace: Workspace, tmp_path: Path
):
    folder, file = walked(tmp_path), tmp_path / "walk.html"
    found = figures(workspace, "--walk-forward", folder, "--html", file)
    equity = pd.read_parquet(folder / "equity.parquet")
    assert found["figures"]["net_return"]["value"] == pytest.approx(equity["factory"].iloc[-1])
    assert found["figures"]["hold_return"]["value"] == pytest.approx(
        equity["buy and hold"].iloc[-1]
    )
    assert found["figures"]["trades"]["value"] == 1
    assert found["costs"]["fees"] == "0.1"
    assert found["whole_days"] == 40
    assert found["exit_reasons"][0]["reason"] == "stop"
    seen = Text(file.read_text())
    assert "candles-BTCUSDT" in [chart["name"] for chart in seen.charts]
    assert "img" not in seen.tags


def change_equity(folder: Path, name: str, rows: slice | int, value: float) -> pd.DataFrame:
    file = folder / "equity.parquet"
    equity = pd.read_parquet(file)
    equity.loc[equity.index[rows], name] = value
    equity.to_parquet(file)
    return equity


def test_a_walk_of_more_than_40_000_marks_has_the_figures_of_its_whole_curve(
    workspace: Workspace, tmp_path: Path
):
    folder, file = walked(tmp_path, days=450), tmp_path / "walk.html"
    deepest = 20_011  # no midnight, nor a whole hour
    equity = change_equity(folder, "factory", deepest, -0.5)
    assert len(equity) > 40_000
    found = figures(workspace, "--walk-forward", folder, "--html", file)
    curve = 10_000 * (1 + equity["factory"])
    falls = curve / curve.cummax() - 1
    assert found["figures"]["max_drawdown_within"]["value"] == pytest.approx(falls.min(), rel=1e-12)
    assert found["figures"]["net_return"]["value"] == pytest.approx(equity["factory"].iloc[-1])
    hold = equity["buy and hold"].iloc[-1]
    assert found["figures"]["hold_return"]["value"] == pytest.approx(hold)
    assert found["whole_days"] == 450
    days = curve[::96]
    returns = (days / days.shift(1) - 1).dropna()
    expected = returns.mean() / returns.std() * 365**0.5
    assert found["figures"]["sharpe"]["value"] == pytest.approx(expected)
    drawn = {chart["name"]: chart["traces"] for chart in Text(file.read_text()).charts}
    own, held = drawn["equity"]
    assert own["x"] == held["x"] == drawn["drawdown"][0]["x"]
    assert len(own["x"]) <= 2_000
    assert min(own["y"]) == pytest.approx(5_000)
    assert max(own["y"]) == pytest.approx(curve.max())
    assert min(drawn["drawdown"][0]["y"]) == pytest.approx(falls.min())
    place = own["y"].index(min(own["y"]))
    assert held["y"][place] == pytest.approx(10_000 * (1 + equity["buy and hold"][deepest]))


def test_a_holding_that_a_walk_does_not_know_is_neither_drawn_nor_given_a_figure(
    workspace: Workspace, tmp_path: Path
):
    folder, file = walked(tmp_path), tmp_path / "walk.html"
    change_equity(folder, "buy and hold", 17, float("nan"))
    found = figures(workspace, "--walk-forward", folder, "--html", file)["figures"]
    for name in ("hold_return", "ahead_of_hold"):
        assert found[name]["value"] is None
        assert found[name]["why"] == "the walk-forward does not know it at every instant"
    page = file.read_text()
    assert [trace["name"] for trace in Text(page).charts[0]["traces"]] == ["equity"]
    assert "Buy and hold is not drawn: the walk-forward does not know it" in page


def test_equity_that_a_walk_does_not_know_is_a_fault_and_no_number(
    workspace: Workspace, tmp_path: Path
):
    folder = walked(tmp_path)
    change_equity(folder, "factory", 17, float("nan"))
    ended = call(workspace.path, "report", "--walk-forward", folder, "--json")
    assert ended.code == 1
    assert "'factory' at" in ended.stderr
    change_equity(folder, "factory", slice(None), 0.0).iloc[:0].to_parquet(
        folder / "equity.parquet"
    )
    ended = call(workspace.path, "report", "--walk-forward", folder, "--json")
    assert ended.code == 1
    assert "holds no outcome of a walk-forward" in ended.stderr


def test_a_walk_says_once_what_holding_was_charged_and_counts_no_fills(
    workspace: Workspace, tmp_path: Path
):
    folder, file = walked(tmp_path), tmp_path / "walk.html"
    costs = figures(workspace, "--walk-forward", folder, "--html", file)["costs"]
    assert [costs[name] for name in ("slippage", "fills", "fills_decided")] == [None] * 3
    page = file.read_text()
    held = "all symbols of its slots, bought at the beginning with all capital and held; fees and slippage charged, funding not."
    assert f"Return of {held}" in page
    assert "without costs" not in page
    assert "Not kept apart: it is part of the prices." in page
    assert not re.search(
        r"\bfills\b(?! are at opens)", page.partition('<script type="application')[0]
    )


def test_candles_that_are_damaged_are_a_note_and_the_rest_is_there(tmp_path: Path):
    made = Workspace.at(tmp_path / "workspace")
    made.create()
    with Ledger(made.new_run().ledger) as ledger:
        ledger.seat(agent_row(since_ts=START))
        ledger.book_event(fill_event(1, "e1", exec_ts=START + MINUTE_MS))
    lake = Lake(made.path / "lake")
    lake.candles_folder.mkdir(parents=True)
    lake.path("BTCUSDT").write_bytes(b"no parquet")
    found = figures(made)
    assert any("cannot be read" in note for note in found["notes"])
    assert Decimal(found["figures"]["profit"]["value"]) == -Decimal("0.01658250")


@pytest.mark.browser
def test_a_browser_draws_every_chart_without_a_request_on_a_phone_in_the_dark(
    page: str, tmp_path: Path
):
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium is installed")
    file = tmp_path / "run.html"
    file.write_text(page, encoding="utf-8")
    asked, faults = [], []
    with launched(chromium) as browser:
        opened = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        opened.on("request", lambda request: asked.append(request.url))
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on("console", lambda line: faults.append(line.text))
        opened.goto(file.as_uri())
        opened.wait_for_function("document.documentElement.dataset.drawn", timeout=120_000)
        drawn = opened.locator(".chart .main-svg").count()
        wide = opened.evaluate("document.documentElement.scrollWidth")
        paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert asked == [file.as_uri()]
    assert faults == []
    assert drawn >= 6
    assert wide <= 390
    assert [int(part) for part in re.findall(r"\d+", paper)] == [20, 24, 28]


def test_simulated_candles_can_be_drawn_whatever_their_number():
    from crucible.reports.charts import MOST_CANDLES, _grouped

    candles = simulate(("BTCUSDT",), minutes=5_000, seed=1)["BTCUSDT"]
    step, shown = _grouped(candles)
    assert step == 15
    assert len(shown["x"]) <= MOST_CANDLES
    assert max(shown["high"]) == candles.high.max()
    assert min(shown["low"]) == candles.low.min()
    assert shown["close"][-1] == candles.close[-1]
    assert shown["open"][0] == candles.open[0]
