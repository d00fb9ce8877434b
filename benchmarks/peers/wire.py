"""The peer's side of the wire benchmark: nautilus_trader's book fed with recorded Bybit frames.

Its own path: the msgspec decoder and the parsing of its Bybit adapter, then `OrderBook.apply_deltas`.
"""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from serving import serve


def deltas(frames: str, places: dict[str, list[int]], repeat: int) -> dict[str, Any]:
    """Parse and apply every frame `repeat` times; give seconds, level changes and the last books."""
    from nautilus_trader.adapters.bybit.schemas.ws import decoder_ws_orderbook
    from nautilus_trader.model.book import OrderBook
    from nautilus_trader.model.enums import BookType
    from nautilus_trader.model.identifiers import InstrumentId

    lines = Path(frames).read_bytes().splitlines()
    decoder = decoder_ws_orderbook()
    ids = {symbol: InstrumentId.from_str(f"{symbol}-LINEAR.BYBIT") for symbol in places}
    books = {symbol: OrderBook(ids[symbol], BookType.L2_MBP) for symbol in places}
    levels = 0
    start = time.perf_counter()
    for _ in range(repeat):
        for line in lines:
            message = decoder.decode(line)
            data = message.data
            symbol = data.s
            price_places, size_places = places[symbol]
            parsed = data.parse_to_deltas(
                ids[symbol],
                price_places,
                size_places,
                message.ts * 1_000_000,
                message.ts * 1_000_000,
                snapshot=message.type == "snapshot",
            )
            books[symbol].apply_deltas(parsed)
            levels += len(data.b) + len(data.a)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "levels": levels,
        "best": {
            symbol: [_plain(book.best_bid_price()), _plain(book.best_ask_price())]
            for symbol, book in books.items()
        },
    }


def _plain(price: Any) -> str | None:
    return None if price is None else format(Decimal(str(price)).normalize(), "f")


serve({"deltas": deltas}, ["nautilus_trader"])
