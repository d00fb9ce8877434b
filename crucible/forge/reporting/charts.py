"""Pictures of a forge run: line charts as inline SVG for the report, one PNG for MLflow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from crucible.forge.backtest.statistics import drawdown_curve
from crucible.forge.result import Curve, ForgeResult, verdict
from crucible.market.candles import Floats

WIDTH, HEIGHT = 860, 240
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 26
MOST_POINTS = 700
COLOURS = ("#0b6e4f", "#8a8f98", "#c8553d", "#3d5a80")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart; NaN breaks it."""

    name: str
    x: Floats
    y: Floats


def chart(
    lines: Sequence[Line],
    y_format: str = "{:.3f}",
    x_labels: tuple[str, str] = ("", ""),
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """Draw a line chart as an SVG element.

    Parameters
    ----------
    lines : sequence of Line
    y_format : str
        How the values on the left axis are written.
    x_labels : tuple of str
        What the left and right ends of the bottom axis say.
    marks : sequence of (x, name)
        Vertical lines with a name to their right.
    """
    present = [line for line in lines if np.isfinite(line.y).any()]
    if not present:
        return "<p>Nothing to draw.</p>"
    low = min(float(np.nanmin(line.y)) for line in present)
    high = max(float(np.nanmax(line.y)) for line in present)
    if low == high:
        low, high = low - 0.5, high + 0.5
    first = min(float(line.x[0]) for line in present)
    last = max(float(line.x[-1]) for line in present)

    def across(x: float) -> float:
        return LEFT + (x - first) / ((last - first) or 1) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + share * (high - low)
        y = down(value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{y_format.format(value)}</text>'
        )
    for x, name in marks:
        parts.append(
            f'<line class="mark" x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{TOP}" '
            f'y2="{HEIGHT - BOTTOM}"/>'
            f'<text x="{across(x) + 4:.1f}" y="{TOP + 10}">{escape(name)}</text>'
        )
    base = HEIGHT - 8
    parts.append(f'<text x="{LEFT}" y="{base}">{escape(x_labels[0])}</text>')
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{base}" text-anchor="end">{escape(x_labels[1])}</text>'
    )
    for number, line in enumerate(present):
        colour = COLOURS[number % len(COLOURS)]
        for piece in _pieces(line):
            points = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in piece)
            parts.append(f'<polyline points="{points}" stroke="{colour}"/>')
        parts.append(
            f'<text class="name" x="{WIDTH / 2 + 130 * number - 120:.0f}" y="{base}" '
            f'style="fill: {colour}">{escape(line.name)}</text>'
        )
    parts.append("</svg>")
    return "".join(parts)


def equity_picture(result: ForgeResult) -> bytes:
    """Equity and drawdown beside buy-and-hold as a PNG; the same bytes for the same result."""
    # Imported here: only MLflow wants a PNG, and matplotlib takes a second to load.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    upper.set_title(f"{result.slot.name}: {verdict(result).partition(':')[0]}")
    if result.curve is not None:
        days = (result.curve.ts - result.curve.ts[0]) / 86_400_000
        for values, name, colour in (
            (result.curve.equity, "strategy", COLOURS[0]),
            (result.curve.hold, "buy and hold", COLOURS[1]),
        ):
            upper.plot(days, values, label=name, color=colour, linewidth=1)
            lower.plot(days, drawdown_curve(values, 1.0), color=colour, linewidth=1)
        for ts, name in window_marks(result, result.curve):
            x = (ts - result.curve.ts[0]) / 86_400_000
            upper.axvline(x, color="#999999", linewidth=0.8, linestyle=":")
            upper.annotate(
                f" {name}", (x, 0.98), xycoords=("data", "axes fraction"), va="top", fontsize=8
            )
        upper.legend(loc="lower left")
    upper.set_ylabel("equity, start = 1")
    lower.set_ylabel("drawdown")
    lower.set_xlabel("days")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def window_marks(result: ForgeResult, curve: Curve) -> list[tuple[float, str]]:
    """Return where each window begins, and its name."""
    return [
        (float(max(window.first_ts, int(curve.ts[0]))), window.name) for window in result.windows
    ]


def _pieces(line: Line) -> list[list[tuple[float, float]]]:
    """Split a line at NaN and thin it to what a screen shows."""
    step = max(1, len(line.x) // MOST_POINTS)
    rows = np.unique(np.r_[np.arange(0, len(line.x), step), len(line.x) - 1])
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(line.x[rows].tolist(), line.y[rows].tolist(), strict=True):
        if np.isfinite(y):
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]
