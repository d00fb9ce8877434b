"""History is computed in parallel, kept by content, and always what one batch says."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from crucible.features import history, store, workers
from crucible.features.frame import FeatureFrame
from crucible.features.history import features_of
from crucible.features.influence.mapper import InfluenceArrays
from crucible.features.pipeline import FeatureError, FeaturePipeline
from crucible.features.store import FeatureStore, code_digest, key_of
from crucible.locks import held
from crucible.market.candles import Candles
from crucible.market.simulator import simulate
from crucible.settings import FeatureSettings, Settings

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
SMALL = FeatureSettings(radar_window=20, radar_every=15, influence_window_days=1)
GB = 10**9


@pytest.fixture(scope="module")
def market() -> dict[str, Candles]:
    """Three symbols with gaps of their own, one of which begins a day later."""
    candles = simulate(SYMBOLS, 5_000, seed=51, gap_share=0.004)
    return candles | {"SOLUSDT": candles["SOLUSDT"][1_400:]}


@pytest.fixture(scope="module")
def arrays() -> InfluenceArrays:
    generator = np.random.default_rng(52)
    return InfluenceArrays(
        theta=generator.normal(0, 1, 6),
        gate=np.array([1.0, 4.0]),
        hidden=generator.normal(0, 1, (4, 7)),
        hidden_bias=generator.normal(0, 1, 4),
        out=generator.normal(0, 1, 4),
        threshold=np.array([0.1]),
        trained_until=np.array([0], np.int64),
    )


@pytest.fixture(scope="module")
def expected(market: dict[str, Candles], arrays: InfluenceArrays) -> dict[str, FeatureFrame]:
    frames = pipeline_of(arrays).batch(market)
    # Every block has said something: what is compared below is not NaN with NaN alone.
    assert (
        np.isfinite(frames["BTCUSDT"].values).any(axis=0).sum()
        > len(frames["BTCUSDT"].schema.names) - 3
    )
    return frames


@pytest.fixture
def kept(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "cache" / "features", GB)


def pipeline_of(
    arrays: InfluenceArrays | None = None, settings: FeatureSettings = SMALL
) -> FeaturePipeline:
    return FeaturePipeline(SYMBOLS, settings, arrays)


def same(ours: dict[str, FeatureFrame], theirs: dict[str, FeatureFrame]) -> bool:
    return list(ours) == list(theirs) and all(
        ours[name].symbol == name
        and ours[name].ts.tobytes() == theirs[name].ts.tobytes()
        and ours[name].values.tobytes() == theirs[name].values.tobytes()
        and ours[name].schema.hash == theirs[name].schema.hash
        for name in theirs
    )


def entries(kept: FeatureStore) -> list[Path]:
    return sorted(path for path in kept.folder.iterdir() if path.is_dir())


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One number for each time that something is computed."""
    times: list[int] = []
    true = FeaturePipeline.batch

    def batch(self, *given, **named):
        times.append(1)
        return true(self, *given, **named)

    monkeypatch.setattr(FeaturePipeline, "batch", batch)
    return times


@pytest.mark.parametrize("count", [1, 2, 5])
def test_threads_change_no_byte(market, arrays, expected, count: int) -> None:
    assert same(features_of(pipeline_of(arrays), market, count=count), expected)


@pytest.mark.process
@pytest.mark.parametrize("count", [2, 3])
def test_processes_change_no_byte(market, arrays, expected, monkeypatch, tmp_path, count) -> None:
    started = []
    true = workers.RadarProcesses

    def processes(radar, number):
        started.append(number)
        return true(radar, number)

    monkeypatch.setattr(workers, "RadarProcesses", processes)
    monkeypatch.setattr(workers, "WORTH", 1)
    cached = FeaturePipeline(SYMBOLS, SMALL, arrays, radar_cache=tmp_path / "radar")
    for pipeline in (pipeline_of(arrays), cached, cached):
        assert same(features_of(pipeline, market, count=count), expected)
    # The last call finds whole days evaluated and asks others for the rest only.
    assert started == [count] * 3
    assert list((tmp_path / "radar").iterdir())


@pytest.mark.process
def test_a_process_that_dies_costs_time_and_no_value(
    market, arrays, expected, monkeypatch, caplog
) -> None:
    true = workers.RadarProcesses

    def processes(radar, number):
        made = true(radar, number)
        made._all[0].kill()
        return made

    monkeypatch.setattr(workers, "RadarProcesses", processes)
    monkeypatch.setattr(workers, "WORTH", 1)
    with caplog.at_level(logging.WARNING):
        assert same(features_of(pipeline_of(arrays), market, count=2), expected)
    assert "its part is computed here" in caplog.text


