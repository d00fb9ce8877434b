"""Small files of candles and funding, good and bad, with the verdict that every reader must give.

``python -m crucible.testing.candle_files tests/cases`` writes ``candle_files.json`` and the files it names.
The tests of both languages read that table; a case is added here and nowhere else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crucible.testing.columns import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    ROWS,
    START_MS,
    as_instants,
    as_json,
    some_of,
    sound_candles,
    sound_funding,
    sound_minutes,
    with_column,
    with_value,
    without_value,
)

TABLE = "candle_files.json"
SYMBOL = "BTCUSDT"


@dataclass(frozen=True, slots=True)
class Case:
    """One file and what becomes of it.

    Attributes
    ----------
    name : str
    kind : {'candles', 'funding'}
    content : mapping, pyarrow.Table or bytes
        What is in the file.
    words : tuple of str
        What the message of a refusal contains, in any case of letters; none where it is accepted.
    options : mapping
        Of the Parquet writer.
    """

    name: str
    kind: Literal["candles", "funding"]
    content: Mapping[str, Any] | pa.Table | bytes
    words: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Path below the folder of the table."""
        ending = "1m" if self.kind == "candles" else "funding"
        return f"candle_files/{self.name}/{SYMBOL}-{ending}.parquet"

    def write(self, folder: Path) -> None:
        """Write the file below `folder`."""
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
            return
        content = self.content
        table = content if isinstance(content, pa.Table) else pa.table(dict(content))
        pq.write_table(table, path, **{"compression": "zstd", **self.options})

    def reported(self) -> dict[str, Any]:
        """Give its row of the table."""
        row: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "file": self.file,
            "symbol": SYMBOL,
            "verdict": "refused" if self.words else "accepted",
        }
        if self.words:
            return row | {"words": list(self.words)}
        assert not isinstance(self.content, bytes)
        named = ("ts", *(PRICES if self.kind == "candles" else ("funding_rate",)))
        plain = {name: as_json(self.content[name]) for name in named}
        ends = {"first": 0, "last": -1} if len(plain["ts"]) else {}
        return (
            row
            | {"rows": len(plain["ts"])}
            | {end: {name: plain[name][at] for name in named} for end, at in ends.items()}
        )


PRICES = ("open", "high", "low", "close", "volume")


def cases() -> list[Case]:
    """Every case, accepted ones first."""
    return [*_accepted(), *_bad_times(), *_bad_values(), *_bad_files(), *_funding()]


def write(folder: Path) -> None:
    """Write the table and every file."""
    reported = [case.reported() for case in cases()]
    for case in cases():
        case.write(folder)
    text = json.dumps({"format": "crucible.candle-files/1", "cases": reported}, indent=1)
    (folder / TABLE).write_text(text + "\n")


def _accepted() -> Iterator[Case]:
    def good(name: str, content: Any, **options: Any) -> Case:  # noqa: ANN401
        return Case(name, "candles", content, options=options)

    ts = sound_minutes()
    yield good("plain", sound_candles())
    yield good("one-row", sound_candles(rows=1))
    yield good("snappy", sound_candles(), compression="snappy")
    yield good("gzip", sound_candles(), compression="gzip")
    yield good("uncompressed", sound_candles(), compression="none")
    yield good("many-row-groups", sound_candles(), row_group_size=40)
    yield good("other-page-version", sound_candles(), data_page_version="2.0", version="2.4")
    yield good("other-order", dict(reversed(sound_candles().items())))
    yield good("more-columns", sound_candles() | {"trades": [3] * ROWS, "source": ["x"] * ROWS})
    yield good("quiet-minutes", sound_candles(some_of(START_MS + MINUTE_MS * np.arange(400), 0.6)))
    yield good(
        "gap-of-fourteen-days",
        sound_candles(np.r_[ts[:70], ts[69] + 14 * DAY_MS + ts[:80] - START_MS]),
    )
    yield good("no-trades", with_column("volume", np.zeros_like))
    yield good("whole-volumes", with_column("volume", lambda each: each.astype(np.int64)))
    yield good("whole-unsigned-volumes", with_column("volume", lambda each: each.astype(np.uint32)))
    yield good(
        "whole-prices",
        {
            name: values if name == "ts" else np.full(ROWS, 93_500, np.int32)
            for name, values in sound_candles().items()
        },
    )
    for unit in ("ms", "us", "ns"):
        yield good(f"times-in-utc-{unit}", with_column("ts", as_instants(unit, "UTC")))
    yield good("times-in-another-zone", with_column("ts", as_instants("ms", "America/New_York")))


