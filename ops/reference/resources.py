"""The resources that `sources` keeps: compare-and-set rows, so that older data never overwrites newer."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

from sqlalchemy import JSON, BigInteger, Engine, String, Text, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.reference.database import (
    DEFAULT_URL,
    PATIENCE_SECONDS,
    URL_VARIABLE,
    open_engine,
    patiently,
    probe,
    reading,
    single,
)
from ops.reference.errors import DatabaseError
from ops.reference.lifecycle import Lifecycle, Stage


class Base(DeclarativeBase):
    """All tables of the app."""


class RemoteResource(Base):
    """One resource of a remote system.

    Attributes
    ----------
    details : how its last event described it; `sequence` is that event's number.
    stage, run : whether a refresh is under way, and the token of the latest one.
    content, version : what the remote system gave last; its versions only grow.
    connected : False while the remote system says that it is gone.
    """

    __tablename__ = "remote_resources"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    sequence: Mapped[int] = mapped_column(BigInteger, default=0)
    stage: Mapped[str] = mapped_column(String(16), default=Stage.INITIAL)
    run: Mapped[int] = mapped_column(BigInteger, default=0)
    content: Mapped[str | None] = mapped_column(Text, default=None)
    version: Mapped[int] = mapped_column(BigInteger, default=0)
    connected: Mapped[bool] = mapped_column(default=True)


_TABLE = RemoteResource.__table__
_ROW = RemoteResource
_OPENING = Lock()
# made once, not for each message: that took half of the CPU time of a write
_DESCRIBE = (
    update(_ROW)
    .where(_ROW.id == bindparam("key"), _ROW.sequence <= bindparam("number"))
    .values(details=bindparam("described", type_=JSON), sequence=bindparam("number"))
)


@dataclass(frozen=True)
class Run:
    """One refresh under way: only its holder may finish it, and only while nobody has taken over."""

    id: str
    token: int


@dataclass(frozen=True)
class Snapshot:
    """A row as it was read."""

    id: str
    details: dict[str, Any]
    sequence: int
    stage: Stage
    run: int
    content: str | None
    version: int
    connected: bool


class Resources:
    """The table, as the app uses it; safe to share between threads, processes and hosts.

    Raises
    ------
    DatabaseError : by every method, if the database keeps refusing.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = reading(engine)
        self._single = single(engine)

    def create_table(self) -> None:
        """Make the table where it is missing; any number of processes may do so at once."""
        deadline = Deadline(PATIENCE_SECONDS)
        while True:
            try:
                Base.metadata.create_all(self._engine)
            except (OperationalError, ProgrammingError, IntegrityError):
                if deadline.expired:
                    raise
                Deadline(0.05).poll(lambda: False, every=0.05)  # somebody else is making it
            else:
                return

    def put(self, id: str, details: dict[str, Any], sequence: int) -> bool:
        """Add a resource, or describe it anew; False if a later event has described it already."""
        described = {"key": id, "described": details, "number": sequence}
        added = insert(_ROW).values(id=id, details=details, sequence=sequence)
        deadline = Deadline(PATIENCE_SECONDS)
        while not deadline.expired:
            if self._write(_DESCRIBE, described):
                return True
            latest = patiently(self._reader, lambda c: c.execute(select(_ROW.sequence).where(_ROW.id == id)).scalar())
            if latest is not None and latest > sequence:
                return False
            if latest is None:
                with suppress(IntegrityError):  # somebody was faster: look again
                    return self._write(added)
        raise _changing(id)

    def remove(self, id: str) -> bool:
        """Forget a resource; False if it is not there."""
        return self._write(delete(_ROW).where(_ROW.id == id))

    def get(self, id: str) -> Snapshot | None:
        """Read a row."""
        found = patiently(self._reader, lambda c: c.execute(select(*_TABLE.columns).where(_ROW.id == id)).first())
        return None if found is None else Snapshot(**{**found._mapping, "stage": Stage(found.stage)})

    def ids(self) -> list[str]:
        """Give the ids of all resources, sorted."""
        return list(patiently(self._reader, lambda c: c.execute(select(_ROW.id).order_by(_ROW.id)).scalars().all()))

    def run(self, id: str) -> Run | None:
        """Begin a refresh, taking over one that is under way; None if there is no such resource."""
        standing = select(_ROW.stage, _ROW.run).where(_ROW.id == id)
        deadline = Deadline(PATIENCE_SECONDS)
        while not deadline.expired:
            seen = patiently(self._reader, lambda c: c.execute(standing).first())
            if seen is None:
                return None
            life = Lifecycle(Stage(seen.stage))
            life.run()
            token = seen.run + 1
            # Of two who run at once one gets this token, and the other looks again.
            if self._write(update(_ROW).where(_ROW.id == id, _ROW.run == seen.run).values(stage=life.stage, run=token)):
                return Run(id, token)
        raise _changing(id)

    def finish(self, run: Run, content: str, version: int) -> bool:
        """End a refresh with what was fetched.

        False, and nothing of it is written, if somebody has taken over or the row is newer.
        """
        newer = _ROW.version <= version
        written = self._end(run, {"content": content, "version": version, "connected": True}, newer)
        return written or (self._end(run, {}) and False)

    def disconnect(self, run: Run) -> bool:
        """End a refresh of a resource that is gone; content and version stay. False if somebody has taken over."""
        return self._end(run, {"connected": False})

    def abandon(self, run: Run) -> bool:
        """End a refresh that failed; nothing of the row changes. False if somebody has taken over."""
        return self._end(run, {})

    def _end(self, run: Run, values: dict[str, Any], *conditions: Any) -> bool:
        life = Lifecycle(Stage.RUNNING)
        life.finish()
        held = (_ROW.id == run.id, _ROW.run == run.token, _ROW.stage == Stage.RUNNING)
        statement = update(_ROW).where(*held, *conditions).values({**values, "stage": life.stage})
        return self._write(statement)

    def _write(self, statement: Any, values: dict[str, Any] | None = None) -> bool:
        """Execute one statement, and nothing else, in a transaction; whether it changed anything."""
        return bool(patiently(self._single, lambda c: c.execute(statement, values).rowcount))

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _changing(id: str) -> DatabaseError:
    return DatabaseError(
        f"others changed it again and again for {in_seconds(PATIENCE_SECONDS)}", where=f"resource {id}"
    )


def open_resources() -> Resources:
    """Give this process's resources, in the database that SOURCES_DATABASE_URL names.

    Raises
    ------
    SettingsError : it names none that can be opened.
    """
    with _OPENING:
        return _open(os.environ.get(URL_VARIABLE) or DEFAULT_URL)


@lru_cache(maxsize=1)
def _open(url: str) -> Resources:
    engine = open_engine(url)
    probe(engine)
    resources = Resources(engine)
    resources.create_table()
    return resources
