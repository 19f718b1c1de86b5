"""From a URL to a database that is ready: connected, durable, and of the schema that this accord knows.

Durability: an answer is acknowledged after its commit, and a commit has reached the disk. SQLite: write-ahead log with
`synchronous=FULL` (https://www.sqlite.org/pragma.html#pragma_synchronous); PostgreSQL: `synchronous_commit=on`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from accord.feedback.tables import SCHEMA, VERSION_TABLE, metadata
from accord.types import InputError

_WAIT_SECONDS = 60  # for a writer that has the SQLite file locked
_MIGRATION_LOCK = 0x6163636F7264  # "accord": whoever opens a PostgreSQL store first upgrades it, the others wait


def connect(url: str) -> tuple[URL, Engine]:
    """Opens a store, making or upgrading its tables. InputError where there is no store to be had."""
    address = _address(url)
    try:
        engine = _sqlite(address) if _is_sqlite(address) else _postgresql(address)
    except ModuleNotFoundError as error:
        raise InputError(f"store {shown(address)}: {error.name} is missing; pip install 'accord[postgres]'.") from error
    try:
        with refusing(address), engine.execution_options(begin="IMMEDIATE").begin() as connection:
            _upgrade(address, connection)
    except BaseException:
        engine.dispose()
        raise
    return address, engine


def shown(address: URL) -> str:
    """The URL as it may stand in a message: without its password."""
    return repr(address.render_as_string(hide_password=True))


@contextmanager
def refusing(address: URL) -> Iterator[None]:
    """Says in one sentence that the database failed: locked, full, gone, or none at all. Nothing is ever half done."""
    try:
        yield
    except (IntegrityError, ProgrammingError):
        raise  # a mistake of ours, not of the database
    except (DatabaseError, PoolTimeout) as error:
        cause = " ".join(str(getattr(error, "orig", None) or error).split())
        raise InputError(
            f"store {shown(address)} failed ({cause}), what it acknowledged is safe: see that it is a store, that it "
            "can be reached and written and that its disk has room, then try again."
        ) from error


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise InputError(
            f"store {url!r} is no URL; write sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE."
        ) from error
    if address.drivername in ("postgresql", "postgres"):
        address = address.set(drivername="postgresql+psycopg")
    if address.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise InputError(f"store {shown(address)}: no driver {address.drivername!r}; use sqlite or postgresql+psycopg.")
    if not _is_sqlite(address) or address.database in (None, "", ":memory:"):
        return address
    path = Path(address.database or "").expanduser().absolute()  # later connections may be made from another folder
    if not path.parent.is_dir():
        raise InputError(f"store {shown(address)}: there is no folder {str(path.parent)!r}; make it first.")
    if path.is_dir():
        raise InputError(f"store {shown(address)} is a folder; name a file in it.")
    return address.set(database=str(path))


def _is_sqlite(address: URL) -> bool:
    return address.get_backend_name() == "sqlite"


def store_file(address: URL) -> Path | None:
    """The file of an SQLite store; None for PostgreSQL and for memory."""
    in_file = _is_sqlite(address) and address.database not in (None, "", ":memory:")
    return Path(address.database or "") if in_file else None


def _sqlite(address: URL) -> Engine:
    in_file = store_file(address) is not None
    engine = create_engine(
        address,
        poolclass=QueuePool,
        pool_size=5 if in_file else 1,  # a store in memory lives in its only connection, which threads take in turn
        max_overflow=10 if in_file else 0,
        connect_args={"timeout": _WAIT_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # sqlite3 begins nothing by itself: `begin` below does
        _write_ahead(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the lock at once: two readers that turn into writers would wait for each other for ever.
        connection.exec_driver_sql("BEGIN " + connection.get_execution_options().get("begin", "DEFERRED"))

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turns the file to a write-ahead log. Of several who do so at once, SQLite refuses some without waiting."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def empty_log(engine: Engine) -> None:
    """Empties the write-ahead log of an SQLite file, which holds what rows were before; readers may keep it a while."""
    if engine.dialect.name == "sqlite":
        with closing(engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _postgresql(address: URL) -> Engine:
    engine = create_engine(address, isolation_level="READ COMMITTED", pool_pre_ping=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.execute("SET synchronous_commit TO on")
        # Every row is looked up by an index, or read in an index's order. A table that has just been filled has no
        # statistics yet, and what the planner then guesses made a lease of 1 ms take 100.
        connection.execute("SET enable_seqscan TO off")
        connection.execute("SET enable_bitmapscan TO off")
        connection.commit()

    return engine


def _upgrade(address: URL, connection: Connection) -> None:
    if not _is_sqlite(address):
        connection.execute(select(text(f"pg_advisory_xact_lock({_MIGRATION_LOCK})")))
    present = set(inspect(connection).get_table_names())
    if VERSION_TABLE in present:
        version = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()
    elif taken := sorted(present & set(metadata.tables)):
        raise InputError(
            f"store {shown(address)}: another program's table {taken[0]!r} is in it; use another database."
        )
    else:
        version = None
    if version == SCHEMA:
        return
    if version is not None and version > SCHEMA:
        raise InputError(
            f"store {shown(address)} has schema {version}, this accord knows up to {SCHEMA}; upgrade accord."
        )
    _migrate(connection)


def _migrate(connection: Connection) -> None:
    # Imported here: most openings find the schema in place, and Alembic takes longer to import than they take.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, SCHEMA)
