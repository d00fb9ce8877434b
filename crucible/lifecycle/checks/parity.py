"""The parity of the day: every production agent against the backtest of its strategy, once a market day.

`compare_days` is asked at every turn of the Watchtower and compares one day, the oldest that was not yet: days that ended while
no Watchtower ran are made up for. Candles come from the lake and,
where it ends before the day, from the venue; features are computed of them anew, in one process, over no more than
features remember. What fails is told and tried again at the next turn, and delays no judgement.
"""

from __future__ import annotations

from collections.abc import Collection

from crucible.errors import CrucibleError
from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.features.history import features_of
from crucible.features.order_books.microstructure import MICROSTRUCTURE
from crucible.features.pipeline import FeaturePipeline
from crucible.forge.backtest.engine import REGIME, VOLATILITY
from crucible.ledger.ledger import Ledger
from crucible.ledger.parity import ParityDay, Stretch
from crucible.ledger.reader import AgentRow
from crucible.lifecycle.context import Context
from crucible.market.candles import CandleError, Candles
from crucible.market.lake import merge
from crucible.settings import MINUTE_MS, FeatureSettings
from crucible.strategies.contract import Strategy
from crucible.strategies.load import load_strategy
from crucible.text import moment
from crucible.watchtower.conduct import Conduct, Expected
from crucible.watchtower.parity import DAY_MS, compare

MORE_DAYS = 3
"""Candles before those that the longest feature spans: the radar's reference day, alarms that are remembered, and
averages that forget, after which a feature is what it was in the arena to the last digits."""
PATIENCE_MS = 60 * MINUTE_MS
"""Market time after the day's end from which on candles that are still missing are taken not to exist."""


MISSED_DAYS = 7
"""Days before the newest that are made up for at most."""


def compare_days(context: Context, ledger: Ledger) -> list[ParityDay]:
    """Compare whoever traded in the oldest market day that has ended and was not compared yet; give what was booked.

    A day of which nothing can be booked now keeps no later one from being compared.

    Parameters
    ----------
    context : Context
    ledger : Ledger
        Of the run that is on.
    """
    now = ledger.market_ts()
    if now is None:
        return []
    newest = now // DAY_MS * DAY_MS
    for until_ts in range(newest - MISSED_DAYS * DAY_MS, newest + 1, DAY_MS):
        if booked := _compare_day(context, ledger, until_ts, now):
            return booked
    return []


def _compare_day(context: Context, ledger: Ledger, until_ts: int, now: int) -> list[ParityDay]:
    attendance = ledger.attendance(until_ts - DAY_MS, until_ts)
    due = [
        row
        for row in ledger.agents()
        if row.agent in attendance and not ledger.parity(row.agent, until_ts - 1, until_ts)
    ]
    strategies = _strategies(context, due)
    if not strategies:
        return []
    pipeline = context.pipeline()
    booked = []
    comparable: dict[str, Strategy] = {}
    for name, strategy in strategies.items():
        reason = hindrance(strategy, pipeline.schema, context.settings.features)
        if reason:
            booked.append(_book(context, ledger, ParityDay(name, until_ts, reason=reason)))
        else:
            comparable[name] = strategy
    if not comparable:
        return booked
    try:
        wanted = {strategy.symbol for strategy in comparable.values()}
        market = _market(context, pipeline, wanted, until_ts, now)
    except (CrucibleError, OSError) as error:
        context.log.warning("parity is compared at the next turn: %s", error)
        return booked
    # What it did in an earlier seat was judged there.
    since = {row.agent: max(until_ts - DAY_MS, row.since_ts) for row in due}
    for name, strategy in comparable.items():
        try:
            expected = expected_of(strategy, *market[strategy.symbol], _slippage(context))
            day = _day_of(ledger, name, expected, attendance[name], since[name], until_ts)
            booked.append(_book(context, ledger, day))
        except Exception as error:  # noqa: BLE001 - whatever fails for one, the others are compared
            _failed(context, name, error)
    return booked


