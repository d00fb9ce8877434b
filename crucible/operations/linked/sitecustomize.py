"""Python imports this at its start where services run: `sqlite3` is then the SQLite that is locked.

Python is linked with the system's SQLite, which may reset a write-ahead log too early; Prefect keeps its
books in one. See ``docs/decisions/0074``.
"""

import importlib.util
import sys

if importlib.util.find_spec("pysqlite3") is not None:
    import pysqlite3

    sys.modules["sqlite3"] = pysqlite3
    sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2
