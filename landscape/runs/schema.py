"""The tables of the store, their versions, and how a file of an older version becomes one of this.

A file says what it is in its header: ``application_id`` is ours, ``user_version`` the schema. A file that is not
a store, or that a later program wrote, is refused before anything in it is touched.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from landscape.errors import StoreError

FILE = "store.sqlite"
APPLICATION = 0x4C6F7356  # "LosV"

VERSION_1 = (
    """CREATE TABLE runs (
        key TEXT PRIMARY KEY, recipe TEXT NOT NULL, title TEXT NOT NULL, settings TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'cancelled', 'failed')),
        message TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT '', cancel INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL, started REAL, finished REAL, cpu_seconds REAL NOT NULL DEFAULT 0)""",
    "CREATE TABLE parents (key TEXT NOT NULL, parent TEXT NOT NULL, PRIMARY KEY (key, parent))",
    """CREATE TABLE results (
        key TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, saved REAL NOT NULL,
        meta TEXT NOT NULL, arrays BLOB NOT NULL, PRIMARY KEY (key, name))""",
    "CREATE TABLE progress (key TEXT PRIMARY KEY, body TEXT NOT NULL)",
    """CREATE TABLE attempts (
        key TEXT NOT NULL, number INTEGER NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,
        started REAL NOT NULL, ended REAL, outcome TEXT, PRIMARY KEY (key, number))""",
)
# Version 2 tells runs somebody asked for from those made for another run. In a file of version 1 that is not written
# down; a run that others were made from is taken for one that was made for them.
VERSION_2 = (
    "ALTER TABLE runs ADD COLUMN asked INTEGER NOT NULL DEFAULT 1",
    "UPDATE runs SET asked = 0 WHERE key IN (SELECT parent FROM parents)",
    "CREATE INDEX parents_by_parent ON parents (parent)",
)
# Version 3 writes down who asked for a run, and the places of those that wait.
VERSION_3 = (
    """CREATE TABLE IF NOT EXISTS wishes (
        key TEXT NOT NULL, person TEXT NOT NULL, name TEXT NOT NULL, since REAL NOT NULL, PRIMARY KEY (key, person))""",
    "CREATE TABLE IF NOT EXISTS places (key TEXT PRIMARY KEY, place INTEGER NOT NULL)",
)
MIGRATIONS = (VERSION_1, VERSION_2, VERSION_3)
VERSION = len(MIGRATIONS)


def checked(db: sqlite3.Connection, path: Path) -> int:
    """The schema version of an open file, 0 if it is empty. Raises StoreError if it is no store or a later one."""
    try:
        # Tables first: another process may be making the file, and they come together with what the header says.
        tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.OperationalError:  # it is one, and busy or out of reach
        raise
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path} is not a store of Loss Valleys ({error}). It was left as it is: move it away, or "
            "choose another folder with LANDSCAPE_HOME or --home."
        ) from None
    if tables and application != APPLICATION:
        raise StoreError(
            f"{path} is an SQLite file of another program. It was left as it is: choose another folder "
            "with LANDSCAPE_HOME or --home."
        )
    if version > VERSION:
        raise StoreError(
            f"{path} has schema version {version}; this program knows versions up to {VERSION}. It was "
            "left as it is: update Loss Valleys, or choose another folder with LANDSCAPE_HOME or --home."
        )
    return version if tables else 0


def open_for_writing(path: Path) -> sqlite3.Connection:
    """The store file, made or brought to this version. Before a migration a copy ``FILE.vN`` is written beside it."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        version = checked(db, path)
        if version == 0:
            path.chmod(0o600)
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        if version < VERSION:
            if version:
                _copy(db, path.with_name(f"{path.name}.v{version}"))
            _migrate(db, version)
    except BaseException:
        db.close()
        raise
    return db


def _copy(db: sqlite3.Connection, to: Path) -> None:
    to.unlink(missing_ok=True)
    to.touch(mode=0o600)
    copy = sqlite3.connect(to)
    try:
        db.backup(copy)
    finally:
        copy.close()


def _migrate(db: sqlite3.Connection, version: int) -> None:
    """All steps or none: SQLite makes changes of tables part of the transaction, and the header too."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for steps in MIGRATIONS[version:]:
            for step in steps:
                db.execute(step)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
