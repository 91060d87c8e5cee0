"""The layout of a backup: tables as JSON lines, files under their keys, and a description that is written last.

Decision: a backup is independent of the database. Context: a service may move from SQLite to PostgreSQL, and the tools of the
databases write formats of their own. Consequences: a backup is read with the tables of the release that wrote it; rows of later
migrations need a restore with that release, then `isthmus migrate`. Alternatives: SQLite's backup API and `pg_dump` are faster,
but a backup could be restored only into the same kind of database.

`backup.json`, `tables/NAME.jsonl`, `files/KEY`
"""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Column, Table, Uuid
from sqlalchemy import Enum as EnumType

from app.db import label_tables  # noqa: F401  # adds its tables to the metadata
from app.db.session import UtcDateTime
from app.db.webhook_tables import WebhookRow

FORMAT = 1
DESCRIPTION = "backup.json"
TABLES: list[Table] = list(WebhookRow.metadata.sorted_tables)
"""All tables, each after those that it refers to, except for references that are set later (`late_columns`)."""


class BackupError(Exception):
    """A backup that cannot be written or read, with the reason and the remedy."""


class TableSummary(BaseModel):
    """One table of a backup."""

    rows: int
    digest: str


class StoredFileSummary(BaseModel):
    """One file of a backup."""

    key: str
    digest: str
    size_bytes: int


class Description(BaseModel):
    """The content of `backup.json`. It is written last, so that a backup without it is incomplete."""

    format: int
    release: str
    revision: str
    created_at: datetime
    tables: dict[str, TableSummary]
    files: list[StoredFileSummary]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def table_key(name: str) -> str:
    """Return the key of a table's rows."""
    return f"tables/{name}.jsonl"


def file_key(key: str) -> str:
    """Return the key of a stored file in the backup."""
    return f"files/{key}"


def late_columns(table: Table) -> list[Column[Any]]:
    """Return the columns that refer to a table that is restored later."""
    return [
        column
        for column in table.columns
        for key in column.foreign_keys
        if key.constraint is not None and key.constraint.use_alter
    ]


def to_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON."""
    return {name: _to_json(value) for name, value in row.items()}


def _to_json(value: Any) -> Any:
    match value:
        case uuid.UUID():
            return str(value)
        case datetime():
            return value.isoformat()
        case Enum():
            return value.value
    return value


def from_json(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the types of the table's columns."""
    return {name: _from_json(table.columns[name], value) for name, value in row.items()}


def _from_json(column: Column[Any], value: Any) -> Any:
    if value is None:
        return None
    match column.type:
        case Uuid():
            return uuid.UUID(value)
        case UtcDateTime():
            return datetime.fromisoformat(value)
        case EnumType(enum_class=enum_class) if enum_class is not None:
            return enum_class(value)
    return value
