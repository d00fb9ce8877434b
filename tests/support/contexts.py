"""A context of decisions without a stack: what a test gives it, and nothing else."""

from __future__ import annotations

from pathlib import Path

from crucible.lifecycle.context import Context
from crucible.operations.workspace import Workspace
from crucible.settings import Settings


def context_of(folder: Path, settings: Settings | None = None, **parts: object) -> Context:
    """A context under a folder, with parts such as ``registry`` or ``exchange`` put in place."""
    context = Context(settings or Settings(home=folder), Workspace.at(folder))
    context.__dict__.update(parts)
    return context
