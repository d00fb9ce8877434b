"""Where a system's files are, whatever folder one stands in and whatever is wrong with its settings.

The kill switch needs the workspace and nothing else, so this reads one name and never refuses: what cannot
be read is told beside the answer.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
"""The folder of the Makefile, or where the package is installed."""
HOME_VARIABLE = "CRUCIBLE_HOME"
FILE_VARIABLE = "CRUCIBLE_SETTINGS_FILE"
DEFAULT_HOME = "data"

_HOME_LINE = re.compile(r"""^\s*home\s*=\s*(["'])(?P<path>[^"'\n]+)\1""", re.MULTILINE)
_FIRST_TABLE = re.compile(r"^\s*\[", re.MULTILINE)


def settings_file() -> Path:
    """Give the settings file: beside the Makefile, or what ``CRUCIBLE_SETTINGS_FILE`` names."""
    return place(_variable(FILE_VARIABLE) or "crucible.toml")


def place(path: str | Path) -> Path:
    """Make a path of the settings absolute: a relative one counts from the Makefile's folder.

    Not from the current folder: every command finds the same files wherever it is given.
    """
    return SOURCE / Path(path).expanduser()


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The workspace that a command is about.

    Attributes
    ----------
    workspace : Path
        Absolute.
    source : str
        What names it.
    doubts : tuple of str
        What could not be read on the way.
    """

    workspace: Path
    source: str
    doubts: tuple[str, ...] = ()


def find_workspace() -> Whereabouts:
    """Find the workspace: by ``CRUCIBLE_HOME``, else by the settings file, else the default."""
    asked = _variable(HOME_VARIABLE)
    if asked:
        return Whereabouts(place(asked), HOME_VARIABLE)
    file = settings_file()
    try:
        held = file.read_bytes()
    except FileNotFoundError:
        return Whereabouts(place(DEFAULT_HOME), "the default")
    except OSError as error:
        return Whereabouts(place(DEFAULT_HOME), "the default", (f"{file} cannot be read: {error}",))
    try:
        path = tomllib.loads(held.decode()).get("home", DEFAULT_HOME)
        if isinstance(path, str) and path:
            return Whereabouts(place(path), str(file))
        doubt = f"{file}: workspace is {path!r}, not a path"
    except (ValueError, RecursionError) as error:
        doubt = f"{file} cannot be read: {error}"
    # A broken file still says where its workspace is: another workspace's positions must not be closed instead.
    text = held.decode(errors="replace")
    table = _FIRST_TABLE.search(text)
    line = _HOME_LINE.search(text, 0, table.start() if table else len(text))
    if line:
        return Whereabouts(place(line["path"]), f"a line of {file}", (doubt,))
    return Whereabouts(place(DEFAULT_HOME), "the default", (doubt,))


def _variable(name: str) -> str:
    """Read a variable as the settings do: its case does not matter."""
    found = os.environ.get(name)
    if found is not None:
        return found
    return next((value for key, value in os.environ.items() if key.upper() == name), "")
