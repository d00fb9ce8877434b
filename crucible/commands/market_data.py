"""Commands about candles and funding on disk: what is there, and whether it is sound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crucible.commands.options import AsJson, open_workspace, print_json

if TYPE_CHECKING:
    from crucible.market.inspection import FileReport

data_app = typer.Typer(no_args_is_help=True, help="Candles and funding on disk: list and check.")

Folder = Annotated[
    Path | None,
    typer.Option("--candles", help="Folder of candles; by default the workspace's lake."),
]


@data_app.command("list")
def list_data(candles: Folder = None, as_json: AsJson = False) -> None:
    """List what candles and funding there are, from when to when."""
    folder, reports = _look(candles)
    if as_json:
        print_json({"folder": str(folder), "files": [report.to_json() for report in reports]})
        return
    _print(f"Candles in {folder}", reports)


@data_app.command("check")
def check_data(candles: Folder = None, as_json: AsJson = False) -> None:
    """Find what is wrong: gaps, duplicates, bad values, wrong columns; exit code 1 if a file cannot be used."""
    from crucible.market.candles import CandleError
    from crucible.market.inspection import describe_gap

    folder, reports = _look(candles)
    if not reports:
        message = f"{folder}: no SYMBOL-1m files; name a folder that has some: --candles FOLDER"
        raise CandleError(message)
    bad = [report for report in reports if report.faults]
    if as_json:
        files = [report.to_json() for report in reports]
        print_json({"folder": str(folder), "sound": not bad, "files": files})
    else:
        _print(f"Candles in {folder}", reports)
        for report in reports:
            for fault in report.faults:
                rows = f" ({fault.rows:,} rows)" if fault.rows > 1 else ""
                print(f"{report.path.name}: {fault.kind}: {fault.text}{rows}")
            if report.largest_gap:
                print(
                    f"{report.path.name}: gaps: {len(report.gaps):,}, {report.missing:,} candles missing; "
                    f"the longest: {describe_gap(report.largest_gap)}"
                )
    if bad:
        names = ", ".join(report.path.name for report in bad)
        print(
            f"crucible: {len(bad)} of {len(reports)} files cannot be used: {names}", file=sys.stderr
        )
        sys.exit(1)


def _look(candles: Path | None) -> tuple[Path, list[FileReport]]:
    from crucible.forge.command import progress_bars
    from crucible.market.inspection import inspect_folder

    lake = None if candles is not None else open_workspace().path / "lake"
    folder = candles or (lake / "candles" if lake else Path())
    if lake is not None and not folder.is_dir():
        return folder, []
    with progress_bars() as bars:
        task = bars.add_task("files", total=None)
        found = inspect_folder(
            folder,
            lambda done, total: bars.update(task, completed=done, total=total),
            lake and lake / "funding",
        )
    return folder, found


def _print(title: str, reports: list[FileReport]) -> None:
    from crucible.operations.sheet import Column, Sheet, open_console
    from crucible.text import moment

    sheet = Sheet(
        title,
        *(Column(name, "name") for name in ("symbol", "from", "to")),
        *(Column(name, "figure") for name in ("candles", "missing", "funding")),
        Column("file", "text"),
    )
    for report in reports:
        times = (report.first_ts, report.last_ts)
        # A time in another unit is no date.
        dated = all(fault.kind != "times" for fault in report.faults)
        sheet.add(
            report.symbol,
            *("-" if ts is None else moment(ts) if dated else str(ts) for ts in times),
            f"{report.rows:,}",
            f"{report.missing:,}",
            f"{report.funding:,}",
            report.path.name,
        )
    open_console().print(sheet)