def test_where_no_process_can_be_started_this_one_computes(
    market, arrays, expected, monkeypatch, caplog
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(workers, "WORTH", 1)
    monkeypatch.setattr(subprocess, "Popen", refused)
    with caplog.at_level(logging.WARNING):
        assert same(features_of(pipeline_of(arrays), market, count=2), expected)
    assert "no process can be started" in caplog.text


@pytest.mark.process
def test_an_error_while_others_work_ends_them(market, monkeypatch) -> None:
    made = []
    true = workers.RadarProcesses

    def processes(radar, number):
        made.append(true(radar, number))
        return made[0]

    monkeypatch.setattr(workers, "RadarProcesses", processes)
    monkeypatch.setattr(workers, "WORTH", 1)
    pipeline = pipeline_of()
    monkeypatch.setattr(
        pipeline._influence, "run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        features_of(pipeline, market, count=2)
    assert [process.poll() is None for process in made[0]._all] == [False, False]


def test_the_share_that_is_done_grows_to_one(market) -> None:
    shares: list[float] = []
    for count in (1, 2):
        shares.clear()
        features_of(pipeline_of(), market, count=count, progress=shares.append)
        assert shares == sorted(shares)
        assert 0 < shares[0] < 1
        assert shares[-1] == 1


def test_the_second_call_computes_nothing(market, arrays, expected, kept, computed) -> None:
    first = features_of(pipeline_of(arrays), market, store=kept)
    assert same(first, expected)
    assert len(computed) == 1
    shares: list[float] = []
    second = features_of(pipeline_of(arrays), market, store=kept, progress=shares.append)
    assert same(second, expected)
    assert len(computed) == 1
    assert shares == [1.0]
    for frames in (first, second):
        with pytest.raises(ValueError, match="read-only"):
            frames["BTCUSDT"].values[0, 0] = 1.0
    assert [path.name for path in entries(kept)] == [key_of(first["BTCUSDT"].schema, market)]


def test_one_symbol_of_several_is_served_alone(market, expected, arrays, kept, computed) -> None:
    for where in (None, kept, kept):
        only = features_of(pipeline_of(arrays), market, symbols=["ETHUSDT"], store=where)
        assert same(only, {"ETHUSDT": expected["ETHUSDT"]})
    assert len(computed) == 2
    assert same(features_of(pipeline_of(arrays), market, store=kept), expected)
    assert len(computed) == 2


def test_other_candles_settings_symbols_arrays_and_code_are_other_entries(
    market, arrays, kept, computed, monkeypatch
) -> None:
    def ask(pipeline: FeaturePipeline, candles: dict[str, Candles] = market) -> None:
        features_of(pipeline, candles, store=kept)

    ask(pipeline_of())
    other = market["SOLUSDT"]
    moved = Candles(
        "SOLUSDT", other.ts, other.open, other.high, other.low, other.close, other.volume * 2
    )
    ask(pipeline_of(), market | {"SOLUSDT": moved})
    ask(pipeline_of(), {name: market[name] for name in SYMBOLS[:2]})
    ask(pipeline_of(settings=SMALL.model_copy(update={"radar_every": 30})))
    ask(pipeline_of(settings=SMALL.model_copy(update={"timeframes": (15, 60, 240)})))
    ask(pipeline_of(arrays))
    ask(FeaturePipeline(SYMBOLS[::-1], SMALL))
    assert len(computed) == len(entries(kept)) == 7
    before = code_digest()
    monkeypatch.setattr(store, "code_digest", lambda: before + "changed")
    ask(pipeline_of())
    assert len(computed) == len(entries(kept)) == 8
    monkeypatch.undo()
    features_of(pipeline_of(), market, store=kept)
    assert len(entries(kept)) == 8


def test_the_digest_of_the_code_changes_with_every_file_that_computes(monkeypatch) -> None:
    digests = {code_digest.__wrapped__()}
    true = Path.read_bytes
    for changed in ("technical.py", "radar.py", "mapper.py", "microstructure.py", "timeframes.py"):
        monkeypatch.setattr(
            Path, "read_bytes", lambda path, c=changed: true(path) + b"#" * (path.name == c)
        )
        digests.add(code_digest.__wrapped__())
    monkeypatch.setattr(store, "version", lambda name: "0")
    digests.add(code_digest.__wrapped__())
    assert len(digests) == 7


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def other_shape(path: Path) -> None:
    np.save(path, np.zeros((3, 3)))
    signed(path)


def pickled(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    signed(path)


def signed(path: Path) -> None:
    """A checksum that fits: only what is looked at behind it can find the fault."""
    file = path.with_name("entry.json")
    stored = json.loads(file.read_text())
    stored["checksums"] |= store._checksums_of(path.parent, [path.stem])
    file.write_text(json.dumps(stored))


DAMAGE = {
    "a bit": lambda entry: flip(entry / "BTCUSDT.npy"),
    "an end": lambda entry: cut(entry / "BTCUSDT.npy"),
    "a file": lambda entry: (entry / "BTCUSDT.npy").unlink(),
    "a shape": lambda entry: other_shape(entry / "BTCUSDT.npy"),
    "objects": lambda entry: pickled(entry / "BTCUSDT.npy"),
    "no json": lambda entry: (entry / "entry.json").write_text("{"),
    "no entry": lambda entry: (entry / "entry.json").unlink(),
    "a list": lambda entry: (entry / "entry.json").write_text("[]"),
    "a format": lambda entry: (entry / "entry.json").write_text('{"format": 2}'),
    "a key": lambda entry: (entry / "entry.json").write_text('{"format": 1, "key": "x"}'),
    "no checksums": lambda entry: (entry / "entry.json").write_text(
        json.dumps({"format": 1, "key": entry.name})
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_reported_and_computed_anew(
    market, arrays, expected, kept, computed, caplog, damage: str
) -> None:
    features_of(pipeline_of(arrays), market, store=kept)
    (entry,) = entries(kept)
    DAMAGE[damage](entry)
    with caplog.at_level(logging.WARNING):
        assert same(features_of(pipeline_of(arrays), market, store=kept), expected)
    assert f"{entry}: damaged: " in caplog.text
    assert len(computed) == 2
    assert same(features_of(pipeline_of(arrays), market, store=kept), expected)
    assert len(computed) == 2


def test_the_one_that_was_used_longest_ago_goes_first(market, kept, computed) -> None:
    def ask(every: int, limit: int) -> str:
        settings = SMALL.model_copy(update={"radar_every": every})
        frames = features_of(
            pipeline_of(settings=settings), market, store=FeatureStore(kept.folder, limit)
        )
        return key_of(frames["BTCUSDT"].schema, market)

    first = ask(15, GB)
    size = sum(path.stat().st_size for path in entries(kept)[0].glob("*.npy"))
    room = int(2.5 * size)
    second = ask(20, room)
    for place, name in enumerate((first, second)):
        os.utime(kept.folder / name / "entry.json", (1_000 + place, 1_000 + place))
    assert ask(15, room) == first  # used again: now the second is older
    third = ask(30, room)
    assert {path.name for path in entries(kept)} == {first, third}
    assert len(computed) == 3
    held = sum(path.stat().st_size for path in kept.folder.rglob("*.npy"))
    assert held <= room
    assert not (kept.folder / f"{second}.lock").exists()


def test_more_than_the_folder_may_hold_is_computed_and_not_kept(
    market, arrays, expected, kept, caplog
) -> None:
    small = FeatureStore(kept.folder, 1_000)
    features_of(pipeline_of(), market, store=kept)
    with caplog.at_level(logging.WARNING):
        assert same(features_of(pipeline_of(arrays), market, store=small), expected)
    assert "are more than cache.features_gb = 1e-06; raise it" in caplog.text
    # Nothing else goes for what would not fit all the same.
    assert len(entries(kept)) == 1


def test_what_another_process_works_on_stays(market, kept, caplog) -> None:
    features_of(pipeline_of(), market, store=kept)
    (entry,) = entries(kept)
    size = sum(path.stat().st_size for path in entry.glob("*.npy"))
    other = pipeline_of(settings=SMALL.model_copy(update={"radar_every": 30}))
    with held(kept.folder / f"{entry.name}.lock"), caplog.at_level(logging.WARNING):
        features_of(other, market, store=FeatureStore(kept.folder, int(1.5 * size)))
    assert "that others work on are more than cache.features_gb" in caplog.text
    assert entries(kept) == [entry]


def test_a_name_that_is_no_symbol_writes_no_file(market, kept, caplog) -> None:
    own = market["BTCUSDT"][:200]
    with caplog.at_level(logging.WARNING):
        frames = features_of(FeaturePipeline(["../x"], SMALL), {"../x": own}, store=kept)
    assert len(frames["../x"]) == 200
    assert "'../x' is no symbol" in caplog.text
    assert not list(kept.folder.parent.rglob("*.npy"))


@pytest.mark.parametrize("fault", ["folder", "room", "rename"])
def test_a_folder_that_takes_nothing_costs_time_and_no_value(
    market, arrays, expected, kept, caplog, monkeypatch, fault: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if fault == "folder":
        kept.folder.parent.mkdir()
        kept.folder.write_text("a file")
    else:
        place, name = (os, "posix_fallocate") if fault == "room" else (Path, "rename")
        monkeypatch.setattr(place, name, full)
    with caplog.at_level(logging.WARNING):
        assert same(features_of(pipeline_of(arrays), market, store=kept), expected)
    assert "these features are not kept" in caplog.text
    if fault != "folder":
        assert entries(kept) == []


def test_an_interruption_leaves_nothing_behind(market, kept, monkeypatch) -> None:
    pipeline = pipeline_of()
    monkeypatch.setattr(
        pipeline._influence, "run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        features_of(pipeline, market, store=kept, count=2)
    assert entries(kept) == []


def test_what_a_crash_left_is_removed_when_room_is_made(market, kept, computed) -> None:
    kept.folder.mkdir(parents=True)
    for key in ("a" * 32, key_of(pipeline_of().schema, market)):
        left = kept.folder / f".{key}.1.1.part"
        left.mkdir()
        (left / "BTCUSDT.npy").write_bytes(b"half")
    features_of(pipeline_of(), market, store=kept)
    assert len(entries(kept)) == 1
    assert not [path for path in kept.folder.iterdir() if path.name.endswith(".part")]


def test_what_cannot_be_used_is_refused_with_and_without_a_store(market, kept) -> None:
    doge = simulate(["DOGEUSDT"], 50, seed=1)
    turned = Candles(
        *(getattr(market["BTCUSDT"], name) for name in ("symbol",)),
        *(
            getattr(market["BTCUSDT"], name)[::-1]
            for name in ("ts", "open", "high", "low", "close", "volume")
        ),
    )
    for where in (None, kept):
        with pytest.raises(FeatureError, match="DOGEUSDT is not served"):
            features_of(pipeline_of(), market | doge, store=where)
        with pytest.raises(FeatureError, match="must increase"):
            features_of(pipeline_of(), market | {"BTCUSDT": turned}, store=where)
        assert features_of(pipeline_of(), {}, store=where) == {}
    assert not kept.folder.exists() or entries(kept) == []


def test_two_threads_that_want_the_same_compute_it_once(market, kept, computed) -> None:
    frames: list[dict[str, FeatureFrame]] = []
    asked = [
        threading.Thread(
            target=lambda: frames.append(features_of(pipeline_of(), market, store=kept))
        )
        for _ in range(2)
    ]
    for each in asked:
        each.start()
    for each in asked:
        each.join()
    assert len(computed) == 1
    assert same(*frames)


PROGRAM = """
import sys
from pathlib import Path
from crucible.features.history import features_of
from crucible.features.pipeline import FeaturePipeline
from crucible.features.store import FeatureStore
from crucible.market.simulator import simulate
from crucible.settings import FeatureSettings
symbols = ["BTCUSDT", "ETHUSDT"]
true, times = FeaturePipeline.batch, []
def batch(self, *given, **named):
    times.append(1)
    return true(self, *given, **named)
FeaturePipeline.batch = batch
pipeline = FeaturePipeline(symbols, FeatureSettings(radar_window=20, radar_every=15))
candles = simulate(symbols, 6000, seed=5)
sys.stdin.readline()
frames = features_of(pipeline, candles, store=FeatureStore(Path(sys.argv[1]), 10**9))
print(len(times), frames["BTCUSDT"].values.sum(where=frames["BTCUSDT"].values > 0).hex())
"""


@pytest.mark.process
def test_two_processes_at_once_compute_it_once(kept: FeatureStore) -> None:
    command = [sys.executable, "-c", PROGRAM, str(kept.folder)]
    root = Path(__file__).resolve().parents[2]
    pair = [
        subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for each in pair:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    said = [each.communicate(timeout=300)[0].split() for each in pair]
    assert sorted(times for times, _ in said) == ["0", "1"]
    assert len({values for _, values in said}) == 1


def test_a_store_is_found_in_a_workspace_that_is_there(tmp_path: Path) -> None:
    found = FeatureStore.of(Settings(home=tmp_path))
    assert found == FeatureStore(tmp_path / "cache" / "features", 8 * GB)
    assert FeatureStore.of(Settings(home=tmp_path / "nowhere")) is None
    assert FeatureStore.of(Settings(home=tmp_path, cache={"features_gb": 0})) is None


def test_history_of_no_candles_asks_nobody() -> None:
    assert history.features_of(pipeline_of(), {}) == {}
