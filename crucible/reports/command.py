"""The work of ``crucible report`` beyond the accounts: read a subject, compute its figures, write its page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crucible.files import write_text
from crucible.market.lake import Lake
from crucible.operations.workspace import Workspace
from crucible.outputs import ask_for_file
from crucible.reports.figures import Figures, figures_of
from crucible.reports.of_run import subject_of_agent, subject_of_run
from crucible.reports.of_walk_forward import subject_of_walk_forward
from crucible.reports.page import page_of
from crucible.reports.subject import Subject
from crucible.settings import Settings


@dataclass(frozen=True, slots=True)
class Made:
    """A report that was made."""

    subject: Subject
    figures: Figures

    def to_json(self) -> dict[str, Any]:
        """Give its figures as JSON values."""
        return self.figures.to_json(self.subject)


def make(
    workspace: Workspace,
    settings: Settings,
    *,
    run: str | None = None,
    agent: str | None = None,
    walk_forward: Path | None = None,
) -> Made:
    """Read what is asked for and compute its figures; the newest run by default.

    Raises
    ------
    CrucibleError
        If there is no such thing, or it cannot be read.
    """
    if walk_forward is not None:
        subject = subject_of_walk_forward(walk_forward, Lake(workspace.path / "lake"))
    elif agent is not None:
        subject = subject_of_agent(workspace, run, agent, settings)
    else:
        subject = subject_of_run(workspace, run, settings)
    return Made(subject, figures_of(subject))


def make_page(made: Made, file: Path) -> None:
    """Write the page of a report.

    Raises
    ------
    OutputError, WriteError
        If it cannot be written there.
    """
    ask_for_file("--html", file)
    write_text(file, page_of(made.subject, made.figures))
