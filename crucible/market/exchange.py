"""The exchange's public history through ccxt: candles, funding and instruments.

The same code reads Bybit and the paper venue; only the base address differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import ccxt
import numpy as np

from crucible.errors import CrucibleError
from crucible.market import funding
from crucible.market.candles import Candles, check
from crucible.market.funding import Funding
from crucible.market.instruments import Instrument
from crucible.market.plausible import implausible_year
from crucible.retries import attempts
from crucible.settings import MINUTE_MS

PAGE = 1_000
# A venue settles once an hour at most, and tells 200 settlements at once.
FUNDING_PAGE_MS = 200 * 60 * MINUTE_MS
PAUSES_S = (0.4, 0.8, 1.6, 3.2)


class ExchangeError(CrucibleError, RuntimeError):
    """The exchange cannot be reached or answered nonsense; the message says what was asked."""


class Exchange:
    """Public market data of one Bybit v5 venue.

    Parameters
    ----------
    base_url : str or None
        For example ``http://127.0.0.1:8300`` (the paper venue); None is Bybit itself.
    """

    def __init__(self, base_url: str | None = None) -> None:
        config: dict[str, Any] = {
            "options": {"defaultType": "swap", "fetchMarkets": {"types": ["linear"]}},
            "timeout": 20_000,
        }
        if base_url is not None:
            config["urls"] = {"api": {"public": base_url, "private": base_url}}
            config["enableRateLimit"] = False
        self._base_url = base_url or "Bybit"
        self._ccxt = ccxt.bybit(config)
        self._ccxt.has["fetchCurrencies"] = False

    def _ask(self, what: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401
        return ask(self._base_url, what, call, "is the venue running?")

    def _market(self, symbol: str) -> str:
        self._ask("load markets", self._ccxt.load_markets)
        markets = self._ccxt.markets_by_id.get(symbol, [])
        if not markets:
            known = ", ".join(sorted(self._ccxt.markets_by_id)[:8])
            message = f"{self._base_url}: no linear symbol {symbol!r}; it has {known}"
            raise ExchangeError(message)
        return str(markets[0]["symbol"])

    def instrument(self, symbol: str) -> Instrument:
        """Read a symbol's price tick, size step and minimum order."""
        name = self._market(symbol)
        info = self._ccxt.market(name)["info"]
        lots, prices = info["lotSizeFilter"], info["priceFilter"]
        return Instrument(
            symbol=symbol,
            tick_size=Decimal(prices["tickSize"]),
            qty_step=Decimal(lots["qtyStep"]),
            min_qty=Decimal(lots["minOrderQty"]),
            min_notional=Decimal(lots.get("minNotionalValue") or "0"),
        )

    def closed_until(self, symbol: str) -> int:
        """Give the exclusive end of what has closed: the open time of the candle in the making."""
        name = self._market(symbol)
        rows = self._ask(
            f"newest candle of {symbol}", partial(self._ccxt.fetch_ohlcv, name, "1m", None, 2)
        )
        return newest_open(self._base_url, symbol, rows)

    def pages(self, symbol: str, start_ms: int, end_ms: int) -> Iterator[Candles]:
        """Fetch closed one-minute candles of ``[start_ms, end_ms)``, page by page, oldest first.

        Raises
        ------
        ExchangeError
            If the venue cannot be reached.
        CandleError
            If a row it sent is not a sound candle.
        """
        name = self._market(symbol)
        cursor = start_ms
        while cursor < end_ms:
            until = min(end_ms, cursor + PAGE * MINUTE_MS)
            fetch = partial(self._ccxt.fetch_ohlcv, name, "1m", cursor, PAGE, {"until": until - 1})
            rows = self._ask(f"candles of {symbol} from {cursor}", fetch)
            inside = [row for row in rows if cursor <= row[0] < until]
            if inside:
                columns = np.array(inside, dtype=np.float64)
                prices = np.ascontiguousarray(columns[:, 1:6].T)
                candles = Candles(symbol, columns[:, 0].astype(np.int64), *prices)
                yield check(candles, f"{self._base_url} {symbol}")
            cursor = until

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> Funding:
        """Fetch the funding settled in ``[start_ms, end_ms)``; empty where the venue tells of none.

        Raises
        ------
        ExchangeError
            If the venue cannot be reached.
        FundingError
            If a row it sent is not a sound settlement.
        """
        name = self._market(symbol)
        rows: dict[int, float] = {}
        for cursor in range(start_ms, end_ms, FUNDING_PAGE_MS):
            until = min(end_ms, cursor + FUNDING_PAGE_MS)
            fetch = partial(
                self._ccxt.fetch_funding_rate_history, name, cursor, 200, {"until": until - 1}
            )
            for row in self._ask(f"funding of {symbol} from {cursor}", fetch):
                if cursor <= row["timestamp"] < until:
                    # A settlement without a rate is refused below, by its time.
                    rate = row["fundingRate"]
                    rows[int(row["timestamp"])] = float("nan" if rate is None else rate)
        ts = np.array(sorted(rows), dtype=np.int64)
        rates = np.array([rows[at] for at in ts.tolist()], dtype=np.float64)
        return funding.check(Funding(symbol, ts, rates), f"{self._base_url} {symbol}")


def ask(who: str, what: str, call: Callable[[], Any], advice: str) -> Any:  # noqa: ANN401
    """Call ccxt, trying again after a network fault with growing pauses.

    Parameters
    ----------
    who, what : str
        Whom is asked for what, for the message.
    call : callable
    advice : str
        What to do after a network fault.

    Raises
    ------
    ExchangeError
        If it cannot be reached, or refuses.
    """
    for is_last in attempts(PAUSES_S):
        try:
            return call()
        except ccxt.NetworkError as error:  # an exchange that is not available is one
            if is_last:
                message = f"{who}: {what}: {error}; {advice}"
                raise ExchangeError(message) from error
        except ccxt.BaseError as error:
            message = f"{who}: {what}: {error}"
            raise ExchangeError(message) from error
    raise AssertionError


def newest_open(who: str, symbol: str, rows: Sequence[Sequence[float]]) -> int:
    """Give the open of the newest of some candles as ccxt has them, epoch milliseconds.

    Raises
    ------
    ExchangeError
        If there is none, or it is of an implausible year.
    """
    if not rows:
        message = f"{who}: no candles of {symbol} yet"
        raise ExchangeError(message)
    newest = max(int(row[0]) for row in rows)
    year = implausible_year(np.array([newest]))
    if year is not None:
        message = f"{who}: newest candle of {symbol}: {newest}: {year[1]}"
        raise ExchangeError(message)
    return newest
