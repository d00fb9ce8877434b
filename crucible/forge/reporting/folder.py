"""Write a forge run's outcome to a folder: the strategy or the refusal, the table, the report."""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from crucible.files import make_folder, replacing
from crucible.forge.backtest.statistics import drawdown_curve
from crucible.forge.evolution.curves import TRAIN, VALIDATION
from crucible.forge.reporting.charts import Line, chart, equity_picture, window_marks
from crucible.forge.reporting.description import strategy_in_words
from crucible.forge.reporting.tree import program_tree
from crucible.forge.result import ForgeResult, verdict
from crucible.strategies.gp import GpStrategy
from crucible.text import moment

CHAMPION = "champion.json"
REFUSAL = "refusal.json"
CANDIDATE = "candidate.json"
GENERATIONS = "generations.parquet"
REPORT = "report.html"
PICTURE = "equity.png"


def write_folder(result: ForgeResult, folder: Path, *, picture: bool = False) -> None:
    """Write exactly one of champion.json and refusal.json, the generations and the report.

    Beside a refusal stands candidate.json, where somebody was judged: the strategy that is no champion, to be looked at
    and traded in a backtest. The same result gives the same bytes; a file of the other outcome, left by an earlier forge run, is
    removed. All files are written before the first takes its name: a disk that fills up leaves those of
    an earlier forge run as they were, and no half of these.

    Parameters
    ----------
    result : ForgeResult
    folder : Path
        Created if missing.
    picture : bool
        Write equity.png as well.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ending = result.champion if result.champion is not None else result.refusal
    assert ending is not None
    names = (CHAMPION, REFUSAL) if result.champion is not None else (REFUSAL, CHAMPION)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(result.generations, schema=_columns(result)), sink)
    # Renamed from the last to the first: the verdict comes when everything that it stands on is there.
    contents: dict[str, bytes] = {
        names[0]: _json({**ending.to_json(), "lineage": result.lineage()}),
        REPORT: html_report(result).encode(),
        GENERATIONS: sink.getvalue().to_pybytes(),
    }
    if picture:
        contents[PICTURE] = equity_picture(result)
    stale = {names[1], CANDIDATE}
    if result.champion is None and result.candidate is not None:
        contents[CANDIDATE] = _json({**result.candidate.to_json(), "lineage": result.lineage()})
        stale.remove(CANDIDATE)
    make_folder(folder)
    for name in stale:
        (folder / name).unlink(missing_ok=True)
    with ExitStack() as parts:
        for name, data in contents.items():
            parts.enter_context(replacing(folder / name)).write_bytes(data)


def html_report(result: ForgeResult) -> str:
    """Return the report as one self-contained page."""
    import jinja2
    from markupsafe import Markup

    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.ChainableUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(
        resources.files("crucible.forge.reporting").joinpath(REPORT).read_text(encoding="utf-8")
    )
    equity, fall = _equity_charts(result)
    candidate = result.candidate
    tree = program_tree(candidate.program) if isinstance(candidate, GpStrategy) else ""
    return template.render(
        result=result,
        verdict=verdict(result),
        words="" if candidate is None else strategy_in_words(candidate),
        tree=Markup(tree),  # noqa: S704
        equity=Markup(equity),  # noqa: S704 - our own SVG, its texts escaped
        fall=Markup(fall),  # noqa: S704
        generations=Markup(_generation_chart(result)),  # noqa: S704
        shown_generations=every_tenth(result.generations),
        columns=list(result.generations[0]) if result.generations else [],
        number=_number,
        percent=_percent,
        moment=moment,
    )


def every_tenth(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give every tenth generation and the last one.

    Examples
    --------
    >>> [row["generation"] for row in every_tenth([{"generation": n} for n in range(23)])]
    [0, 10, 20, 22]
    """
    return [row for place, row in enumerate(rows) if place % 10 == 0 or place == len(rows) - 1]


def _equity_charts(result: ForgeResult) -> tuple[str, str]:
    curve = result.curve
    if curve is None:
        return "", ""
    x = curve.ts.astype(np.float64)
    ends = (moment(int(curve.ts[0])), moment(int(curve.ts[-1])))
    marks = window_marks(result, curve)
    lines = {"strategy": curve.equity, "buy and hold": curve.hold}
    upper = chart([Line(name, x, y) for name, y in lines.items()], "{:.3f}", ends, marks)
    falls = [Line(name, x, drawdown_curve(y, 1.0)) for name, y in lines.items()]
    return upper, chart(falls, "{:.1%}", ends, marks)


def _generation_chart(result: ForgeResult) -> str:
    return "".join(
        _curves_of(result.generations, lines)
        for lines in (
            {"best score": "best_score", "median score": "median_score"},
            {"finalists in training": TRAIN, "the same in validation": VALIDATION},
        )
    )


def _curves_of(rows: list[dict[str, Any]], names: dict[str, str]) -> str:
    """Draw columns of the table, each under the name it is told by."""
    x = np.array([row["generation"] for row in rows], dtype=np.float64)
    lines = [
        Line(name, x, np.array([row.get(key) for row in rows], dtype=np.float64))
        for name, key in names.items()
    ]
    last = f"generation {int(x[-1])}" if len(x) else ""
    return chart(lines, "{:.2f}", ("generation 0", last))


def _columns(result: ForgeResult) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Give every column one type, also where a generation has no value for it."""
    import pyarrow as pa

    whole = {"generation", "trials", "population", "judged", "front"}
    names = list(result.generations[0]) if result.generations else []
    return pa.schema([(name, pa.int64() if name in whole else pa.float64()) for name in names])


def _json(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return f"{text}\n".encode()


def _number(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float) or not math.isfinite(value):
        return "-"
    return f"{value:.4g}"


def _percent(value: object) -> str:
    return f"{value:.2%}" if isinstance(value, (int, float)) and math.isfinite(value) else "-"
