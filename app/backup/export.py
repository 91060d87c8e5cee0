"""Writing of a backup while the service runs."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import structlog
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Select, Table, select

from app.backup.layout import (
    DESCRIPTION,
    FORMAT,
    TABLES,
    BackupError,
    Description,
    StoredFileSummary,
    TableSummary,
    file_key,
    table_key,
    to_json,
)
from app.db.encoder_tables import EncoderRow
from app.db.session import SessionFactory, make_engine
from app.db.tables import ArtifactRow, DatasetRow, OutputRow
from app.settings import Settings
from app.storage import Storage

log = structlog.get_logger()

MAX_SNAPSHOTS = 5
"""Snapshots that are taken until all files of one exist: files of rows that are deleted meanwhile disappear."""


class _FileIsGoneError(Exception):
    pass


class Summary:
    """The numbers of a backup."""

    def __init__(self, description: Description) -> None:
        self.rows, self.files, self.size_bytes = description.rows, len(description.files), description.size_bytes


def write_backup(settings: Settings, url: str) -> Summary:
    """Write a backup to an empty folder. Raise BackupError.

    The rows are those of one instant. Their files never change, so they are copied afterwards.
    """
    source, target = settings.open_storage(), settings.open_storage(url)
    if not target.is_empty():
        raise BackupError(f"{url} is not empty. Choose a new folder for the backup.")
    copied: set[str] = set()
    for _ in range(MAX_SNAPSHOTS):
        description = _write_tables(settings.database, target)
        try:
            for file in description.files:
                if file.key not in copied:
                    _copy(source, target, file)
                    copied.add(file.key)
        except _FileIsGoneError as error:
            log.info("backup.repeated", missing=str(error))
            continue
        _put(target, DESCRIPTION, description.model_dump_json(indent=1).encode())
        return Summary(description)
    raise BackupError("Files disappeared during the backup. Run it again while no data is deleted; a file may also be missing.")


def _write_tables(database: str, target: Storage) -> Description:
    """Write all rows of one instant, and return their description."""
    with _snapshot(database) as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        tables = {table.name: _write_table(connection, table, target) for table in TABLES}
        files = [StoredFileSummary(key=key, digest=digest, size_bytes=size) for key, digest, size in connection.execute(_files())]
    return Description(
        format=FORMAT,
        release=version("isthmus"),
        revision=revision or "",
        created_at=datetime.now(UTC),
        tables=tables,
        files=files,
    )


def _write_table(connection: Connection, table: Table, target: Storage) -> TableSummary:
    """Write one row per line, searches before their trials."""
    order = [table.columns[name] for name in ("created_at", "id") if name in table.columns] or list(table.primary_key)
    rows = connection.execution_options(yield_per=1000).execute(select(table).order_by(*order))
    names = list(rows.keys())
    count = 0
    with tempfile.NamedTemporaryFile() as file:
        for row in rows:
            file.write(orjson.dumps(to_json(dict(zip(names, row, strict=True)))) + b"\n")
            count += 1
        file.flush()
        stored = target.put(table_key(table.name), Path(file.name))
    return TableSummary(rows=count, digest=stored.digest)


def _files() -> Select[Any]:
    """Return key, digest and size of all files that rows refer to. Checkpoints are not part of a backup."""
    visible = DatasetRow.deleted_at.is_(None)
    datasets = select(DatasetRow.storage_key, DatasetRow.digest, DatasetRow.size_bytes).where(visible)
    artifacts = select(ArtifactRow.storage_key, ArtifactRow.digest, ArtifactRow.size_bytes)
    outputs = select(OutputRow.storage_key, OutputRow.digest, OutputRow.size_bytes)
    encoders = select(EncoderRow.storage_key, EncoderRow.digest, EncoderRow.size_bytes)
    return select(datasets.union_all(artifacts, outputs, encoders).subquery())


def _copy(source: Storage, target: Storage, file: StoredFileSummary) -> None:
    try:
        with source.local(file.key) as path:
            stored = target.put(file_key(file.key), path)
    except FileNotFoundError as error:
        raise _FileIsGoneError(file.key) from error
    if stored.digest != file.digest:
        raise BackupError(f"The stored file {file.key} is corrupt. Delete its dataset, version or prediction, then run it again.")


def _put(target: Storage, key: str, content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        target.put(key, Path(file.name))


@contextmanager
def _snapshot(database: str) -> Iterator[Connection]:
    """Yield a connection that sees one instant and blocks no writer."""
    engine = make_engine(database)
    is_sqlite = engine.dialect.name == "sqlite"
    options = {} if is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    try:
        with SessionFactory(engine).for_reading() as session:
            yield session.connection(execution_options=options)
    finally:
        engine.dispose()
