"""The figures of a report as a table for a terminal."""

from __future__ import annotations

from crucible.operations.sheet import Column, Sheet
from crucible.reports.figures import Figures
from crucible.reports.subject import Subject
from crucible.reports.wording import shown
from crucible.text import moment


def figures_sheet(subject: Subject, figures: Figures) -> Sheet:
    """Give one row for each figure; why there is none, where there is none."""
    title = f"{subject.title}: {moment(subject.first_ts)} to {moment(subject.last_ts)} UTC"
    sheet = Sheet(title, Column("figure", "name"), Column("value", "text"))
    for each in figures.headline:
        sheet.add(each.label, shown(each))
    return sheet
