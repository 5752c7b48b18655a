"""Connections to the database of `sources`: SQLite that many processes share, or any URL of SQLAlchemy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import SettingsError
from ops.reference.errors import DatabaseError

URL_VARIABLE = "SOURCES_DATABASE_URL"
DEFAULT_URL = "sqlite:///sources.db"
PATIENCE_SECONDS = 20.0  # below the framework's time limit of a message
_BUSY_SECONDS = 5.0
_RETRY_SECONDS = 0.1
_BEGIN = "karafka_begin"

T = TypeVar("T")


def open_engine(url: str) -> Engine:
    """Make the engine for a database URL; nothing is connected yet.

    Raises
    ------
    SettingsError : the URL is none, or its driver is not installed.
    """
    try:
        sqlite = url.startswith("sqlite")
        engine = create_engine(url, pool_pre_ping=not sqlite, connect_args={"timeout": _BUSY_SECONDS} if sqlite else {})
    except (ArgumentError, ValueError) as error:
        raise SettingsError(
            f"no database URL: {error}", where=URL_VARIABLE, hint=f"for example {DEFAULT_URL}"
        ) from None
    except ImportError as error:
        raise SettingsError(f"its driver is not installed: {error}", where=URL_VARIABLE) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def reading(engine: Engine) -> Engine:
    """Give the engine for transactions that only read: they wait for no writer."""
    return engine.execution_options(**{_BEGIN: "BEGIN"})


def single(engine: Engine) -> Engine:
    """Give the engine for transactions of one statement: SQLite holds its lock for that statement alone.

    Between the statements of a longer transaction this process waits for Python's lock and for the CPU, and all
    other writers for this process. Measured with 6 writers and 4 busy loops on 2 cores: 70 writes a second
    by transactions of several statements, one in a hundred waiting 2 to 4 s; 400 and more by single ones, 0.3 s.
    """
    return engine.execution_options(**{_BEGIN: ""})


def patiently(engine: Engine, work: Callable[[Connection], T], *, seconds: float = PATIENCE_SECONDS) -> T:
    """Do `work` in a transaction, again and again while the database is locked, deadlocked or away.

    Raises
    ------
    DatabaseError : it still was at the deadline.
    """
    deadline = Deadline(seconds)
    while True:
        try:
            with engine.begin() as connection:
                return work(connection)
        except OperationalError as error:
            if deadline.expired:
                raise DatabaseError(
                    f"it refused for {in_seconds(seconds)}: {error.orig or error}",
                    where=safe_url(engine),
                    hint="is it up?",
                ) from error
            Deadline(_RETRY_SECONDS).poll(lambda: False, every=_RETRY_SECONDS)


def safe_url(engine: Engine) -> str:
    """Give the engine's URL without its password."""
    return engine.url.render_as_string(hide_password=True)


def probe(engine: Engine) -> None:
    """Connect once, so that a wrong URL is a clear error at the start.

    Raises
    ------
    SettingsError : the database cannot be connected to.
    """
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        what = getattr(error, "orig", None) or error
        raise SettingsError(f"{safe_url(engine)} cannot be opened: {what}", where=URL_VARIABLE) from None


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Let readers and one writer of any process work side by side; survives a killed process."""
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins by reading cannot wait for the lock when it comes to write: SQLite
    # refuses at once, whatever the busy timeout, as its view is outdated. So take the lock first.
    begin = connection.get_execution_options().get(_BEGIN, "BEGIN IMMEDIATE")
    if begin:
        connection.exec_driver_sql(begin)
