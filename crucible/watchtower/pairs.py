"""A challenge by pairs: whether a challenger earns more than the incumbent whose seat it wants.

Both are compared on the same candles by modelled fills: the challenger's own, and those of a shadow copy of the incumbent,
which takes the incumbent's decisions at the same costs. What is compared are returns of positions, each as a fraction of its own
opening value, in the same quarter of an hour: how large somebody's positions are plays no part, and what the market does to
both at once cancels out.

The evidence is the bet of `sequential` on the differences: under "the challenger earns no more" it reaches ``1 / alpha`` with
probability at most ``alpha``, however often one looks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crucible.ledger.reader import PairMark
from crucible.market.funding import Funding
from crucible.settings import MINUTE_MS
from crucible.strategies.contract import Exits
from crucible.watchtower.sequential import wealth_against_no_gain
from crucible.watchtower.verdicts import gain_bound, loss_bound

LARGEST_MOVE = 0.05
"""Largest move of a price within a quarter of an hour; a difference beyond what it makes possible is counted as that."""


def difference_bound(challenger: Exits, incumbent: Exits, fee: float, slippage: float) -> float:
    """Largest shortfall of a challenger against an incumbent in a quarter of an hour, both at a stake of one.

    The challenger loses what a trade of it can lose at most while the incumbent gains what one of its trades can gain,
    both no more than `LARGEST_MOVE` and the costs of a round trip.

    Parameters
    ----------
    challenger, incumbent : Exits
    fee, slippage : float
        Of one side of a trade, as fractions.
    """
    costs = 2.0 * (fee + slippage)
    lost = min(loss_bound(challenger, fee, slippage), LARGEST_MOVE + costs)
    return lost + min(gain_bound(incumbent), LARGEST_MOVE)


def differences(marks: Sequence[PairMark], funding: Funding | None) -> list[float]:
    """Give by how much a challenger returned more than the incumbent's copy, mark by mark, funding charged.

    Parameters
    ----------
    marks : sequence of PairMark
        Of one pair, oldest first.
    funding : Funding or None
        Rates of the symbol; None where they are not known, and nothing is charged.
    """
    found = []
    before = marks[0].ts - 15 * MINUTE_MS if marks else 0
    for mark in marks:
        gained = mark.challenger_return - mark.incumbent_return
        exposed = int(mark.challenger_holds) - int(mark.incumbent_holds)
        if exposed and funding is not None:
            gained -= exposed * _settled(funding, before, mark.ts)
        before = mark.ts
        found.append(gained)
    return found


def _settled(funding: Funding, after_ts: int, until_ts: int) -> float:
    first, last = np.searchsorted(funding.ts, [after_ts, until_ts], side="right")
    return float(funding.rate[first:last].sum())


def pair_wealth(marks: Sequence[PairMark], funding: Funding | None, bound: float) -> float:
    """Evidence that a challenger earns more than an incumbent, from their marks.

    Parameters
    ----------
    marks, funding
        As for `differences`.
    bound : float
        See `difference_bound`.

    Returns
    -------
    float
        At least 0; 1 for no marks.

    Raises
    ------
    EvidenceError
        If a return is not a number, or infinite.
    """
    return wealth_against_no_gain(differences(marks, funding), bound)
