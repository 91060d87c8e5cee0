"""Keyset pages over any table with `created_at` and `id`, newest first."""

import base64
import json
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import Session

from app.errors import FieldError, InvalidRequest

Row = TypeVar("Row")


def page(session: Session, query: Select[Row], table: Any, limit: int, after: str | None) -> tuple[list[Row], str | None]:
    """One page of `query` and the cursor of the next one. Raises InvalidRequest for a bad cursor."""
    if after is not None:
        query = query.where(tuple_(table.created_at, table.id) < tuple_(*_decode(after)))
    rows = list(session.scalars(query.order_by(table.created_at.desc(), table.id.desc()).limit(limit + 1)))
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], _encode(rows[limit - 1])


def _encode(row: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps([row.created_at.isoformat(), str(row.id)]).encode()).decode()


def _decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        created_at, row_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        return datetime.fromisoformat(created_at), UUID(row_id)
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidRequest("The cursor is not one of this service.", [FieldError("/query/after", "not a cursor")]) from error
