"""Candles and funding of any exchange that ccxt knows, page by page, through ccxt's unified methods only.

`crucible.market.exchange` serves the venue that is traded and knows its ways; nothing here is traded upon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

import ccxt
import numpy as np

from crucible.market import funding as rates
from crucible.market.candles import Candles, check
from crucible.market.exchange import FUNDING_PAGE_MS, PAGE, ExchangeError, ask, newest_open
from crucible.market.funding import Funding
from crucible.setting_names import is_symbol, nearest
from crucible.settings import MINUTE_MS

MarketKind = Literal["swap", "spot"]


class OtherExchange:
    """Public history of one exchange.

    Parameters
    ----------
    name : str
        As ccxt calls it, for example ``binance``.
    kind : {'swap', 'spot'} or None
        Which market a symbol means; None takes the linear perpetual where there is one, else spot.
    base_url : str, optional
        Of a venue of your own that speaks that exchange's language.

    Attributes
    ----------
    name : str
    address : str or None
        Where the candles are of, if that is not the exchange itself.

    Raises
    ------
    ExchangeError
        If ccxt knows no such exchange, or it has no history of one-minute candles.
    """

    def __init__(
        self, name: str, kind: MarketKind | None = None, base_url: str | None = None
    ) -> None:
        if name not in ccxt.exchanges:
            meant = nearest(name, ccxt.exchanges)
            hint = f"; the nearest is {meant}" if meant else ""
            message = f"ccxt knows no exchange {name!r}{hint}; its documents list them"
            raise ExchangeError(message)
        self.name = name
        self.address = None if base_url is None else _address(base_url)
        self._kind = kind
        self._ccxt = getattr(ccxt, name)({"timeout": 20_000, "enableRateLimit": base_url is None})
        self._ccxt.has["fetchCurrencies"] = False
        if base_url is not None:
            _point_at(self._ccxt, base_url)
        if not self._ccxt.has.get("fetchOHLCV") or "1m" not in (self._ccxt.timeframes or {}):
            message = f"{name}: it gives no one-minute candles; take another exchange"
            raise ExchangeError(message)
        self._markets: dict[str, dict[str, Any]] = {}

    def _ask(self, what: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401
        return ask(self.name, what, call, "the same again goes on from here")

    def market(self, symbol: str) -> dict[str, Any]:
        """Find the market that a symbol means: ``BTCUSDT``, ``BTC/USDT`` or ``BTC/USDT:USDT``.

        Raises
        ------
        ExchangeError
            If there is none, naming the nearest.
        """
        if symbol in self._markets:
            return self._markets[symbol]
        self._ask("load markets", self._ccxt.load_markets)
        every = list(self._ccxt.markets.values())
        found = [market for market in every if market["symbol"] == symbol] or [
            market
            for market in every
            if symbol in {market["id"], f"{market['base']}{market['quote']}"}
        ]
        swaps = [market for market in found if market.get("swap") and market.get("linear")]
        spots = [market for market in found if market.get("spot")]
        chosen = {"swap": swaps, "spot": spots, None: swaps or spots}[self._kind]
        if not chosen:
            names = {market["symbol"]: market["symbol"] for market in every}
            names |= {f"{market['base']}{market['quote']}": market["symbol"] for market in every}
            meant = names.get(nearest(symbol, names) or "")
            hint = f"; the nearest is {meant}" if meant else ""
            what = f"{self._kind} market" if self._kind else "linear perpetual or spot market"
            message = f"{self.name}: no {what} {symbol!r}{hint}"
            raise ExchangeError(message)
        market: dict[str, Any] = chosen[0]
        self._markets[symbol] = market
        return market

    def file_symbol(self, symbol: str) -> str:
        """Give the symbol that a market's files are named by: base and quote.

        Raises
        ------
        ExchangeError
            If that is no name that a file can have.
        """
        market = self.market(symbol)
        name = re.sub("[^A-Z0-9]", "", f"{market['base']}{market['quote']}".upper())
        if not is_symbol(name):
            message = f"{self.name}: {market['symbol']} makes no symbol of capitals and digits"
            raise ExchangeError(message)
        return name

    def closed_until(self, symbol: str) -> int:
        """Give the exclusive end of what has closed: the open time of the newest candle."""
        name = self.market(symbol)["symbol"]
        rows = self._ask(
            f"newest candle of {symbol}", partial(self._ccxt.fetch_ohlcv, name, "1m", None, 2)
        )
        return newest_open(self.name, symbol, rows)

    def pages(self, symbol: str, start_ms: int, end_ms: int) -> Iterator[Candles]:
        """Fetch one-minute candles of ``[start_ms, end_ms)``, page by page, oldest first.

        Raises
        ------
        ExchangeError
            If the exchange cannot be reached.
        CandleError
            If a row it sent is not a sound candle.
        """
        name, file_symbol = self.market(symbol)["symbol"], self.file_symbol(symbol)
        bounded = _takes_until(self._ccxt.fetch_ohlcv)
        cursor = start_ms
        while cursor < end_ms:
            until = min(end_ms, cursor + PAGE * MINUTE_MS)

            def ask(upper: int, since: int = cursor) -> list[Any]:
                more = {"until": upper - 1} if bounded else {}
                count = min(PAGE, max(1, (upper - since) // MINUTE_MS))
                fetch = partial(self._ccxt.fetch_ohlcv, name, "1m", since, count, more)
                rows: list[Any] = self._ask(f"candles of {symbol} from {since}", fetch)
                return rows

            inside = sorted(_back_to(cursor, until, end_ms, ask, _opened))
            if not inside:
                cursor = until
                continue
            columns = np.array([row[:6] for row in inside], dtype=np.float64)
            ts = columns[:, 0].astype(np.int64)
            prices = np.ascontiguousarray(columns[:, 1:6].T)
            yield check(Candles(file_symbol, ts, *prices), f"{self.name} {symbol}")
            cursor = int(ts[-1]) + MINUTE_MS

    def tells_funding(self, symbol: str) -> bool:
        """Whether the exchange tells the rates of funding of a market."""
        has = self._ccxt.has.get("fetchFundingRateHistory")
        return bool(has) and bool(self.market(symbol).get("swap"))

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> Funding:
        """Fetch the funding settled in ``[start_ms, end_ms)``; empty where the exchange tells none.

        Raises
        ------
        ExchangeError
            If the exchange cannot be reached.
        FundingError
            If a row it sent is not a sound settlement.
        """
        file_symbol = self.file_symbol(symbol)
        if not self.tells_funding(symbol):
            return Funding.none_of(file_symbol)
        name = self.market(symbol)["symbol"]
        bounded = _takes_until(self._ccxt.fetch_funding_rate_history)
        found: dict[int, float] = {}
        cursor = start_ms
        while cursor < end_ms:
            until = min(end_ms, cursor + FUNDING_PAGE_MS)

            def ask(upper: int, since: int = cursor) -> list[Any]:
                more = {"until": upper - 1} if bounded else {}
                fetch = partial(self._ccxt.fetch_funding_rate_history, name, since, 200, more)
                rows: list[Any] = self._ask(f"funding of {symbol} from {since}", fetch)
                return rows

            inside = _back_to(cursor, until, end_ms, ask, _settled)
            for row in inside:
                # A settlement without a rate is refused below, by its time.
                rate = row["fundingRate"]
                found[int(row["timestamp"])] = float("nan" if rate is None else rate)
            cursor = max((_settled(row) + 1 for row in inside), default=until)
        ts = np.array(sorted(found), dtype=np.int64)
        values = np.array([found[at] for at in ts.tolist()], dtype=np.float64)
        return rates.check(Funding(file_symbol, ts, values), f"{self.name} {symbol}")


def _back_to(
    start_ms: int,
    until_ms: int,
    end_ms: int,
    ask: Callable[[int], list[Any]],
    time_of: Callable[[Any], int],
) -> list[Any]:
    """Give the rows of a page, asked for until they reach back to its start or nothing earlier comes.

    An exchange that gives fewer rows than a page has may give the oldest of them or the newest. What lies before
    the newest would be lost, and be taken for a gap. Every answer must be earlier than the one before, so this ends.

    Parameters
    ----------
    start_ms, until_ms : int
        The page.
    end_ms : int
        Rows after the page are taken up to here, from an exchange that cannot be told where a page ends.
    ask : callable
        Gives the exchange's rows from the start to a time, exclusive.
    time_of : callable
        Gives a row's time.
    """
    found: list[Any] = []
    upper, bound = until_ms, end_ms
    while upper > start_ms:
        earlier = [row for row in ask(upper) if start_ms <= time_of(row) < bound]
        if not earlier:
            break
        found += earlier
        upper = bound = min(time_of(row) for row in earlier)
    return found


def _opened(row: Any) -> int:  # noqa: ANN401 - ccxt's own
    return int(row[0])


def _settled(row: Any) -> int:  # noqa: ANN401 - ccxt's own
    return int(row["timestamp"])


def _address(base_url: str) -> str:
    """Give an address as everyone writes it, without what must not be kept: names and passwords."""
    parts = urlsplit(base_url if "://" in base_url else f"//{base_url}")
    place = parts.netloc.rpartition("@")[2].lower()
    return f"{parts.scheme or 'http'}://{place}{parts.path.rstrip('/')}"


def _takes_until(method: Callable[..., Any]) -> bool:
    """Whether an exchange's method takes the end of a span; ccxt says so in its description alone."""
    return "params.until" in (method.__doc__ or "")


def _point_at(exchange: Any, base_url: str) -> None:  # noqa: ANN401 - ccxt's own
    """Let every public and private address of an exchange be another venue's."""
    api = exchange.urls["api"]
    if isinstance(api, dict):
        exchange.urls["api"] = dict.fromkeys(api, base_url)
    else:
        exchange.urls["api"] = base_url
