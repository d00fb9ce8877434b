"""A bounded memory of what is dear to compute: on years of candles not everything can be kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps the values that were asked for last; what was dropped is made again, equal to what it was.

    Parameters
    ----------
    most : int
        Values kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[K], V]) -> V:
        """Return the value of a key, made where it is not kept."""
        if key not in self._held:
            self._held[key] = make(key)
        self._held.move_to_end(key)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return self._held[key]
