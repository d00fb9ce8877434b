"""The SQLite that is linked is a sound one, and a path is a path whatever letters it holds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy

from crucible import sqlite

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("a#b", "a?b", "a%41", "a?mode=memory&x=#%2F", "ü ß'")


def test_the_linked_sqlite_does_not_reset_a_log_too_early():
    assert sqlite.sqlite_version_info >= sqlite.FIRST_SOUND


@pytest.mark.process
def test_programs_of_others_link_the_same_where_services_run():
    reported = subprocess.run(
        [sys.executable, "-c", "import aiosqlite, sqlite3; print(sqlite3.sqlite_version)"],
        env={**os.environ, "PYTHONPATH": str(sqlite.LINKED)},
        capture_output=True,
        text=True,
        check=True,
    )
    version = tuple(int(part) for part in reported.stdout.strip().split("."))
    assert version >= sqlite.FIRST_SOUND


def test_nothing_of_ours_takes_the_sqlite_of_the_system():
    allowed = {ROOT / "crucible/sqlite.py"}
    files = [*(ROOT / "crucible").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]
    taken = [
        path
        for path in files
        if path not in allowed
        and re.search(r"^\s*(import|from) (pysqlite3|sqlite3)\b", path.read_text(), re.MULTILINE)
        and path.parent != sqlite.LINKED
    ]
    assert taken == []


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_where_its_path_says(tmp_path: Path, name: str):
    folder = tmp_path / name
    folder.mkdir()
    path = folder / f"{name}.sqlite"
    writer = sqlite.connect(path)
    writer.execute("CREATE TABLE t (x)")
    writer.execute("INSERT INTO t VALUES (7)")
    writer.close()
    assert [entry.name for entry in folder.iterdir()] == [path.name]
    reader = sqlite.connect_to_read(path)
    assert reader.execute("SELECT x FROM t").fetchall() == [(7,)]
    with pytest.raises(sqlite.Error, match="readonly"):
        reader.execute("INSERT INTO t VALUES (8)")
    reader.close()


@pytest.mark.parametrize("name", NAMES)
def test_sqlalchemy_opens_the_same_file(tmp_path: Path, name: str):
    folder = tmp_path / name
    folder.mkdir()
    path = folder / "server.db"
    engine = sqlalchemy.create_engine(sqlite.sqlalchemy_url(path))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE t (x)"))
    engine.dispose()
    assert [entry.name for entry in folder.iterdir()] == ["server.db"]
    reader = sqlite.connect_to_read(path)
    assert reader.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    reader.close()


def test_a_missing_file_is_an_error_and_is_not_made(tmp_path: Path):
    with pytest.raises(sqlite.Error):
        sqlite.connect_to_read(tmp_path / "none.sqlite").execute("SELECT 1")
    assert list(tmp_path.iterdir()) == []
