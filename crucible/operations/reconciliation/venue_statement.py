"""The venue's own book, read over its signed REST interface, and the statement kept of it.

Signing follows Bybit's v5 rules: HMAC-SHA256 over timestamp, key, window and query string.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import httpx

from crucible.operations.errors import BooksError
from crucible.operations.reconciliation.accounts import (
    EXACT,
    ZERO,
    Book,
    FillRow,
    FundingRow,
    book,
    plain,
)
from crucible.operations.workspace import read_json
from crucible.retries import attempts

WINDOW_MS = "5000"
PAGE = 100
# The venue limits requests per second and account, as the real one does.
RATE_LIMIT = 10006
PAUSES_S = (0.2,) * 14


@dataclass(frozen=True, slots=True)
class Statement:
    """The venue's word on one account at one instant, in its own rows.

    Attributes
    ----------
    initial : Decimal
        First deposit.
    wallet : Decimal
        Balance without unrealised profit.
    positions : list of dict
        Open ones.
    executions : list of dict
        All of them, fills and funding.
    """

    initial: Decimal
    wallet: Decimal
    positions: list[dict[str, Any]]
    executions: list[dict[str, Any]]

    @property
    def marks(self) -> dict[str, Decimal]:
        """Mark price per symbol that has an open position."""
        return {row["symbol"]: Decimal(row["markPrice"]) for row in self.positions}

    @property
    def open_cost(self) -> Decimal:
        """Signed cost of everything open, as the venue carries it."""
        total = ZERO
        for row in self.positions:
            cost = abs(Decimal(row["positionValue"]))
            total = EXACT.add(total, -cost if row["side"] == "Sell" else cost)
        return total

    def book(self) -> Book:
        """Sum up the executions.

        Positions are the venue's position rows, not derived from the executions.
        """
        fills, funding = [], []
        for row in self.executions:
            if row["execType"] == "Funding":
                funding.append(FundingRow(row["execId"], Decimal(row["execFee"])))
            else:
                fills.append(
                    FillRow(
                        exec_id=row["execId"],
                        symbol=row["symbol"],
                        side=row["side"].lower(),
                        qty=Decimal(row["execQty"]),
                        price=Decimal(row["execPrice"]),
                        fee=Decimal(row["execFee"]),
                    )
                )
        summed = book(fills, funding)
        held = {
            row["symbol"]: -Decimal(row["size"]) if row["side"] == "Sell" else Decimal(row["size"])
            for row in self.positions
        }
        return Book(summed.fills, summed.fees, summed.funding, summed.cash, held)

    def wallet_difference(self) -> Decimal:
        """Give what the wallet moved beyond cash and open cost: 0 when the venue's sums hold."""
        moved = EXACT.subtract(self.wallet, self.initial)
        return EXACT.subtract(moved, EXACT.add(self.book().cash, self.open_cost))

    def to_json(self) -> dict[str, Any]:
        """Give the statement as JSON values, money as the venue's own strings."""
        return {
            "initial": plain(self.initial),
            "wallet": plain(self.wallet),
            "positions": self.positions,
            "executions": self.executions,
        }

    @classmethod
    def read(cls, path: Path) -> Statement | None:
        """Read a saved statement; None if there is none.

        Raises
        ------
        BooksError
            If the file is not a statement.
        """
        value = read_json(path)
        if value is None:
            return None
        try:
            initial, wallet = Decimal(value["initial"]), Decimal(value["wallet"])
            return cls(initial, wallet, value["positions"], value["executions"])
        except (KeyError, TypeError, InvalidOperation) as error:
            message = f"{path} is not a statement of the venue: {error}"
            raise BooksError(message) from error


class VenueAccount:
    """One account at a Bybit v5 venue, read only.

    Parameters
    ----------
    rest : str
        Base address.
    key, secret : str
    clock_ms : callable
        Wall time; signing needs it.
    """

    def __init__(
        self,
        rest: str,
        key: str,
        secret: str,
        *,
        timeout_s: float = 2.0,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._rest = rest
        self._key, self._secret = key, secret
        self._clock_ms = clock_ms
        self._client = httpx.Client(base_url=rest, timeout=timeout_s)

    @classmethod
    def from_keys(cls, rest: str, keys_file: Path, *, timeout_s: float = 2.0) -> VenueAccount:
        """Use the first account of a keys file."""
        try:
            account = read_json(keys_file)[0]
            return cls(rest, account["key"], account["secret"], timeout_s=timeout_s)
        except (KeyError, IndexError, TypeError) as error:
            message = f"{keys_file} holds no key and secret; remove it and start again"
            raise BooksError(message) from error

    def statement(self, initial: Decimal) -> Statement:
        """Read wallet, positions and every execution.

        The wallet is read before and after: a statement during which something was filled is
        taken again.

        Raises
        ------
        BooksError
            If the venue does not answer, refuses, or never holds still.
        """
        for _ in range(5):
            wallet = self._wallet()
            positions = [
                row for row in self._pages("/v5/position/list", 200) if Decimal(row["size"]) != 0
            ]
            executions = list(reversed(self._pages("/v5/execution/list", PAGE)))
            taken = Statement(initial, wallet, positions, executions)
            if self._wallet() == wallet and taken.wallet_difference() == 0:
                return taken
        return taken

    def _wallet(self) -> Decimal:
        result = self._get("/v5/account/wallet-balance", {"accountType": "UNIFIED"})
        coins = {row["coin"]: row for row in result["list"][0]["coin"]}
        return Decimal(coins["USDT"]["walletBalance"])

    def _pages(self, path: str, limit: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            query = {"category": "linear", "settleCoin": "USDT", "limit": str(limit)}
            result = self._get(path, query | ({"cursor": cursor} if cursor else {}))
            rows += result["list"]
            following = str(result.get("nextPageCursor") or "")
            if not following or following == cursor or not result["list"]:
                return rows
            cursor = following

    def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        for _ in attempts(PAUSES_S):
            answer = self._ask(path, urlencode(query))
            if answer.get("retCode") != RATE_LIMIT:
                break
        if answer.get("retCode") != 0:
            message = f"the venue refused {path}: {answer.get('retCode')} {answer.get('retMsg')}"
            raise BooksError(message)
        return cast("dict[str, Any]", answer["result"])

    def _ask(self, path: str, text: str) -> dict[str, Any]:
        now = str(self._clock_ms())
        signed = f"{now}{self._key}{WINDOW_MS}{text}".encode()
        headers = {
            "X-BAPI-API-KEY": self._key,
            "X-BAPI-TIMESTAMP": now,
            "X-BAPI-RECV-WINDOW": WINDOW_MS,
            "X-BAPI-SIGN": hmac.new(self._secret.encode(), signed, hashlib.sha256).hexdigest(),
        }
        try:
            response = self._client.get(f"{path}?{text}", headers=headers)
            response.raise_for_status()
            return cast("dict[str, Any]", response.json())
        except (httpx.HTTPError, ValueError) as error:
            message = f"the venue at {self._rest} did not answer {path}: {error}"
            raise BooksError(message) from error
