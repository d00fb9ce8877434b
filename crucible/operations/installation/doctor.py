"""`crucible doctor`: find what is wrong with the installation, the workspace and the data.

Every check is a function of its own and says what it found and how to mend it. A check that itself ends in an
unforeseen error is a failed check: the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from crucible.errors import CrucibleError
from crucible.operations.installation import data_checks, program_checks, workspace_checks
from crucible.operations.installation.check import Check
from crucible.operations.workspace import Workspace
from crucible.settings import Settings, load_settings


def examine(
    workspace: Workspace, progress: Callable[[str, int, int], None] | None = None
) -> list[Check]:
    """Carry out every check.

    Parameters
    ----------
    workspace : Workspace
        It need not exist.
    progress : callable, optional
        Called with ``(name of the check, checks done, checks)``.
    """
    settings, checked = _settings()
    steps: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("settings", lambda: [checked]),
        ("python", lambda: [program_checks.python()]),
        ("packages", lambda: [program_checks.packages()]),
        ("binaries", program_checks.binaries),
        ("ports", partial(workspace_checks.ports, workspace, settings)),
        ("disk", lambda: [workspace_checks.disk(workspace)]),
        ("permissions", lambda: [workspace_checks.permissions(workspace)]),
        ("secrets", partial(workspace_checks.secrets, workspace, settings)),
        ("state-files", lambda: [workspace_checks.state_files(workspace)]),
        ("leftovers", lambda: [workspace_checks.leftovers(workspace)]),
        ("locks", lambda: [workspace_checks.locks(workspace)]),
        ("records", partial(workspace_checks.records, workspace)),
        ("clock", lambda: [workspace_checks.clock(workspace, settings)]),
        ("candles", partial(data_checks.candles, workspace)),
    ]
    found: list[Check] = []
    for done, (name, step) in enumerate(steps):
        if progress is not None:
            progress(name, done, len(steps))
        try:
            found += step()
        except Exception as error:  # noqa: BLE001 - the other checks are worth having
            text = (
                str(error)
                if isinstance(error, CrucibleError)
                else f"{type(error).__name__}: {error}"
            )
            found.append(Check(name, "fail", text, "mend what is named, then ask again"))
    return found


def _settings() -> tuple[Settings | None, Check]:
    try:
        settings = load_settings()
    except CrucibleError as error:
        mend = "correct that file or variable; crucible config show prints what is in force"
        return None, Check("settings", "fail", " ".join(str(error).split()), mend)
    return settings, Check("settings", "ok", "every setting is known and in range")
