"""SQLite as Crucible uses it: a version that is locked, and paths that are taken to the letter.

Python's own `sqlite3` is linked with the system's SQLite, which on many systems may reset a write-ahead
log too early and so damage a file that two connections write.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    import sqlite3 as _sqlite
else:
    try:
        import pysqlite3 as _sqlite
    except ModuleNotFoundError:
        # A platform without its wheel, or an environment from before it was locked.
        import sqlite3 as _sqlite

Connection = _sqlite.Connection
Row = _sqlite.Row
Error = _sqlite.Error
DatabaseError = _sqlite.DatabaseError
IntegrityError = _sqlite.IntegrityError
ProgrammingError = _sqlite.ProgrammingError
sqlite_version_info = _sqlite.sqlite_version_info
# Where the log is not reset too early any more.
FIRST_SOUND = (3, 51, 3)

# What Python programs that bring no SQLite of their own must find first on their path.
LINKED = Path(__file__).parent / "operations" / "linked"


def connect(path: Path, *, timeout_s: float = 30.0) -> Connection:
    """Open a file for writing, making it if there is none; statements commit by themselves."""
    return _sqlite.connect(os.fsencode(path.absolute()), timeout=timeout_s, isolation_level=None)


def connect_to_read(path: Path, *, timeout_s: float = 10.0) -> Connection:
    """Open a file that another process writes, for reading only."""
    return _sqlite.connect(f"{file_uri(path)}?mode=ro", uri=True, timeout=timeout_s)


def file_uri(path: Path) -> str:
    """Give the URI of a file; in a path ``?``, ``#`` and ``%41`` are letters like all others.

    Examples
    --------
    >>> file_uri(Path("/a?b#c%41.db"))
    'file:/a%3Fb%23c%2541.db'
    """
    return f"file:{quote(os.fsencode(path.absolute()))}"


def sqlalchemy_url(path: Path, driver: str = "sqlite") -> str:
    """Give the URL by which SQLAlchemy opens a file.

    Parameters
    ----------
    path : Path
    driver : str
        ``sqlite``, or ``sqlite+aiosqlite``.
    """
    text = str(path.absolute())
    # SQLAlchemy takes a path to the letter but for the question mark that begins its own options.
    return f"{driver}:///{file_uri(path)}?uri=true" if "?" in text else f"{driver}:///{text}"
