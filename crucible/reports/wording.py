"""Figures as people read them, beside the exact value."""

from __future__ import annotations

from decimal import Decimal

from crucible.operations.reconciliation.accounts import plain
from crucible.reports.figures import Figure


def share(value: float) -> str:
    """Write a fraction as percent.

    Examples
    --------
    >>> share(0.01234), share(-0.00004)
    ('+1.23%', '-0.004%')
    """
    digits = 2 if abs(value) >= 0.001 or value == 0 else 3
    return f"{value:+.{digits}%}"


def money(value: Decimal) -> str:
    """Write an amount of the quote asset to the cent.

    Examples
    --------
    >>> money(Decimal("-1234.567"))
    '-1,234.57'
    """
    return f"{value:,.2f}"


def span(milliseconds: int) -> str:
    """Write a length of time in its two largest units.

    Examples
    --------
    >>> span(90_000), span(3_720_000), span(180_000_000)
    ('1 min', '1 h 2 min', '2 d 2 h')
    """
    minutes = milliseconds // 60_000
    hours, days = minutes // 60, minutes // 1_440
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def shown(figure: Figure) -> str:
    """Write a figure for people; why there is none, where there is none."""
    value = figure.value
    if value is None:
        return figure.why
    if figure.unit == "share":
        return share(float(value))
    if figure.unit == "rate":
        return f"{value:.2%}"
    if figure.unit == "money":
        return f"{money(Decimal(value))} USDT"
    if figure.unit == "span":
        return span(int(value))
    return f"{value:,}" if figure.unit == "count" else f"{value:.2f}"


def exact(value: object) -> str:
    """Write a value with every digit that it has."""
    if isinstance(value, Decimal):
        return plain(value)
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
