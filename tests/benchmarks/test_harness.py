"""Promises of the benchmarks' shared parts, checked without a peer."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import _peers
from benchmarks._charts import draw
from benchmarks._harness import Benchmark, BenchmarkError, Row, alternate, keep, ratio_row

FACTS = {"bench": "toy", "commit": "abc", "machine": {"cpu": "toy", "cores": 2}}


def test_rounds_alternate_and_the_ratio_is_the_median_of_the_rounds() -> None:
    calls: list[str] = []
    ours = iter([9.0, 2.0, 2.0, 8.0, 2.0, 2.0])
    theirs = iter([9.0, 1.0, 1.0, 1.0, 1.0, 4.0])

    def our() -> float:
        calls.append("ours")
        return next(ours)

    def their() -> float:
        calls.append("theirs")
        return next(theirs)

    row = ratio_row("r", alternate(our, their), better="higher", goal=2, peer="p 1", note="")
    assert calls[:6] == ["theirs", "ours", "ours", "theirs", "theirs", "ours"]
    assert (row.value, row.ours, row.theirs, row.n) == (2.0, 2.0, 1.0, 5)
    assert row.reached


def test_too_few_rounds_and_figures_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(BenchmarkError, match="too few"):
        alternate(lambda: 1.0, lambda: 1.0, rounds=4)
    with pytest.raises(BenchmarkError, match="value is nan"):
        Row("r", float("nan"), "ms", "lower", None)
    with pytest.raises(BenchmarkError, match="above zero"):
        ratio_row("r", [(0.0, 1.0)] * 5, better="higher", goal=1, peer="p", note="")
    with pytest.raises(BenchmarkError, match="rounds"):
        Row("r", 1.0, "ratio", "lower", 1, "p", 1.0, 1.0, 1)


def test_results_keep_the_newest_and_the_best_of_every_machine(tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    for value in (3.0, 1.0, 2.0):
        keep(path, FACTS, [Row("t", value, "ms", "lower", 2)])
    keep(path, {**FACTS, "machine": {"cpu": "other", "cores": 4}}, [Row("t", 9, "ms", "lower", 2)])
    first, second = json.loads(path.read_text())["machines"]
    assert (first["newest"]["t"]["value"], first["best"]["t"]["value"]) == (2.0, 1.0)
    assert second["newest"]["t"]["value"] == 9
    draw(path, tmp_path / "a.svg")
    draw(path, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.process
def test_the_last_line_is_the_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Benchmark("toy", tmp_path) as bench:
        bench.add(Row("t", 1.5, "ms", "lower", 2, n=7, note="why"))
    reported = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(reported) == {"bench", "commit", "machine", "rows"}
    assert set(reported["machine"]) == {"cpu", "cores"}
    assert reported["rows"] == [
        {
            "name": "t", "value": 1.5, "unit": "ms", "better": "lower", "goal": 2, "peer": None,
            "ours": None, "theirs": None, "n": 7, "note": "why",
        }
    ]  # fmt: skip


def test_a_failure_ends_with_one_line_and_keeps_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        message = "peer toy 1 cannot be installed"
        with Benchmark("toy", tmp_path):
            raise BenchmarkError(message)

    with pytest.raises(SystemExit):
        missing()
    assert "peer toy 1 cannot be installed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.process
def test_a_peer_answers_json_lines_even_when_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = tmp_path / "peers"
    peers.mkdir()
    (peers / "serving.py").write_text((_peers.FOLDER / "peers" / "serving.py").read_text())
    (peers / "toy.txt").write_text("# none\n")
    (peers / "toy.py").write_text(
        "from serving import serve\n"
        "def double(x):\n    print('noise')\n    return 2 * x\n"
        "serve({'double': double}, [])\n"
    )
    monkeypatch.setattr(_peers, "FOLDER", tmp_path)
    monkeypatch.setattr(_peers, "environment", lambda name: Path(sys.executable))
    with _peers.Peer("toy") as peer:
        assert peer.call("double", x=4) == 8
        with pytest.raises(BenchmarkError, match="TypeError"):
            peer.call("double", x=None)
        with pytest.raises(BenchmarkError, match="peer deap is not installed"):
            peer.label("deap")
