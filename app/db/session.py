"""Engines, sessions and the database's clock."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import DateTime, Engine, create_engine, event, literal
from sqlalchemy.engine import Connection, Dialect, make_url
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on every database. SQLite stores it without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class DatabaseClock(FunctionElement[datetime]):
    """The SQL expression of `db_now`."""

    type = UtcDateTime()
    inherit_cache = True


def db_now(seconds: float = 0) -> DatabaseClock:
    """Return the database's clock, `seconds` from now: the clocks of workers are never trusted."""
    return DatabaseClock(literal(float(seconds)))


@compiles(DatabaseClock, "postgresql")
def _postgresql_clock(element: DatabaseClock, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"


@compiles(DatabaseClock, "sqlite")
def _sqlite_clock(element: DatabaseClock, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', ({seconds}) || ' seconds') || '000')"


_POOL: Mapping[str, Any] = {"pool_size": 10, "max_overflow": 20, "pool_timeout": 5}
"""Connections of a process. `app.main` gives requests fewer slots than this, so that no request waits for a connection."""


def make_engine(url: str) -> Engine:
    """Make an engine for PostgreSQL (`postgresql://` means psycopg 3) or SQLite (WAL, immediate transactions)."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(url, parsed.database)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    # detect a silently lost server within seconds, so that a worker's heartbeat does not hang
    silence = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "keepalives_idle": 10, "keepalives_interval": 5}
    return create_engine(parsed, pool_pre_ping=True, connect_args=silence, **_POOL)


def _sqlite_engine(url: str, path: str | None) -> Engine:
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False}, **_POOL)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # SQLAlchemy, not sqlite3, begins transactions
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # a deferred transaction fails on its first write if another one wrote meanwhile; an immediate one waits
        is_read_only = connection.get_execution_options().get(_READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if is_read_only else "BEGIN IMMEDIATE")

    return engine


_READ_ONLY = "isthmus_read_only"
REGISTRY_COMMITS = "registry_commits"


@dataclass(slots=True)
class CommitCounter:
    """The number of commits of a certain kind."""

    count: int = 0


class SessionFactory(sessionmaker[Session]):
    """A maker of sessions that counts their commits which changed the model registry (`app.db.registry_revision`)."""

    def __init__(self, bind: Engine | Connection, **options: Any) -> None:
        self.registry_commits = CommitCounter()
        super().__init__(bind, expire_on_commit=False, info={REGISTRY_COMMITS: self.registry_commits}, **options)

    def for_reading(self) -> Session:
        """Return a session that must not write. On SQLite it neither takes the write lock nor waits for it."""
        return self(bind=self.kw["bind"].execution_options(**{_READ_ONLY: True}))
