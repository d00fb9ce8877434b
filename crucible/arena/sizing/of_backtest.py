"""What a backtest's trades would have earned at the sizes that an agent gives them.

The sizes are those of `crucible.arena.sizing.entry.entry_fraction`, the function that sizes live and
simulated entries. Only the venue's grid is left out: a folder of candles does not tell it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crucible.arena.sizing.entry import current_edge, entry_fraction
from crucible.arena.sizing.multipliers import risk_multipliers
from crucible.features.frame import FeatureFrame
from crucible.ledger.edge import Edge
from crucible.settings import ArenaSettings


def sized(
    trades: Sequence[Mapping[str, Any]],
    frame: FeatureFrame,
    stop: float,
    settings: ArenaSettings,
    edge: Edge | None = None,
    *,
    proven: bool = False,
) -> dict[str, Any]:
    """Size every trade of a backtest as its agent would have, with what was known at its decision.

    Parameters
    ----------
    trades : sequence of mapping
        In time order: ``entry_ts`` (open time of the candle that filled, epoch milliseconds) and
        ``net_return`` (of the capital in the position, after costs).
    frame : FeatureFrame
        Of the same candles.
    stop : float
        What a trade loses at its stop, as a fraction.
    settings : ArenaSettings
    edge : Edge, optional
        What was measured out of sample before the first trade.
    proven : bool
        Whether the version passed every gate.

    Returns
    -------
    dict
        JSON-able: ``net_return`` of the agent's equity, ``net_return_without_multipliers``,
        ``mean_fraction``, ``entries``, ``not_entered`` (no positive edge), and ``trades``: for each
        its ``fraction_before``, ``multipliers`` and ``fraction``.
    """
    rows: list[dict[str, Any]] = []
    returns: list[float] = []
    equity = plain = 1.0
    for trade in trades:
        # Decided at the last close at or before the open that filled it.
        at = int(np.searchsorted(frame.ts, trade["entry_ts"], side="right")) - 1
        multipliers = risk_multipliers(frame.row(at), "buy", settings.multipliers)
        known = current_edge(Edge.of_returns(returns, stop), edge)
        fraction, before, _ = entry_fraction(known, settings, multipliers, proven=proven)
        equity *= 1.0 + fraction * trade["net_return"]
        plain *= 1.0 + before * trade["net_return"]
        if fraction > 0:
            returns.append(float(trade["net_return"]))
        rows.append(
            {
                "entry_ts": trade["entry_ts"],
                "fraction_before": before,
                "multipliers": multipliers.to_json(),
                "fraction": fraction,
            }
        )
    entered = [row["fraction"] for row in rows if row["fraction"] > 0]
    return {
        "net_return": equity - 1.0,
        "net_return_without_multipliers": plain - 1.0,
        "mean_fraction": float(np.mean(entered)) if entered else None,
        "entries": len(entered),
        "not_entered": len(rows) - len(entered),
        "trades": rows,
    }
