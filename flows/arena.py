"""Arena: the long-lived process that trades. Prefect starts it and watches it, no more.

One flow, a plain loop, no task per candle: orders never wait for Prefect or MLflow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from prefect import flow, get_run_logger
from prefect.events import emit_event
from prefect.exceptions import TerminationSignal

from crucible.arena.engine import Arena
from crucible.arena.registry_watcher import RegistryWatcher, Requirements
from crucible.arena.status_file import ArenaFiles
from crucible.execution.cerebellum_link import Addresses, CerebellumLink
from crucible.interruption import interruptible
from crucible.lifecycle.context import Context, load_context
from crucible.market.candles import Candles

ALIVE_SECONDS = 60.0


@flow(name="arena", flow_run_name="arena", log_prints=False)
def arena() -> int:
    """Trade until cancelled.

    Returns
    -------
    int
        Market minutes that were traded.
    """
    context = load_context(get_run_logger())
    with context.run.only_arena():
        return trade(context)


def trade(context: Context) -> int:
    """Build the arena and run it until it is told to stop; give the minutes it traded."""
    logger = get_run_logger()
    pipeline = context.pipeline()
    topics = tuple(f"{symbol}.{kind}" for symbol in pipeline.symbols for kind in ("candle", "book"))
    requirements = Requirements(pipeline.schema, pipeline.symbols, context.rules)
    roster = RegistryWatcher(
        context.registry,
        context.settings.slots,
        requirements,
        context.settings.arena.registry_poll_seconds,
    )
    files = ArenaFiles(
        ledger=context.run.ledger,
        performance_log=context.run.performance_log,
        status=context.run.arena,
        lake=context.lake_folder,
    )
    instruments = {symbol: context.exchange.instrument(symbol) for symbol in pipeline.symbols}
    addresses = Addresses.read(context.workspace.services_file)
    with CerebellumLink(addresses, topics) as link:
        engine = Arena(
            context.settings,
            link,
            pipeline,
            instruments,
            roster,
            files,
            context.settings.market.seed,
        )
        try:
            with interruptible():
                history = context.lake.read_all(pipeline.symbols)
                for line in pipeline.unwarmed(history):
                    logger.warning(line)
                engine.warm(history, backfill(context))
                roster.start()
                logger.info("trading %s from %d", ", ".join(pipeline.symbols), engine.market_ts)
                engine.run(should_stop=alive(engine))
        except TerminationSignal:
            logger.info("told to stop at %d", engine.market_ts)
        finally:
            roster.stop()
            engine.close()
    return engine.minutes


def backfill(context: Context) -> Callable[[str, int, int], list[Candles]]:
    """Fetch closed candles that the lake does not hold yet."""

    def fetch(symbol: str, start_ms: int, end_ms: int) -> list[Candles]:
        return list(context.exchange.pages(symbol, start_ms, end_ms))

    return fetch


def alive(engine: Arena) -> Callable[[], bool]:
    """Never ask to stop; tell Prefect now and then, from a thread, how far the loop has come."""
    reported = {"at": 0.0}

    def publish() -> None:
        emit_event(
            event="crucible.arena.alive",
            resource={"prefect.resource.id": "crucible.arena"},
            payload={"market_ts": engine.market_ts, "minutes": engine.minutes},
        )

    def should_stop() -> bool:
        if time.monotonic() - reported["at"] >= ALIVE_SECONDS:
            reported["at"] = time.monotonic()
            threading.Thread(target=publish, daemon=True).start()
        return False

    return should_stop
