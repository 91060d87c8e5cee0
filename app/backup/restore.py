"""Reading of a backup into a service."""

from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

import orjson
from alembic.migration import MigrationContext
from pydantic import ValidationError
from sqlalchemy import Connection, Table, bindparam, delete, exists, func, insert, or_, select, text, update
from sqlalchemy.orm import aliased

from app.backup.export import Summary
from app.backup.layout import (
    DESCRIPTION,
    FORMAT,
    TABLES,
    BackupError,
    Description,
    StoredFileSummary,
    file_key,
    from_json,
    late_columns,
    table_key,
)
from app.db.session import db_now, make_engine
from app.db.tables import DatasetRow, FileDeletionRow, JobRow, ModelRow, RegistryRevisionRow
from app.job_state import ACTIVE, LEASED, JobStatus
from app.settings import Settings
from app.storage import Storage, digest_of

BATCH = 500


def read_backup(settings: Settings, url: str, replace: bool) -> Summary:
    """Restore a backup: files first, each verified, then all rows in one transaction. Raise BackupError.

    Jobs that had not ended are queued again and start from the beginning, because checkpoints are not part of a backup.
    """
    source, target = settings.open_storage(url), settings.open_storage()
    description = _description(source)
    engine = make_engine(settings.database)
    try:
        with engine.begin() as connection:
            _check(connection, description, replace)
            _keep_files(connection, description)
        for file in description.files:
            _copy(source, target, file)
        with engine.begin() as connection:
            _check(connection, description, replace)
            _restore_rows(connection, source, description)
        for file in description.files:
            if not target.exists(file.key):  # a sweep that had begun before the restore has removed it
                _copy(source, target, file)
    finally:
        engine.dispose()
    return Summary(description)


def _description(source: Storage) -> Description:
    try:
        with source.open(DESCRIPTION) as file:
            return Description.model_validate_json(file.read())
    except FileNotFoundError as error:
        raise BackupError(f"There is no complete backup in {source.root}: it has no {DESCRIPTION}.") from error
    except ValidationError as error:
        raise BackupError(f"{DESCRIPTION} is not that of a backup.") from error


def _check(connection: Connection, description: Description, replace: bool) -> None:
    """Raise BackupError if the backup does not fit this release, or if the service has data that must not be replaced."""
    revision = MigrationContext.configure(connection).get_current_revision()
    if description.format != FORMAT or description.revision != revision:
        raise BackupError(
            f"The backup is from Isthmus {description.release} with schema {description.revision}; this release has {revision}. "
            "Restore it with that release, then run `isthmus migrate` with this one."
        )
    if replace:
        return
    for table in (DatasetRow, JobRow, ModelRow):
        if connection.scalar(select(exists(select(table.id)))):
            raise BackupError("The service has data. Restore into an empty one, or add --replace to delete what it has.")


def _keep_files(connection: Connection, description: Description) -> None:
    """Delete the pending removals of files of the backup, whose rows were deleted after it was made."""
    restored = {path for file in description.files for path in (file.key, *map(str, PurePosixPath(file.key).parents))}
    for key in restored.intersection(connection.scalars(select(FileDeletionRow.storage_key))):
        connection.execute(delete(FileDeletionRow).where(FileDeletionRow.storage_key == key))


def _copy(source: Storage, target: Storage, file: StoredFileSummary) -> None:
    try:
        with source.local(file_key(file.key)) as path:
            if digest_of(path) != file.digest:
                raise BackupError(f"The file {file.key} of the backup is corrupt. Nothing was restored; use another backup.")
            target.put(file.key, path)
    except FileNotFoundError as error:
        raise BackupError(f"The file {file.key} of the backup is missing. Nothing was restored; use another backup.") from error


def _restore_rows(connection: Connection, source: Storage, description: Description) -> None:
    revision = connection.scalar(select(func.max(RegistryRevisionRow.revision))) or 0
    _empty(connection)
    for table in TABLES:
        if table.name in description.tables:
            _restore_table(connection, source, table, description)
    for table in TABLES:
        _set_late_columns(connection, source, table)
        _continue_sequence(connection, table)
    _queue_active_jobs(connection)
    # running servers drop what they have cached
    newest = func.max(RegistryRevisionRow.revision)
    restored = connection.scalar(select(newest)) or 0
    connection.execute(update(RegistryRevisionRow).values(revision=max(revision, restored) + 1))