def _bad_times() -> Iterator[Case]:
    def bad(name: str, content: Any, *words: str) -> Case:  # noqa: ANN401
        return Case(name, "candles", content, words)

    ts = sound_minutes()
    yield bad(
        "microseconds",
        sound_candles(ts * 1_000),
        "row 0",
        "ts",
        "1735689600000000",
        "56971",
        "microseconds",
    )
    yield bad("nanoseconds", sound_candles(ts * 1_000_000), "row 0", "ts", "nanoseconds")
    yield bad("seconds", sound_candles(ts // 1_000), "row 0", "ts", "1735689600", "1970", "seconds")
    yield bad(
        "milliseconds-then-microseconds",
        sound_candles(np.r_[ts[:90], ts[90:] * 1_000]),
        "row 90",
        "ts",
        "1735695000000000",
        "microseconds",
    )
    yield bad("a-row-of-1970", sound_candles(np.r_[ts[:50], 0, ts[51:]]), "row 50", "ts 0", "1970")
    yield bad(
        "a-time-before-1970", sound_candles(np.r_[-ts[:1], ts[1:]]), "row 0", "ts -1735689600000"
    )
    yield bad(
        "a-row-of-2100", sound_candles(np.r_[ts[:-1], 4_102_444_800_000]), "row 149", "ts", "2100"
    )
    five = START_MS + 5 * MINUTE_MS * np.arange(ROWS)
    yield bad(
        "five-minute-candles", sound_candles(five), "row 1 ", "ts", "5 minutes", "5-minute candles"
    )
    yield bad(
        "hourly-candles",
        sound_candles(START_MS + HOUR_MS * np.arange(ROWS)),
        "row 1 ",
        "ts",
        "60-minute candles",
    )
    yield bad(
        "few-five-minute-candles", sound_candles(five[:8]), "row 1 ", "ts", "5-minute candles"
    )
    yield bad(
        "five-minute-candles-in-between",
        sound_candles(
            np.r_[
                ts[:50], ts[49] + five[1:61] - START_MS, ts[49] + five[60] + ts[1:30] - 2 * START_MS
            ]
        ),
        "row 50",
        "ts",
        "5-minute candles",
    )
    yield bad(
        "gap-of-fifteen-days",
        sound_candles(np.r_[ts[:70], ts[70:] + 15 * DAY_MS]),
        "row 70",
        "ts",
        "gap",
    )
    pairs = START_MS + np.sort(np.r_[0:130:10, 0:130:10]) * DAY_MS + MINUTE_MS * np.tile([0, 1], 13)
    yield bad("hardly-any-minute", sound_candles(pairs), "row 25", "26 candles", "one in 10")
    yield bad(
        "a-time-twice", sound_candles(np.r_[ts[:60], ts[59:-1]]), "row 60", "time is not after"
    )
    yield bad(
        "a-time-back", sound_candles(np.r_[ts[:60], ts[30], ts[61:]]), "row 60", "time is not after"
    )
    yield bad("newest-first", sound_candles(ts[::-1]), "row 1 ", "time is not after")
    yield bad("off-the-grid", sound_candles(np.r_[ts[:60], ts[60] + 1, ts[61:]]), "row 60", "grid")
    yield bad(
        "times-without-a-zone", with_column("ts", as_instants("ms", None)), "ts", "time zone", "UTC"
    )
    yield bad(
        "times-in-parts-of-milliseconds",
        with_column("ts", lambda each: pa.array(each * 1_000 + 500, pa.timestamp("us", "UTC"))),
        "row 0",
        "ts",
        "whole millisecond",
    )
    yield bad(
        "times-of-1970-with-a-zone",
        with_column("ts", lambda each: as_instants("ms", "UTC")(each // 1_000)),
        "row 0",
        "1970",
    )
    yield bad(
        "times-as-text", with_column("ts", lambda each: [str(one) for one in each]), "ts", "int64"
    )
    yield bad("times-as-floats", with_column("ts", lambda each: each.astype(float)), "ts", "int64")
    yield bad(
        "times-as-int32",
        with_column("ts", lambda each: (each // 1_000).astype(np.int32)),
        "ts",
        "int64",
    )
    yield bad(
        "times-as-uint64", with_column("ts", lambda each: each.astype(np.uint64)), "ts", "int64"
    )
    yield bad(
        "times-as-dates",
        with_column("ts", lambda each: pa.array((each // DAY_MS).astype(np.int32), pa.date32())),
        "ts",
        "int64",
    )
    yield bad("no-time", without_value(sound_candles(), "ts", 9), "row 9", "ts is missing")


def _bad_values() -> Iterator[Case]:
    def bad(name: str, content: Any, *words: str) -> Case:  # noqa: ANN401
        return Case(name, "candles", content, words)

    yield bad("no-price", without_value(sound_candles(), "close", 77), "row 77", "close is missing")
    yield bad(
        "no-volume", without_value(sound_candles(), "volume", 0), "row 0", "volume is missing"
    )
    yield bad(
        "no-value-at-all",
        sound_candles() | {"low": pa.nulls(ROWS, pa.float64())},
        "row 0",
        "low is missing",
    )
    yield bad(
        "not-a-number", with_value("close", 70, np.nan), "row 70", "close is not finite", "nan"
    )
    yield bad("infinite", with_value("high", 3, np.inf), "row 3 ", "high is not finite", "inf")
    yield bad(
        "infinite-volume", with_value("volume", 3, np.inf), "row 3 ", "volume is not finite", "inf"
    )
    yield bad("zero-price", with_value("open", 12, 0.0), "row 12", "open is not positive")
    yield bad(
        "negative-price", with_value("low", 12, -1.5), "row 12", "low is not positive", "-1.5"
    )
    yield bad(
        "negative-volume", with_value("volume", 12, -0.5), "row 12", "volume is negative", "-0.5"
    )
    yield bad(
        "price-of-nothing", with_value("low", 12, 1e-13), "row 12", "low is no plausible price"
    )
    yield bad("price-of-everything", with_value("high", 12, 1e13), "row 12", "no plausible price")
    yield bad("volume-of-everything", with_value("volume", 12, 1e300), "row 12", "not plausible")
    yield bad(
        "high-below-the-body",
        with_value("high", 31, 1_000.0),
        "row 31",
        "high is below the body",
        "1000",
    )
    yield bad(
        "low-above-the-body",
        with_value("low", 31, 200_000.0),
        "row 31",
        "low is above the body",
        "200000",
    )
    yield bad(
        "float32-prices",
        with_column("close", lambda each: each.astype(np.float32)),
        "close",
        "lost digits",
        "float64",
    )
    yield bad(
        "float32-volume",
        with_column("volume", lambda each: each.astype(np.float32)),
        "volume",
        "lost digits",
        "float64",
    )
    yield bad(
        "float16-volume",
        with_column("volume", lambda each: pa.array((each / 9).astype(np.float16))),
        "volume",
        "float64",
    )
    yield bad(
        "decimal-prices",
        with_column(
            "open", lambda each: pa.array(each.tolist(), pa.float64()).cast(pa.decimal128(18, 1))
        ),
        "open",
        "float64",
    )
    yield bad(
        "prices-as-text",
        with_column("open", lambda each: [str(one) for one in each]),
        "open",
        "not numbers",
        "float64",
    )
    yield bad(
        "yes-or-no-volume",
        with_column("volume", lambda each: each > 1),
        "volume",
        "not numbers",
        "float64",
    )
    large = np.full(ROWS, 5, np.int64)
    large[44] = 2**53 + 1
    yield bad(
        "volume-beyond-exact",
        sound_candles() | {"volume": large},
        "row 44",
        "volume",
        "9007199254740993",
        "2^53",
    )


def _bad_files() -> Iterator[Case]:
    def bad(name: str, content: Any, *words: str, **options: Any) -> Case:  # noqa: ANN401
        return Case(name, "candles", content, words, options)

    whole = sound_candles()
    yield bad(
        "no-column",
        {name: whole[name] for name in whole if name != "volume"},
        "column",
        "volume",
        "missing",
    )
    names = [*whole, "close"]
    yield bad(
        "column-twice",
        pa.Table.from_arrays([pa.array(whole[name]) for name in names], names),
        "column",
        "close",
        "2 times",
    )
    inner = pa.StructArray.from_arrays([pa.array(whole["close"])], ["close"])
    yield bad(
        "column-inside-another",
        {name: whole[name] for name in whole if name != "close"} | {"more": inner},
        "column",
        "close",
        "missing",
    )
    yield bad(
        "column-of-lists",
        with_column("close", lambda each: [[one] for one in each]),
        "close",
        "not numbers",
    )
    yield bad("no-rows", sound_candles(rows=0), "no candles")
    yield bad("brotli", whole, "compression", "brotli", "zstd", compression="brotli")
    yield bad(
        "no-parquet",
        b"ts,open,high,low,close,volume\n1735689600000,1,1,1,1,1\n",
        "cannot be read as candles",
    )
    yield bad("nothing-in-it", b"", "cannot be read as candles")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(whole), sink, compression="zstd")
    written = sink.getvalue().to_pybytes()
    yield bad("cut-short", written[: len(written) // 2], "cannot be read as candles")


def _funding() -> Iterator[Case]:
    def good(name: str, content: Any) -> Case:  # noqa: ANN401
        return Case(name, "funding", content)

    def bad(name: str, content: Any, *words: str) -> Case:  # noqa: ANN401
        return Case(name, "funding", content, words)

    whole, ts = sound_funding(), sound_funding()["ts"]
    yield good("funding-plain", whole)
    yield good("funding-every-hour", sound_funding(START_MS + HOUR_MS * np.arange(12)))
    yield good("funding-stamped-late", sound_funding(ts + np.arange(12) % 5))
    yield good("funding-in-utc", with_column("ts", as_instants("us", "UTC"), whole))
    yield good("funding-with-a-hole", sound_funding(np.r_[ts[:5], ts[5:] + 40 * DAY_MS]))
    yield good("funding-of-nothing", sound_funding(ts[:0]))
    yield good(
        "funding-of-zero",
        with_column("funding_rate", lambda each: np.zeros(len(each), np.int64), whole),
    )
    yield bad("funding-in-microseconds", sound_funding(ts * 1_000), "row 0", "ts", "microseconds")
    yield bad("funding-in-seconds", sound_funding(ts // 1_000), "row 0", "ts", "seconds")
    yield bad("funding-of-1970", sound_funding(np.r_[ts[:4], 0, ts[5:]]), "row 4", "ts 0", "1970")
    yield bad(
        "funding-every-minute",
        sound_funding(START_MS + MINUTE_MS * np.arange(12)),
        "row 1 ",
        "ts",
        "1 minutes",
    )
    yield bad("funding-twice", sound_funding(np.r_[ts[:4], ts[3:-1]]), "row 4", "not after")
    yield bad(
        "funding-without-a-rate",
        without_value(whole, "funding_rate", 6),
        "row 6",
        "funding_rate is missing",
    )
    rates = whole["funding_rate"].copy()
    for name, value, said in (
        ("not-a-number", np.nan, "nan"),
        ("in-percent", 1.25, "1.25"),
        ("of-minus-one", -1.0, "-1"),
    ):
        rates = whole["funding_rate"].copy()
        rates[3] = value
        yield bad(
            f"funding-{name}",
            whole | {"funding_rate": rates},
            "row 3",
            "funding_rate is no share",
            said,
        )
    yield bad(
        "funding-in-float32",
        with_column("funding_rate", lambda each: each.astype(np.float32), whole),
        "funding_rate",
        "lost digits",
        "float64",
    )
    yield bad(
        "funding-without-its-column",
        {"ts": ts, "rate": whole["funding_rate"]},
        "column",
        "funding_rate",
        "missing",
    )
    yield bad(
        "funding-without-a-zone",
        with_column("ts", as_instants("ms", None), whole),
        "ts",
        "time zone",
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
