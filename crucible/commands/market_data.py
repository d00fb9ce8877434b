"""Commands about candles and funding on disk: what is there, and whether it is sound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crucible.commands.options import AsJson, open_workspace, print_json

if TYPE_CHECKING:
    from crucible.market.download import Downloaded
    from crucible.market.inspection import FileReport
    from crucible.market.other_exchange import OtherExchange

GAPS_SHOWN = 10

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
        message = f"{folder}: no SYMBOL-1m files; crucible download brings them from an exchange"
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


def download(
    exchange: Annotated[str, typer.Argument(help="As ccxt calls it, for example binance.")],
    symbols: Annotated[
        str, typer.Option(help="BTCUSDT, BTC/USDT or BTC/USDT:USDT; separated by commas.")
    ],
    start: Annotated[
        str, typer.Option("--from", help="First candle, UTC, for example 2024-01-01.")
    ],
    end: Annotated[
        str | None, typer.Option("--to", help="End, UTC; by default the newest closed candle.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder; by default the workspace's downloads/EXCHANGE-MARKET, with the address where --url gives one."
        ),
    ] = None,
    market: Annotated[
        str | None,
        typer.Option(help="swap (linear perpetuals) or spot; by default swap where there is one."),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Base address of a venue of your own that speaks the same.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring one-minute candles and funding of an exchange into Parquet; the same again goes on where it ended."""
    from crucible.market.other_exchange import OtherExchange
    from crucible.operations.sheet import open_console
    from crucible.walk_forward.plan import instant_of

    if market not in {None, "swap", "spot"}:
        message = f"--market {market!r} is neither swap nor spot"
        raise typer.BadParameter(message)
    wanted = [name.strip() for name in symbols.split(",") if name.strip()]
    if not wanted:
        message = "--symbols names nothing; write for example --symbols BTCUSDT,ETHUSDT"
        raise typer.BadParameter(message)
    first = instant_of("--from", start)
    last = None if end is None else instant_of("--to", end)
    if last is not None and last <= first:
        message = f"--to {end} is not after --from {start}"
        raise typer.BadParameter(message)
    source = OtherExchange(exchange, market, url)  # type: ignore[arg-type]
    try:
        folder, found = _download(source, wanted, out, (first, last))
    except KeyboardInterrupt:
        print("crucible: interrupted; the same again goes on from there", file=sys.stderr)
        sys.exit(130)
    if as_json:
        files = [each.to_json() for each in found]
        print_json({"exchange": exchange, "folder": str(folder), "symbols": files})
        return
    from crucible.market.inspection import describe_gap
    from crucible.operations.sheet import Column, Sheet
    from crucible.text import moment

    sheet = Sheet(
        f"{exchange}: {folder}",
        *(Column(name, "name") for name in ("symbol", "from", "to")),
        *(Column(name, "figure") for name in ("added", "candles", "missing", "funding")),
    )
    for each in found:
        missing = sum(count for _, count in each.gaps)
        figures = (each.added, each.total, missing, each.settlements)
        times = (moment(each.first_ts), moment(each.last_ts))
        sheet.add(each.symbol, *times, *(f"{figure:,}" for figure in figures))
    open_console().print(sheet)
    for each in found:
        for gap in sorted(each.gaps, key=lambda gap: -gap[1])[:GAPS_SHOWN]:
            print(f"{each.symbol}: missing: {describe_gap(gap)}")
        if len(each.gaps) > GAPS_SHOWN:
            print(f"{each.symbol}: {len(each.gaps) - GAPS_SHOWN:,} shorter gaps more")
        if each.first_ts > first:
            print(f"{each.symbol}: the exchange's first candle is of {moment(each.first_ts)} UTC")
        if not each.settlements:
            print(f"{each.symbol}: no rates of funding are known: none is charged")


def _download(
    source: OtherExchange,
    symbols: list[str],
    out: Path | None,
    span: tuple[int, int | None],
) -> tuple[Path, list[Downloaded]]:
    from crucible.forge.command import progress_bars
    from crucible.market.download import claim_folder, folder_name, source_of
    from crucible.market.download import download as bring

    # Every name is looked up before anything is fetched.
    ends = {symbol: source.closed_until(symbol) for symbol in symbols}
    kinds = {"swap" if source.market(symbol).get("swap") else "spot" for symbol in symbols}
    if len(kinds) > 1:
        message = "--symbols names perpetuals and spot markets; choose one with --market"
        raise typer.BadParameter(message)
    kind = kinds.pop()
    origin = source_of(source.name, kind, source.address)
    folder = out or open_workspace().path / "downloads" / folder_name(origin)
    claim_folder(folder, origin)
    found = []
    with progress_bars() as bars:
        for symbol in symbols:
            task = bars.add_task(f"{symbol}, minutes", total=None)
            end = min(span[1] or ends[symbol], ends[symbol])
            found.append(
                bring(
                    source,
                    symbol,
                    folder,
                    span[0],
                    end,
                    lambda done, total, task=task: bars.update(task, completed=done, total=total),  # type: ignore[misc]
                )
            )
    return folder, found


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
