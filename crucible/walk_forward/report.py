"""What a walk-forward leaves: tables in Parquet, a summary in JSON, and one page that needs no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crucible.files import replacing
from crucible.forge.backtest.statistics import drawdown_curve
from crucible.forge.reporting.charts import COLOURS, Line, chart
from crucible.text import moment
from crucible.walk_forward.figures import Path as Profit
from crucible.walk_forward.figures import by_month
from crucible.walk_forward.slot_walk import Outcome

SUMMARY, REPORT = "summary.json", "report.html"
TABLES = ("lives", "trades", "verdicts")
NAMES = {"lives": "agents.parquet", "trades": "trades.parquet", "verdicts": "verdicts.parquet"}
WIDTH, BAR, GAP, LEFT = 860, 10, 4, 150


def write_outcome(
    folder: Path, summary: Mapping[str, Any], outcomes: Sequence[Outcome], paths: Sequence[Profit]
) -> None:
    """Write every file of a walk-forward, each whole or not at all; the summary comes last.

    Parameters
    ----------
    folder : Path
        It is there.
    summary : mapping
    outcomes : sequence of Outcome
    paths : sequence of Path
        The factory's first.
    """
    equity = pd.DataFrame({"ts": paths[0].ts, **{path.name: path.profit for path in paths}})
    with ExitStack() as parts:
        text = json.dumps(summary, indent=1, allow_nan=False, ensure_ascii=False)
        parts.enter_context(replacing(folder / SUMMARY)).write_text(f"{text}\n", encoding="utf-8")
        page = html_report(summary, outcomes, paths)
        parts.enter_context(replacing(folder / REPORT)).write_text(page, encoding="utf-8")
        for table in TABLES:
            rows = [row for outcome in outcomes for row in getattr(outcome, table)]
            pd.DataFrame(rows).to_parquet(parts.enter_context(replacing(folder / NAMES[table])))
        equity.to_parquet(parts.enter_context(replacing(folder / "equity.parquet")))


def html_report(
    summary: Mapping[str, Any], outcomes: Sequence[Outcome], paths: Sequence[Profit]
) -> str:
    """Return the report as one self-contained page."""
    import jinja2
    from markupsafe import Markup

    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    ).from_string(
        resources.files("crucible.walk_forward").joinpath(REPORT).read_text(encoding="utf-8")
    )
    own = [outcome for outcome in outcomes if outcome.rule == paths[0].name]
    x = paths[0].ts.astype(np.float64)
    ends = (moment(summary["from_ts"]), moment(summary["to_ts"]))
    equity = chart([Line(path.name, x, path.profit) for path in paths], "{:+.1%}", ends)
    falls = chart(
        [Line(path.name, x, drawdown_curve(1.0 + path.profit, 1.0)) for path in paths],
        "{:.1%}",
        ends,
    )
    return template.render(
        summary=summary,
        first=ends[0],
        last=ends[1],
        equity=Markup(equity),  # noqa: S704 - our own SVG, its texts escaped
        falls=Markup(falls),  # noqa: S704
        lifelines=Markup(lifelines(own, summary)),  # noqa: S704
        months=by_month(paths[0]),
        verdicts=[row for outcome in own for row in outcome.verdicts],
        reasons=reasons_of(own),
        percent=percent,
        number=number,
        moment=moment,
    )


def lifelines(outcomes: Sequence[Outcome], summary: Mapping[str, Any]) -> str:
    """Draw each agent as a bar from its seat to its end: production filled, challengers outlined."""
    lives = [life for outcome in outcomes for life in outcome.lives]
    if not lives:
        return "<p>Nobody was ever seated.</p>"
    first: int = summary["from_ts"]
    span: int = max(1, summary["to_ts"] - first)
    height = len(lives) * (BAR + GAP) + GAP

    def across(ts: int) -> float:
        return LEFT + (ts - first) / span * (WIDTH - LEFT - GAP)

    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img">']
    for place, life in enumerate(lives):
        y = GAP + place * (BAR + GAP)
        left, right = across(life["since_ts"]), across(life["until_ts"])
        earned = float(life["profit"]) > 0
        colour = COLOURS[0] if earned else COLOURS[2]
        fill = colour if life["role"] == "production" else "none"
        story = (
            f"{life['agent']}, {life['role']}: {moment(life['since_ts'])} to {moment(life['until_ts'])}, "
            f"{life['trades']} trades, {float(life['profit']):+.2f}; {life['end']}"
        )
        parts.append(
            f'<text x="0" y="{y + BAR - 1}">{escape(life["agent"])}</text>'
            f'<rect x="{left:.1f}" y="{y}" width="{max(1.0, right - left):.1f}" height="{BAR}" '
            f'fill="{fill}" stroke="{colour}"><title>{escape(story)}</title></rect>'
        )
    parts.append("</svg>")
    return "".join(parts)


def reasons_of(outcomes: Sequence[Outcome]) -> list[tuple[str, int, float]]:
    """Count production's trades by what ended them, with their mean net return."""
    trades = pd.DataFrame(
        [trade for outcome in outcomes for trade in outcome.trades if trade["role"] == "production"]
    )
    if trades.empty:
        return []
    found = trades.groupby("reason")["net_return"].agg(["size", "mean"])
    return [(str(name), int(row["size"]), float(row["mean"])) for name, row in found.iterrows()]


def percent(value: float | None, error: float | None = None) -> str:
    """Tell a share, with its error where there is one.

    Examples
    --------
    >>> percent(0.0123, 0.002), percent(None)
    ('+1.23% ± 0.20%', '-')
    """
    if value is None:
        return "-"
    return f"{value:+.2%}" + ("" if error is None else f" ± {error:.2%}")


def number(value: float | None, error: float | None = None) -> str:
    """Tell a number, with its error where there is one.

    Examples
    --------
    >>> number(1.234, 0.5), number(12), number(None)
    ('1.23 ± 0.50', '12', '-')
    """
    if value is None:
        return "-"
    shown = f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
    return shown + ("" if error is None else f" ± {error:.2f}")
