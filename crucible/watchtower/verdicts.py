"""Verdicts: keep, cull or promote, from a scorecard alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from crucible.settings import WatchtowerSettings
from crucible.strategies.contract import Exits
from crucible.watchtower.scorecard import Scorecard
from crucible.watchtower.sequential import EvidenceError

Judgement = Literal["keep", "cull", "promote"]

MINIMUM_DECISIONS = 20
"""Decisions that must have been compared with the backtest before parity decides: with fewer, one that a single late
candle changed would be more than the limit lets pass."""

IDLE_GAPS = 12
"""Mean gaps between trades: whoever trades at random times waits for so many once in 160,000 times, so hardly ever in a life."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to happen to an agent, and why in one sentence with the figures."""

    judgement: Judgement
    reason: str


def loss_bound(exits: Exits, fee: float, slippage: float) -> float:
    """Largest loss that a trade is taken to make: twice the stop, plus costs of both sides.

    Twice, because a gap can jump over the stop; a loss beyond the bound is counted as the bound.
    """
    return 2.0 * exits.stop + 2.0 * (fee + slippage)


def gain_bound(exits: Exits) -> float:
    """Largest gain that a trade is taken to make: the target and a quarter, for gaps that jump over it."""
    return 1.25 * exits.target


def judge(
    card: Scorecard,
    role: Literal["production", "challenger"],
    settings: WatchtowerSettings,
    minutes_between_trades: float | None = None,
) -> Verdict:
    """Judge one agent.

    A production agent that does something else than the backtest of its strategy, for more than
    ``1 - minimum_parity`` of what could be compared, is culled at once: what is known of its strategy is not
    known of it. An agent is culled when its equity fell too far, when the evidence that it loses reaches the
    cull confidence, or when it has not traded for too long: for ``idle_minutes``, and for `IDLE_GAPS` times as long as it
    waits between two trades in its backtest, where that is known. A challenger is promoted when the
    evidence for it reaches the promotion confidence, and gives up its seat when that evidence falls
    below ``futility``: whoever bet on it has lost that much, and another may do better. The evidence for it is that it
    gains; where there is an incumbent, half of the stake is bet on that and half on its earning more than the incumbent, and
    nobody is promoted who has lost the second bet by as much as a promotion asks for. Evidence counts from
    ``minimum_trades`` on; being tested at every look costs nothing (`sequential`).

    Raises
    ------
    EvidenceError
        Naming the agent and the value, if a figure that decides is infinite or not a number. Every comparison
        with NaN is false: it would be kept whatever it did.
    """
    figures = {
        "drawdown": card.drawdown,
        "gain_evidence": card.gain_evidence,
        "loss_evidence": card.loss_evidence,
        "pair_evidence": card.pair_evidence or 0.0,
        "mean_return": card.mean_return or 0.0,
        "parity": card.parity or 0.0,
        "minutes_between_trades": minutes_between_trades or 0.0,
    }
    for name, value in figures.items():
        if not math.isfinite(value):
            message = f"{card.agent}: {name} is {value}; it must be a number"
            raise EvidenceError(message)
    if card.drawdown > settings.max_drawdown:
        return Verdict("cull", f"drawdown {card.drawdown:.2%} is over {settings.max_drawdown:.2%}")
    if role == "production" and (broken := _broken_parity(card, settings)):
        return Verdict("cull", broken)
    if card.trades >= settings.minimum_trades:
        cull_at = 1.0 / (1.0 - settings.cull_confidence)
        if card.loss_evidence >= cull_at:
            mean = card.mean_return or 0.0
            return Verdict(
                "cull",
                f"loses {-mean:.4%} a trade over {card.trades} trades "
                f"(evidence {card.loss_evidence:.1f}, needed {cull_at:.1f})",
            )
        if role == "challenger" and (verdict := _challenge(card, settings)) is not None:
            return verdict
    patience = max(settings.idle_minutes, IDLE_GAPS * (minutes_between_trades or 0.0))
    if card.idle_minutes >= patience:
        return Verdict("cull", f"no fill for {card.idle_minutes} market minutes")
    return Verdict("keep", f"{card.trades} trades, evidence is not decisive")


def _challenge(card: Scorecard, settings: WatchtowerSettings) -> Verdict | None:
    """Promote a challenger, or give its seat to another; None while the evidence for it decides neither."""
    promote_at = 1.0 / (1.0 - settings.promote_confidence)
    evidence, parts, is_behind = card.gain_evidence, "", False
    if card.pair_evidence is not None:
        # The mean of two bets is one bet: half of the stake on each.
        evidence = (card.gain_evidence + card.pair_evidence) / 2.0
        is_behind = card.pair_evidence * promote_at < 1.0
        parts = (
            f": {card.gain_evidence:.2f} that it gains, {card.pair_evidence:.2f} that it earns more than "
            f"{card.incumbent}"
        )
    if evidence >= promote_at and not is_behind:
        # It may lose, and less than the incumbent.
        mean = card.mean_return
        did = "" if mean is None else f"{'gains' if mean > 0 else 'loses'} {abs(mean):.4%} a trade "
        return Verdict(
            "promote",
            f"{did}over {card.trades} trades (evidence {evidence:.1f}, needed {promote_at:.1f}{parts})",
        )
    if evidence < settings.futility:
        return Verdict(
            "cull",
            f"{card.trades} trades speak against promotion (evidence for it {evidence:.2f}, "
            f"below {settings.futility:g}{parts}); another version gets its turn",
        )
    return None


def _broken_parity(card: Scorecard, settings: WatchtowerSettings) -> str:
    """Say how far an agent departs from its backtest; empty where it is not too far, or not known well enough."""
    if card.parity is None or card.parity_decisions < MINIMUM_DECISIONS:
        return ""
    if card.parity >= settings.minimum_parity:
        return ""
    return (
        f"broken parity: {card.parity:.2%} of what it did is what its backtest does, below "
        f"{settings.minimum_parity:.2%} (over {card.parity_decisions} decisions); {card.parity_departure}"
    )
