"""Label requests: reading, answers, and the labels that jobs may use."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy import delete as delete_rows
from sqlalchemy.orm import Session, defer, selectinload

from app.auth import audit
from app.db.label_tables import LabelRequestRow, LabelRow
from app.db.session import db_now
from app.errors import FieldError, InvalidRequest, LabelRequestNotFound
from app.formats.names import canonical_name
from app.formats.validation import LIMIT, printable
from app.schemas.label_requests import Answer, Measured
from app.services import pagination
from app.services.label_draws import IMPROVE


def get(session: Session, request_id: UUID, *, previews: bool = False) -> LabelRequestRow:
    """Return a request with its rows. Raise LabelRequestNotFound."""
    row = session.scalars(_requests(previews).where(LabelRequestRow.id == request_id)).one_or_none()
    if row is None:
        raise LabelRequestNotFound(f"There is no label request {request_id}.")
    return row


def page(
    session: Session, model: str | None, version: int | None, limit: int, after: str | None
) -> tuple[list[LabelRequestRow], str | None]:
    """Return one page of requests, newest first, and the cursor of the next one."""
    query = _requests(previews=False)
    if model is not None:
        query = query.where(LabelRequestRow.model_name == model)
    if version is not None:
        query = query.where(LabelRequestRow.version_number == version)
    return pagination.page(session, query, LabelRequestRow, limit, after)


def _requests(previews: bool) -> Select[LabelRequestRow]:
    rows = selectinload(LabelRequestRow.rows)
    return select(LabelRequestRow).options(rows if previews else rows.options(defer(LabelRow.preview)))


def answer(session: Session, request_id: UUID, answers: Sequence[Answer]) -> LabelRequestRow:
    """Store labels. Raise LabelRequestNotFound, InvalidRequest with each answer that cannot be stored."""
    request = get(session, request_id)
    rows = {row.row: row for row in request.rows}
    names = {canonical_name(name) or name: name for name in request.classes}
    errors = []
    for number, given in enumerate(answers):
        row, name = rows.get(given.row), _class_name(given.label, names)
        if row is None:
            errors.append(FieldError(f"/labels/{number}/row", f"row {given.row} is not one of the rows of this request"))
        elif given.label is not None and name is None:
            errors.append(FieldError(f"/labels/{number}/label", _unknown_class(given.label, request.classes)))
        else:
            row.label, row.unclear = name, given.unclear
            row.answered_at = db_now() if name is not None or given.unclear else None
    if errors:
        raise InvalidRequest(errors=errors[:LIMIT])
    request.updated_at = db_now()
    audit.record(session, "label_request.answer", f"label-requests/{request.id}")
    session.flush()
    session.refresh(request, ["updated_at"])
    return request


def _class_name(label: str | None, names: dict[str, str]) -> str | None:
    return None if label is None else names.get(canonical_name(label) or label)


def _unknown_class(label: str, classes: Sequence[str]) -> str:
    """Return what is wrong with a label, and the class that was probably meant."""
    near = get_close_matches(label, classes, n=1)
    meant = f"did you mean {printable(near[0], 50)!r}? " if near else ""
    known = ", ".join(printable(name, 50) for name in classes[:10])
    return (
        f"there is no class {printable(label, 50)!r}: {meant}The classes are {known}{' and others' if len(classes) > 10 else ''}"
    )


def delete(session: Session, request_id: UUID) -> None:
    """Delete a request with its labels. Datasets made from it remain. Raise LabelRequestNotFound."""
    session.execute(delete_rows(LabelRequestRow).where(LabelRequestRow.id == get(session, request_id).id))
    audit.record(session, "label_request.delete", f"label-requests/{request_id}")


def measured(session: Session, version_id: UUID) -> Measured | None:
    """Return the newest figures that labels give for a version."""
    query = _requests(previews=False).where(LabelRequestRow.version_id == version_id, LabelRequestRow.purpose != IMPROVE)
    newest = session.scalars(query.order_by(LabelRequestRow.created_at.desc()).limit(5))
    return next((found for found in map(Measured.by, newest) if found is not None), None)


def labels_for_training(session: Session, dataset_id: UUID) -> dict[str, Any]:
    """Return rows and labels that jobs with this target may learn from, and the rows that measure accuracies."""
    query = select(LabelRow.row, LabelRow.label, LabelRequestRow.purpose).join(LabelRequestRow)
    found = session.execute(query.where(LabelRequestRow.dataset_id == dataset_id).order_by(LabelRow.row)).all()
    learned = {row: label for row, label, purpose in found if purpose == IMPROVE and label is not None}
    return {
        "rows": list(learned),
        "labels": list(learned.values()),
        "measured": sorted({row for row, _, purpose in found if purpose != IMPROVE}),
    }
