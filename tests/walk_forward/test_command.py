"""The command: the same seed gives the same bytes, and no forge run sees what comes after its instant."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from crucible.cli import app
from crucible.forge.backtest.engine import ForgeError
from crucible.forge.revision import source_hash
from crucible.market.candles import write_candles
from crucible.market.lake import Lake
from crucible.market.simulator import simulate
from crucible.reports.figures import figures_of
from crucible.reports.of_walk_forward import subject_of_walk_forward
from crucible.reports.page import page_of
from crucible.settings import Settings
from crucible.walk_forward.births import BirthError
from crucible.walk_forward.command import Asked, walk_forward
from crucible.walk_forward.plan import WalkForwardError
from crucible.walk_forward.slots import require_same_code

FILES = (
    "summary.json",
    "report.html",
    "agents.parquet",
    "trades.parquet",
    "verdicts.parquet",
    "equity.parquet",
)
SLOT = "BTCUSDT-gp-1"
ASKED = {
    "slots": (SLOT,),
    "start": "2025-01-03T12:00",
    "refit": "12h",
    "generations": 1,
    "population": 24,
}


@pytest.fixture(scope="module")
def candles():
    return simulate(("BTCUSDT", "ETHUSDT"), minutes=6_200, seed=3)


@pytest.fixture(scope="module")
def folder(candles, tmp_path_factory):
    return written(candles, tmp_path_factory.mktemp("candles"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def walked(folder, settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("walked")
    return out, walk_forward(Asked(folder, out, **ASKED), settings)


def written(candles, folder):
    for symbol, own in candles.items():
        write_candles(own, folder / f"{symbol}-1m.parquet")
    return folder


def births_of(out):
    return {path.name: path.read_bytes() for path in sorted((out / "births" / SLOT).iterdir())}


def test_every_rule_is_walked_and_its_figures_are_those_of_its_trades(walked):
    out, summary = walked
    assert [row["name"] for row in summary["rows"]] == [
        "factory",
        "first population",
        "random replacement",
        "losers of a quarter hour",
        "buy and hold",
    ]
    assert summary["forge_runs"] == 4
    assert summary["registered"] > 0
    lives, equity = (pd.read_parquet(out / name) for name in ("agents.parquet", "equity.parquet"))
    capital = float(summary["capital"])
    for row in summary["rows"][:-1]:
        own = lives[(lives["rule"] == row["name"]) & (lives["role"] == "production")]
        assert row["net_return"] == pytest.approx(own["profit"].astype(float).sum() / capital)
        assert row["net_return"] == equity[row["name"]].iloc[-1]
        assert row["production_lives"] == len(own)
    assert json.loads((out / "summary.json").read_text()) == summary
    page = (out / "report.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert f"{SLOT}@1" in page


def test_its_folder_is_enough_for_a_report(walked, candles, tmp_path):
    out, summary = walked
    lake = Lake(tmp_path)
    lake.candles_folder.mkdir(parents=True)
    written(candles, lake.candles_folder)
    subject = subject_of_walk_forward(out, lake)
    found = {each.name: each for each in figures_of(subject).headline}
    rows = {row["name"]: row for row in summary["rows"]}
    assert found["net_return"].value == pytest.approx(rows["factory"]["net_return"])
    assert found["hold_return"].value == pytest.approx(rows["buy and hold"]["net_return"])
    assert found["trades"].value == rows["factory"]["trades"]
    assert float(subject.costs.fees) == pytest.approx(rows["factory"]["fees"])
    assert found["max_drawdown_within"].value == pytest.approx(-rows["factory"]["max_drawdown"])
    assert subject.first_ts == summary["from_ts"] < subject.last_ts <= summary["to_ts"]
    assert list(subject.candles) == ["BTCUSDT"]
    page = page_of(subject, figures_of(subject))
    assert f"{SLOT}@1" in page


def test_the_same_seed_gives_the_same_bytes_also_after_an_interruption(
    walked, folder, settings, tmp_path
):
    out, _ = walked
    walk_forward(Asked(folder, tmp_path, **ASKED), settings)
    first = births_of(out)
    assert births_of(tmp_path) == first
    # As an interruption leaves it: the later forge runs are not there, and no outcome is.
    for name in sorted(first)[2:]:
        (tmp_path / "births" / SLOT / name).unlink()
    for name in FILES:
        (tmp_path / name).unlink()
    kept = tmp_path / "births" / SLOT / min(first)
    before = kept.stat().st_mtime_ns
    walk_forward(Asked(folder, tmp_path, **ASKED), settings)
    assert kept.stat().st_mtime_ns == before
    assert births_of(tmp_path) == first
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_no_forge_run_sees_a_candle_that_closed_after_its_instant(
    walked, candles, settings, tmp_path
):
    out, summary = walked
    instant = summary["from_ts"] + summary["refit_ms"]
    torn = {}
    for symbol, own in candles.items():
        later = np.where(own.close_ts > instant, 1.5, 1.0)
        prices = {name: getattr(own, name) * later for name in ("open", "high", "low", "close")}
        torn[symbol] = replace(own, **prices)
    other = tmp_path / "out"
    (tmp_path / "candles").mkdir()
    walk_forward(Asked(written(torn, tmp_path / "candles"), other, **ASKED), settings)
    one, two = births_of(out), births_of(other)
    names = sorted(one)
    assert [one[name] == two[name] for name in names[:3]] == [True, True, False]


def test_a_folder_of_another_walk_forward_is_refused_by_what_differs(walked, folder, settings):
    out, _ = walked
    with pytest.raises(WalkForwardError, match="another seed; name another --out"):
        walk_forward(Asked(folder, out, **ASKED, seed=5), settings)


def test_other_rules_of_selection_use_the_forge_runs_that_are_there(walked, folder, settings):
    out, summary = walked
    before = births_of(out)
    watchtower = settings.watchtower.model_copy(update={"max_drawdown": 1e-5})
    other = settings.model_copy(update={"watchtower": watchtower})
    changed = walk_forward(Asked(folder, out, **ASKED), other)
    assert births_of(out) == before
    assert changed["rows"][0]["culled"] > summary["rows"][0]["culled"]
    walk_forward(Asked(folder, out, **ASKED), settings)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"slots": ("SOLUSDT-gp-1",)}, "no candles of SOLUSDT; there are BTCUSDT, ETHUSDT"),
        ({"refit": "7 days"}, "--refit '7 days' is no span of market time"),
        ({"start": "soon"}, "--from 'soon' is no date"),
        ({"start": "2025-01-02"}, "1,440 candles of BTCUSDT come before it"),
        ({"end": "2025-01-03T14:00"}, "is less than one --refit 12h of candles to trade"),
    ],
)
def test_what_cannot_be_walked_is_refused_by_name(folder, settings, tmp_path, asked, message):
    with pytest.raises(WalkForwardError, match=message):
        walk_forward(Asked(folder, tmp_path / "out", **{**ASKED, **asked}), settings)
    assert not (tmp_path / "out").exists()


def test_a_birth_that_was_cut_is_refused_by_its_file(walked, folder, settings, tmp_path):
    asked = Asked(folder, tmp_path, **ASKED)
    births = tmp_path / "births" / SLOT
    births.mkdir(parents=True)
    (births / "00001.json").write_text('{"slot": "BTC')
    with pytest.raises(BirthError, match=r"00001\.json: is no outcome of a forge run"):
        walk_forward(asked, settings)


def test_the_command_prints_a_table_and_where_the_page_is(walked, folder, settings, monkeypatch):
    out, summary = walked
    monkeypatch.setenv("CRUCIBLE_HOME", str(settings.home))
    words = ["walk-forward", "--candles", str(folder), "--out", str(out), "--slots", SLOT]
    words += ["--from", ASKED["start"], "--refit", "12h"]
    words += ["--generations", "1", "--population", "24"]
    printed = CliRunner().invoke(app, words, catch_exceptions=False)
    assert printed.exit_code == 0
    assert "losers of a quarter hour" in printed.stdout
    assert f"{out / 'report.html'}: the whole story" in printed.stdout
    as_json = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert json.loads(as_json.stdout) == summary


def test_a_recorded_walk_forward_is_one_run_with_its_figures_days_and_page(
    walked, folder, settings, registry
):
    out, summary = walked
    for _ in range(2):
        walk_forward(Asked(folder, out, **ASKED), settings, registry)
    experiment = registry.other_experiment("walk-forwards", "")
    (run,) = experiment.all("attributes.status = 'FINISHED'")
    assert run.info.run_name == f"walk-forward {SLOT}"
    factory = summary["rows"][0]
    assert run.data.metrics["factory/net_return"] == factory["net_return"]
    assert run.data.metrics["buy and hold/profit"] == summary["rows"][-1]["net_return"]
    assert run.data.params["seed"] == "0"
    assert experiment.steps(run.info.run_id, "factory/profit") == set(range(factory["days"]))
    listed = [item.path for item in registry._client.list_artifacts(run.info.run_id)]
    assert {"report.html", "summary.json", "agents.parquet"} <= set(listed)


@pytest.mark.process
@pytest.mark.timeout(300)
def test_slots_on_workers_give_the_same_bytes_and_go_on_where_an_earlier_attempt_was(
    folder, settings, tmp_path
):
    both = {**ASKED, "slots": (SLOT, "ETHUSDT-gp-1")}
    here, there = tmp_path / "here", tmp_path / "there"
    walk_forward(Asked(folder, here, **both), settings)
    walk_forward(
        Asked(folder, there, **both),
        with_workers := settings.model_copy(
            update={"forge": settings.forge.model_copy(update={"dask": "local"})}
        ),
    )
    written_here = {
        path.relative_to(here): path.read_bytes()
        for path in sorted((here / "births").rglob("*.json"))
    }
    assert len(written_here) == 8
    for place, content in written_here.items():
        assert (there / place).read_bytes() == content
    for name in FILES:
        assert (there / name).read_bytes() == (here / name).read_bytes()
    lost = there / "births" / "ETHUSDT-gp-1" / "00003.json"
    lost.unlink()
    walk_forward(Asked(folder, there, **both), with_workers)
    assert lost.read_bytes() == written_here[lost.relative_to(there)]


def test_a_scheduler_that_does_not_answer_is_named(folder, settings, tmp_path, monkeypatch):
    import distributed

    def connect(address, **_):
        raise OSError(address)

    monkeypatch.setattr(distributed, "Client", connect)
    away = settings.model_copy(
        update={"forge": settings.forge.model_copy(update={"dask": "tcp://127.0.0.1:9"})}
    )
    with pytest.raises(ForgeError, match="no scheduler answers"):
        walk_forward(Asked(folder, tmp_path / "out", **ASKED), away)


def test_a_worker_of_other_code_is_refused_by_its_name():
    class Cluster:
        codes = {"tcp://one": source_hash(), "tcp://two": "another"}  # noqa: RUF012

        def scheduler_info(self, n_workers):
            return {"workers": self.codes}

        def run(self, asked):
            return self.codes

    with pytest.raises(ForgeError, match="the worker tcp://two runs other code"):
        require_same_code(Cluster(), "tcp://scheduler")
    Cluster.codes = {"tcp://one": source_hash()}
    require_same_code(Cluster(), "tcp://scheduler")
    Cluster.codes = {}
    with pytest.raises(ForgeError, match="its scheduler has no worker"):
        require_same_code(Cluster(), "tcp://scheduler")
