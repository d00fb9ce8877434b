"""The page: one file with everything in it, which no network is needed for and which asks for none. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from importlib import resources
from typing import Any

from crucible.reports.charts import Chart, candle_charts, charts_of
from crucible.reports.daily import FEWEST_DAYS, WINDOW_DAYS
from crucible.reports.figures import Figures
from crucible.reports.subject import Subject
from crucible.reports.wording import exact, money, share, shown, span
from crucible.text import moment, visible

TEMPLATE = "report.html"


def page_of(subject: Subject, figures: Figures) -> str:
    """Give the page as text.

    Parameters
    ----------
    subject : Subject
    figures : Figures
        Of the same subject.
    """
    import jinja2
    from markupsafe import Markup

    package = resources.files("crucible.reports")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["visible"] = visible
    template = environment.from_string(package.joinpath(TEMPLATE).read_text(encoding="utf-8"))
    upper, candles = charts_of(subject, figures), candle_charts(subject)
    return template.render(
        subject=subject,
        figures=figures,
        charts=upper,
        candles=candles,
        data=Markup(_script_data([*upper, *candles])),  # noqa: S704 - JSON in which no markup can begin
        plotly=Markup(_plotly()),  # noqa: S704 - of the package
        months=_years(figures),
        last_midnight=int(figures.days.ts[-1]) if len(figures.days.ts) else 0,
        fewest_days=FEWEST_DAYS,
        window_days=WINDOW_DAYS,
        shown=shown,
        exact=exact,
        share=share,
        money=money,
        span=span,
        moment=moment,
        amount=_amount,
    )


def _plotly() -> str:
    script = resources.files("plotly").joinpath("package_data", "plotly.min.js")
    return script.read_text(encoding="utf-8").replace("</script", "<\\/script")


def _script_data(charts: list[Chart]) -> str:
    """Write the charts as JSON in which neither an element nor a comment can begin or end."""
    text = json.dumps([asdict(chart) for chart in charts], allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _years(figures: Figures) -> list[tuple[str, list[Any]]]:
    """Put the months into rows of twelve, one for each year; None where there is no month."""
    years: dict[str, list[Any]] = {}
    for month in figures.months:
        year, number = month.name.split("-")
        years.setdefault(year, [None] * 12)[int(number) - 1] = month
    return list(years.items())


def _amount(row: Mapping[str, Any], name: str) -> str:
    """Write an amount that a row holds as text; a dash where it holds none."""
    value = row.get(name)
    try:
        return money(Decimal(str(value)))
    except InvalidOperation:
        return "-"
