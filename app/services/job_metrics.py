"""The metric series of jobs. Of several points at one step, the one that was reported last counts."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, exists, select, tuple_
from sqlalchemy.orm import Session, aliased

from app.db.tables import MetricRow
from app.services import pagination

_Later = aliased(MetricRow)


def current(job_id: UUID) -> Select[MetricRow]:
    """Return the query of the points that count."""
    is_same = _Later.job_id == MetricRow.job_id, _Later.name == MetricRow.name, _Later.step == MetricRow.step
    replaced = exists().where(*is_same, _Later.event_id > MetricRow.event_id)
    return select(MetricRow).where(MetricRow.job_id == job_id, ~replaced)


def page(
    session: Session, job_id: UUID, name: str | None, limit: int, after: str | None
) -> tuple[Sequence[MetricRow], str | None]:
    """Return a page of points by step and name, and the cursor of the next one. Raise InvalidRequest for a bad cursor."""
    query = current(job_id)
    if name is not None:
        query = query.where(MetricRow.name == name)
    if after is not None:
        query = query.where(tuple_(MetricRow.step, MetricRow.name) > tuple_(*pagination.decode(after, pagination.number, str)))
    points = session.scalars(query.order_by(MetricRow.step, MetricRow.name).limit(limit + 1)).all()
    if len(points) <= limit:
        return points, None
    return points[:limit], pagination.encode(points[limit - 1].step, points[limit - 1].name)
