"""Keyset pages over tables with `created_at` and `id`, newest first, and cursors for other orders."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import Session

from app.errors import FieldError, InvalidRequest

Row = TypeVar("Row")


def page(session: Session, query: Select[Row], table: Any, limit: int, after: str | None) -> tuple[list[Row], str | None]:
    """Return one page of `query` and the cursor of the next one. Raise InvalidRequest for a bad cursor."""
    rows: list[Any] = list(session.scalars(keyset(query, table, limit, after)))
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], encode(last.created_at.isoformat(), last.id)


def keyset(query: Select[Row], table: Any, limit: int, after: str | None) -> Select[Row]:
    """Return the query of one page and one more row, newest first. Raise InvalidRequest for a bad cursor."""
    if after is not None:
        query = query.where(tuple_(table.created_at, table.id) < tuple_(*decode(after, utc, UUID)))
    return query.order_by(table.created_at.desc(), table.id.desc()).limit(limit + 1)


def encode(*key: object) -> str:
    """Return a cursor that holds the key of the last row of a page."""
    return base64.urlsafe_b64encode(json.dumps([str(part) for part in key]).encode()).decode()


def decode(cursor: str, *kinds: Callable[[str], Any]) -> list[Any]:
    """Return the key of a cursor, with each value parsed by its type. Raise InvalidRequest for foreign cursors."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if any("\x00" in part for part in parts):
            raise ValueError("NUL")
        return [kind(part) for kind, part in zip(kinds, parts, strict=True)]
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InvalidRequest("The cursor is not one of this service.", [FieldError("/query/after", "not a cursor")]) from error


def number(text: str) -> int:
    """Parse a whole number that every database can store, for `decode`."""
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError("too large")
    return value


def utc(text: str) -> datetime:
    """Parse an instant, for `decode`."""
    return datetime.fromisoformat(text).astimezone(UTC)
