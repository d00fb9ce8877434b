"""Ingest: candles and funding from the exchange, through ccxt, into the data lake."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import (
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE

from crucible.lifecycle.context import Context, load_context
from crucible.market.lake import Ingestion
from crucible.market.timeframes import history_days

HISTORY_MS = 86_400_000
INFLUENCE_FRACTION = 0.4
"""Share of the history that the influence model learns from."""


@flow(name="ingest", flow_run_name="ingest candles", retries=1, retry_delay_seconds=5)
def ingest(symbols: list[str] | None = None) -> dict[str, int]:
    """Bring the lake up to the newest closed candle, and train what features need once.

    Parameters
    ----------
    symbols : list of str, optional
        Default: every tracked symbol.

    Returns
    -------
    dict of str to int
        Candles added per symbol.
    """
    context = load_context(get_run_logger())
    wanted = symbols or list(context.symbols)
    results = [refresh.with_options(task_run_name=f"candles {name}")(name) for name in wanted]
    create_table_artifact(
        key="lake",
        table=[
            {
                "symbol": result.symbol,
                "candles": result.total,
                "added": result.added,
                "first": result.first_ts,
                "last": result.last_ts,
                "missing": sum(count for _, count in result.gaps),
            }
            for result in results
        ],
        description="Candles in the data lake; times are open times in epoch milliseconds.",
    )
    if symbols is None and not context.influence_file.exists():
        train()
    return {result.symbol: result.added for result in results}


@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=3)
def refresh(symbol: str) -> Ingestion:
    """Fetch what is missing of one symbol; gaps that stay are logged, never filled."""
    context = load_context(get_run_logger())
    logger = get_run_logger()
    progress = cast(
        "UUID",
        create_progress_artifact(
            progress=0.0, key=f"ingest-{symbol.lower()}", description=f"Candles of {symbol}"
        ),
    )
    end_ms = context.exchange.closed_until(symbol)
    start_ms = _start(context, end_ms)

    def report(done: int, expected: int) -> None:
        if done % 10_000 < 1_000 or done >= expected:
            update_progress_artifact(progress, min(100.0, 100.0 * done / max(1, expected)))

    result = context.lake.refresh(context.exchange, symbol, start_ms, end_ms, report)
    settled = context.lake.refresh_funding(context.exchange, symbol, result.first_ts, end_ms)
    update_progress_artifact(progress, 100.0)
    logger.info("%s: %d candles added, %d in all", symbol, result.added, result.total)
    if len(settled):
        logger.info("%s: %d funding settlements known", symbol, len(settled))
    else:
        logger.warning("%s: the venue tells no rates of funding: none is charged", symbol)
    for first, count in result.gaps:
        logger.warning("%s: %d candles missing from %d", symbol, count, first)
    return result


def _start(context: Context, end_ms: int) -> int:
    if context.real_money:
        return end_ms - history_days(context.settings) * HISTORY_MS
    return context.origin_ms


@task(cache_policy=NO_CACHE, task_run_name="train the influence model")
def train() -> str:
    """Train the influence model and freeze it: its arrays are part of the schema.

    It learns from the oldest part of the lake only. Where it learned, its features have no value,
    so that a forge run never sees what the model was fitted to.
    """
    from crucible.features.influence.training import train_influence

    context = load_context(get_run_logger())
    held = context.lake.read_all(context.symbols)
    first = max(int(candles.ts[0]) for candles in held.values())
    last = min(int(candles.close_ts[-1]) for candles in held.values())
    until = first + int((last - first) * INFLUENCE_FRACTION)
    candles = {symbol: own.between(first, until) for symbol, own in held.items()}
    arrays = train_influence(candles, context.settings.features, context.settings.market.seed)
    context.influence_file.parent.mkdir(parents=True, exist_ok=True)
    arrays.save(context.influence_file)
    return arrays.hash