def hindrance(strategy: Strategy, schema: FeatureSchema, settings: FeatureSettings) -> str:
    """Say why nobody can compute what a strategy saw; empty where its features can be computed anew."""
    if strategy.schema_hash != schema.hash:
        return f"made with feature schema {strategy.schema_hash}, served is {schema.hash}"
    of_books = sorted(set(MICROSTRUCTURE) & set(strategy.features))
    if settings.books and of_books:
        return f"reads {', '.join(of_books)}, which were served of live order books"
    return ""


def expected_of(
    strategy: Strategy, candles: Candles, frame: FeatureFrame, slippage: float
) -> Expected:
    """Give what the backtest of a strategy says over candles and their features.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
    frame : FeatureFrame
        Of the same candles.
    slippage : float
        As the backtest models it.
    """
    return Expected(
        candles,
        strategy.signals(frame),
        frame.column(REGIME) == 1.0,
        frame.column(VOLATILITY),
        strategy.exits,
        slippage,
    )


def _slippage(context: Context) -> float:
    return context.settings.forge.costs.slippage


def _strategies(context: Context, due: Collection[AgentRow]) -> dict[str, Strategy]:
    """Load what the agents trade by, from the registry; whoever has no file that can be read is left out."""
    found = {}
    for row in due:
        try:
            version = context.registry.version(row.slot, row.version)
            found[row.agent] = load_strategy(context.registry.strategy(version))
        except Exception as error:  # noqa: BLE001 - whatever fails for one, the others are compared
            _failed(context, row.agent, error)
    return found


def _market(
    context: Context,
    pipeline: FeaturePipeline,
    wanted: Collection[str],
    until_ts: int,
    now: int,
) -> dict[str, tuple[Candles, FeatureFrame]]:
    """Give candles and features of some symbols up to the day's end, and as far before it as features remember."""
    longest = max(pipeline.warmup * MINUTE_MS, pipeline.settings.influence_window_days * DAY_MS)
    from_ts = until_ts - longest - (1 + MORE_DAYS) * DAY_MS
    candles = {symbol: _candles(context, symbol, from_ts, until_ts) for symbol in pipeline.symbols}
    for symbol, own in candles.items():
        newest = int(own.close_ts[-1]) if len(own) else from_ts
        if newest < until_ts and now < until_ts + PATIENCE_MS:
            message = (
                f"{symbol}: candles are known up to {moment(newest)}, not to the day's end "
                f"({moment(until_ts)})"
            )
            raise CandleError(message)
    frames = features_of(pipeline, candles, symbols=wanted, count=1)
    return {symbol: (candles[symbol], frame) for symbol, frame in frames.items()}


def _candles(context: Context, symbol: str, from_ts: int, until_ts: int) -> Candles:
    """Read candles from the lake, and ask the venue for those that closed after its end; the lake stays as it is."""
    held = (context.lake.read(symbol) or Candles.none_of(symbol)).between(from_ts, until_ts)
    newest = int(held.close_ts[-1]) if len(held) else from_ts
    return merge([held, *context.exchange.pages(symbol, newest, until_ts)])


def _day_of(
    ledger: Ledger,
    agent: str,
    expected: Expected,
    attendance: list[Stretch],
    from_ts: int,
    until_ts: int,
) -> ParityDay:
    # The minute after the day shows whether what its last one reached was still held.
    later = ledger.attendance(until_ts, until_ts + MINUTE_MS).get(agent, [])
    conduct = Conduct(
        ledger.decisions(agent),
        [fill for fill in ledger.fills(agent) if fill.mode == "live"],
        [*attendance, *later],
    )
    return compare(agent, conduct, expected, from_ts, until_ts)


def _book(context: Context, ledger: Ledger, day: ParityDay) -> ParityDay:
    ledger.book_parity(day)
    if day.reason:
        context.log.info("%s: not compared with its backtest: %s", day.agent, day.reason)
    else:
        context.log.info(
            "%s: %d of %d decisions and %d of %d fills are its backtest's; excused: %s",
            day.agent,
            day.equal,
            day.compared,
            day.fills_within,
            day.fills,
            day.excused or "nothing",
        )
    for text in day.disagreements:
        context.log.warning("%s: %s", day.agent, text)
    return day


def _failed(context: Context, agent: str, error: Exception) -> None:
    context.log.error(
        "%s is compared with its backtest at the next turn: %s: %s",
        agent,
        type(error).__name__,
        error,
    )
