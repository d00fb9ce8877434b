"""Draws the kept figures of every benchmark: `make bench-charts`.

Each row is a bar of how far it is from its goal on a logarithmic scale: 1 is the goal, right of it
is better.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks._harness import FOLDER, RESULTS

PICTURES = FOLDER.parent / "docs" / "pictures"


def draw(path: Path, out: Path) -> None:
    """Draw one results file as an SVG; the same figures give the same bytes."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "crucible"
    from matplotlib import pyplot as plt

    kept = json.loads(path.read_text())
    machines = kept["machines"]
    tallest = max(len(one["newest"]) for one in machines)
    figure, axes = plt.subplots(
        len(machines), 1, figsize=(10, 1.2 + 0.42 * tallest * len(machines)), squeeze=False
    )
    for axis, one in zip(axes[:, 0], machines, strict=True):
        rows = [row for _, row in sorted(one["newest"].items()) if row["goal"] is not None][::-1]
        for height, row in enumerate(rows):
            times = progress(row)
            axis.barh(height, times - 1, left=1, color="#2a9d8f" if times >= 1 else "#e76f51")
            text = f" {row['value']:.3g} {unit(row)} (goal {row['goal']:g})"
            axis.text(max(times, 1), height, text, va="center", fontsize=8)
        axis.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
        axis.set_xscale("log")
        axis.axvline(1, color="black", linewidth=1)
        reach = [progress(row) for row in rows] or [1.0]
        axis.set_xlim(min(0.5, min(reach) / 1.5), max(2.0, *reach) * 6)
        facts = one["machine"]
        axis.set_title(f"{kept['bench']}: {facts['cpu']}, {facts['cores']} cores", fontsize=10)
        axis.set_xlabel("times the goal; right of 1 it is reached", fontsize=8)
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Date": None})
    plt.close(figure)


def progress(row: dict[str, Any]) -> float:
    """Return how many times the goal is reached."""
    value, goal = row["value"], row["goal"]
    return float(value / goal if row["better"] == "higher" else goal / max(value, 1e-12))


def unit(row: dict[str, Any]) -> str:
    """Return the unit as a person writes it."""
    return "times" if row["unit"] == "ratio" else str(row["unit"])


def main(names: list[str]) -> int:
    """Draw the named results, or all."""
    paths = [RESULTS / f"{name}.json" for name in names] or sorted(RESULTS.glob("*.json"))
    if not paths:
        print("no figures in benchmarks/results yet; run: make bench", file=sys.stderr)
        return 1
    for path in paths:
        out = PICTURES / f"bench-{path.stem}.svg"
        draw(path, out)
        print(f"drew {out.relative_to(FOLDER.parent)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
