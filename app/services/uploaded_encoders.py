"""The rules of uploaded encoders.

Decision: the id of an upload is `upload:NAME`, and jobs keep it as their base. Context: jobs name catalogue ids, folders and
repositories in the same field. Consequences: an upload hides none of them, and needs no setting to be allowed. An active job
keeps its encoder from being deleted. A version contains the weights, so it outlives the encoder.
"""

from collections.abc import Sequence
from uuid import uuid4

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from app import storage_keys
from app.auth import audit
from app.db.encoder_tables import EncoderRow
from app.db.tables import JobRow
from app.encoders.catalogue import UPLOAD
from app.errors import EncoderInUse, EncoderNameTaken, EncoderNotFound, FieldError, InvalidDataset, InvalidEncoder, InvalidRequest
from app.formats.validation import pointer
from app.job_state import ACTIVE
from app.schemas.encoders import EncoderCreate
from app.services import file_deletions, quotas
from app.services.multipart_uploads import Upload
from app.services.upload_checks.checker import UploadChecker
from app.storage import Storage

MAX_ENCODERS = 1000
"""Uploaded encoders that a list shows."""


def create(
    sessions: "sessionmaker[Session]", storage: Storage, upload: Upload, checker: UploadChecker
) -> tuple[EncoderRow, bool]:
    """Check and store an encoder; return its row, and False if the same upload exists already.

    Raise InvalidRequest, InvalidEncoder, EncoderNameTaken, QuotaExceeded.
    """
    form = _form(upload)
    existing = _same(sessions, form, upload)
    if existing is not None:
        return existing, False
    try:
        modality = checker.check_encoder(upload.path)
    except InvalidDataset as error:
        raise InvalidEncoder(error.message, error.errors) from error
    encoder_id = uuid4()
    fields = {"digest": upload.digest, "size_bytes": upload.size_bytes, "storage_key": storage_keys.encoder_file(encoder_id)}
    row = EncoderRow(id=encoder_id, **form.model_dump(), modality=modality, **fields)
    stored = False
    try:
        storage.put(row.storage_key, upload.path, may_link=True)
        with sessions.begin() as session:
            quotas.check_stored_bytes(session, row.size_bytes)
            session.add(row)
            audit.record(session, "encoder.create", f"encoders/{UPLOAD}{row.name}")
            session.flush()
            stored = True
    except IntegrityError:
        winner = _same(sessions, form, upload)
        if winner is None:
            raise
        return winner, False
    finally:
        if not stored:
            file_deletions.remove(storage, [storage_keys.owner_folder(row.storage_key)])
    return row, True


def every(session: Session) -> Sequence[EncoderRow]:
    """Return the uploaded encoders of the project by name."""
    return session.scalars(select(EncoderRow).order_by(EncoderRow.name).limit(MAX_ENCODERS)).all()


def get(session: Session, encoder_id: str, *, for_job: bool = False) -> EncoderRow:
    """Return an uploaded encoder, locked against deletion if it is for a job. Raise EncoderNotFound."""
    query = select(EncoderRow).where(EncoderRow.name == encoder_id.removeprefix(UPLOAD))
    row = session.scalars(query.with_for_update(read=True) if for_job else query).one_or_none()
    if row is None or not encoder_id.startswith(UPLOAD):
        raise EncoderNotFound(f"There is no encoder {encoder_id!r}.")
    return row


def require(session: Session, pretrained: str, modality: str) -> None:
    """Raise InvalidRequest if a job names an uploaded encoder that does not exist or is for other data."""
    if not pretrained.startswith(UPLOAD):
        return
    try:
        row = get(session, pretrained, for_job=True)
    except EncoderNotFound as error:
        raise InvalidRequest(error.message, [FieldError("/base/pretrained", error.message)]) from error
    if row.modality != modality:
        detail = f"{pretrained} is an encoder of {row.modality} data, the source is {modality} data"
        raise InvalidRequest(detail, [FieldError("/base/pretrained", detail)])


def delete(session: Session, storage: Storage, encoder_id: str) -> None:
    """Delete an encoder and its file. Raise EncoderNotFound, or EncoderInUse while an active job uses it."""
    get(session, encoder_id)
    row = session.scalars(select(EncoderRow).where(EncoderRow.name == encoder_id.removeprefix(UPLOAD)).with_for_update()).one()
    uses = JobRow.base["pretrained"].as_string() == encoder_id
    job_id = session.scalars(select(JobRow.id).where(uses, JobRow.status.in_(ACTIVE)).limit(1)).first()
    if job_id is not None:
        raise EncoderInUse(f"Job {job_id} uses this encoder and has not ended.")
    session.delete(row)
    audit.record(session, "encoder.delete", f"encoders/{encoder_id}")
    file_deletions.schedule(session, storage, [storage_keys.owner_folder(row.storage_key)])


def _form(upload: Upload) -> EncoderCreate:
    try:
        return EncoderCreate.model_validate(upload.fields)
    except ValidationError as error:
        raise InvalidRequest(errors=[FieldError(pointer(*map(str, e["loc"])), e["msg"]) for e in error.errors()]) from error


def _same(sessions: "sessionmaker[Session]", form: EncoderCreate, upload: Upload) -> EncoderRow | None:
    """Return the encoder with the same name, file and fields. Raise EncoderNameTaken if it differs."""
    with sessions.begin() as session:
        row = session.scalars(select(EncoderRow).where(EncoderRow.name == form.name)).one_or_none()
    if row is None:
        return None
    if row.digest == upload.digest and (row.licence, row.speed) == (form.licence, form.speed):
        return row
    raise EncoderNameTaken