def _empty(connection: Connection) -> None:
    for table in TABLES:
        for column in late_columns(table):
            connection.execute(update(table).values({column.name: None}))
    for table in reversed(TABLES):
        if any(key.column.table is table for key in table.foreign_keys):
            _delete_dependants(connection, table)
        connection.execute(table.delete())


def _delete_dependants(connection: Connection, table: Table) -> None:
    """Delete the rows that refer to others of their own table, and that may themselves be referred to."""
    own = [key.parent for key in table.foreign_keys if key.column.table is table]
    nullable = [column for column in own if column.nullable and column.name != "parent_id"]
    for column in nullable:
        connection.execute(update(table).values({column.name: None}))
    for column in own:
        connection.execute(table.delete().where(column.is_not(None)))


def _restore_table(connection: Connection, source: Storage, table: Table, description: Description) -> None:
    late = {column.name for column in late_columns(table)}
    digest = sha256()
    rows = _rows(source, table, digest)
    while batch := [{**row, **dict.fromkeys(late)} for row in islice(rows, BATCH)]:
        connection.execute(insert(table), batch)
    if digest.hexdigest() != description.tables[table.name].digest:
        raise BackupError(f"The table {table.name} of the backup is corrupt. Nothing was restored; use another backup.")


def _set_late_columns(connection: Connection, source: Storage, table: Table) -> None:
    late = [column.name for column in late_columns(table)]
    if not late:
        return
    kept = {"updated_at": table.c.updated_at} if "updated_at" in table.c else {}
    rows = (row for row in _rows(source, table, sha256()) if any(row[name] is not None for name in late))
    statement = (
        update(table).where(table.c.id == bindparam("row_id")).values({name: bindparam(f"new_{name}") for name in late} | kept)
    )
    while batch := [{"row_id": row["id"], **{f"new_{name}": row[name] for name in late}} for row in islice(rows, BATCH)]:
        connection.execute(statement, batch)


def _rows(source: Storage, table: Table, digest: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table and add their bytes to the digest."""
    with source.open(table_key(table.name)) as file:
        for line in file:
            digest.update(line)
            yield from_json(table, orjson.loads(line))


def _continue_sequence(connection: Connection, table: Table) -> None:
    """Let PostgreSQL number new rows after the restored ones."""
    column = table.autoincrement_column
    if connection.dialect.name != "postgresql" or column is None:
        return
    newest = connection.scalar(select(func.max(column)))
    if newest is not None:
        sequence = {"table": table.name, "column": column.name, "newest": newest}
        connection.execute(text("SELECT setval(pg_get_serial_sequence(:table, :column), :newest)"), sequence)


def _queue_active_jobs(connection: Connection) -> None:
    """Queue running jobs again without checkpoints, end those that were being cancelled, drop the trials of active searches."""
    search = aliased(JobRow)
    searching = select(search.id).where(search.status.in_(ACTIVE))
    connection.execute(JobRow.__table__.delete().where(JobRow.parent_id.in_(searching)))  # type: ignore[attr-defined]
    unleased: dict[str, Any] = {
        "lease_owner": None,
        "lease_expires_at": None,
        "checkpoint": None,
        "updated_at": JobRow.updated_at,
    }
    cancelled = {"status": JobStatus.CANCELLED, "finished_at": db_now()}
    cancelling = update(JobRow).where(JobRow.status == JobStatus.CANCELLING)
    connection.execute(cancelling.values(unleased | cancelled))
    queued = {"status": JobStatus.QUEUED, "run_after": db_now(), "sent_at": None, "max_attempts": JobRow.max_attempts + 1}
    running = update(JobRow).where(or_(JobRow.status.in_(LEASED), JobRow.checkpoint.is_not(None)), JobRow.status.in_(ACTIVE))
    connection.execute(running.values(unleased | queued))
