"""The rules of datasets.

Decision: deleting a dataset removes its file and hides its row; the row stays. Context: jobs and versions refer to their
datasets, and the lineage of a version must stay complete. Consequences: a deleted dataset can be uploaded again, because its
fingerprint is freed; old jobs keep an id that is answered with 404. Alternatives: null in the jobs' columns loses the lineage; a
refusal to delete the datasets of ended jobs keeps every file forever.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Select, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, joinedload, selectinload, sessionmaker

from app import storage_keys
from app.auth import audit
from app.db.outages import is_disk_full
from app.db.session import db_now
from app.db.tables import DatasetRow, JobRow, reads_dataset
from app.errors import DatasetInUse, DatasetNotFound, InsufficientStorage
from app.job_state import ACTIVE
from app.labels.row_labels import RowLabels
from app.modalities import MODALITIES
from app.modalities.base import DatasetFile, Profile
from app.services import file_deletions, pagination, quotas
from app.services.format_detection import DetectedFormat, parse_form
from app.services.multipart_uploads import Upload
from app.services.upload_checks.checker import UploadChecker
from app.storage import Storage

log = structlog.get_logger()
MAX_PREVIEW_ROWS = 50
_VISIBLE = DatasetRow.deleted_at.is_(None)


def create(
    sessions: "sessionmaker[Session]", storage: Storage, upload: Upload, checker: UploadChecker
) -> tuple[DatasetRow, bool]:
    """Check, store and record an upload; return its row, and False if the same upload exists already.

    It takes a session factory, because the check may take minutes and must not hold a transaction.
    Raise InvalidRequest, InvalidDataset, QuotaExceeded.
    """
    form = parse_form(upload.fields)
    detected = checker.detect(upload.path, upload.filename, form)
    fingerprint = _fingerprint(upload.digest, detected)
    existing = _find_duplicate(sessions, fingerprint)
    if existing is not None:
        return existing, False
    profile = checker.check(upload.path, detected)
    row = _row(upload, form.name, detected, profile, fingerprint)
    return _store(sessions, storage, upload.path, row)


def reinterpret(
    sessions: "sessionmaker[Session]", storage: Storage, row: DatasetRow, fields: Mapping[str, str], checker: UploadChecker
) -> tuple[DatasetRow, bool]:
    """Make a dataset from the bytes of another one; return its row, and False if the same one exists already.

    Raise DatasetNotFound if the other one was deleted, and the errors of `create`.
    """
    if not storage.exists(row.storage_key):
        raise DatasetNotFound(f"The file of the dataset {row.id} is no longer in the storage.")
    with storage.local(row.storage_key) as path:
        return create(sessions, storage, Upload(path, row.filename, row.digest, row.size_bytes, fields), checker)


def add_copy(sessions: "sessionmaker[Session]", storage: Storage, origin: DatasetRow, row: DatasetRow) -> tuple[DatasetRow, bool]:
    """Store another dataset with the same file; return its row, and False if it exists already.

    Raise DatasetNotFound if the file was deleted, QuotaExceeded.
    """
    existing = _find_duplicate(sessions, str(row.fingerprint))
    if existing is not None:
        return existing, False
    if not storage.exists(origin.storage_key):
        raise DatasetNotFound(f"The file of the dataset {origin.id} is no longer in the storage.")
    with storage.local(origin.storage_key) as path:
        return _store(sessions, storage, path, row)


def get(session: Session, dataset_id: UUID) -> DatasetRow:
    """Return one dataset. Raise DatasetNotFound."""
    return _get(session, dataset_id, select(DatasetRow))


def page(session: Session, limit: int, after: str | None) -> tuple[list[DatasetRow], str | None]:
    """Return one page, newest first, and the cursor of the next one. Raise InvalidRequest for a bad cursor."""
    return pagination.page(session, select(DatasetRow).where(_VISIBLE), DatasetRow, limit, after)


def delete(session: Session, storage: Storage, dataset_id: UUID) -> None:
    """Remove the file and hide the row. Raise DatasetNotFound, or DatasetInUse while an active job uses it."""
    # a job is being posted with this dataset: its foreign key holds the row until the job can be seen here
    row = _get(session, dataset_id, select(DatasetRow).with_for_update())
    job_id = session.scalars(select(JobRow.id).where(reads_dataset(row.id), JobRow.status.in_(ACTIVE)).limit(1)).first()
    if job_id is not None:
        raise DatasetInUse(f"Job {job_id} uses this dataset and has not ended.")
    row.fingerprint, row.deleted_at = None, db_now()
    audit.record(session, "dataset.delete", f"datasets/{row.id}")
    file_deletions.schedule(session, storage, [storage_keys.dataset_folder(row.id)])


def change(session: Session, dataset_id: UUID, values: Mapping[str, Any]) -> DatasetRow:
    """Set name, description or tags. Raise DatasetNotFound."""
    row = get(session, dataset_id)
    for name, value in values.items():
        setattr(row, name, value)
    audit.record(session, "dataset.change", f"datasets/{row.id}")
    return row


def stored_preview(row: DatasetRow, storage: Storage) -> list[dict[str, Any]] | None:
    """Return the first examples as JSON, or None until `make_preview` has stored them."""
    try:
        with storage.open(storage_keys.dataset_preview(row.id)) as file:
            rows: list[dict[str, Any]] = json.load(file)
    except FileNotFoundError:
        return None
    return rows


def make_preview(
    sessions: "sessionmaker[Session]", storage: Storage, row: DatasetRow, checker: UploadChecker
) -> list[dict[str, Any]]:
    """Read the first examples, store them beside the dataset and return them. Raise DatasetNotFound if it was deleted."""
    if not storage.exists(row.storage_key):
        raise DatasetNotFound(f"The file of the dataset {row.id} is no longer in the storage.")
    with storage.local(row.storage_key) as path:
        rows = _examples(row, path, range(MAX_PREVIEW_ROWS), checker)
    try:
        _store_preview(storage, row, rows)
    except (OSError, InsufficientStorage) as error:  # on a full disk the next request makes it again
        log.warning("dataset.preview_not_stored", dataset_id=str(row.id), error=str(error))
    else:
        _delete_late_preview(sessions, storage, row.id)
    return rows


def _examples(row: DatasetRow, path: Path, positions: range, checker: UploadChecker) -> list[dict[str, Any]]:
    """Return the previews of the examples at these positions; those of a dataset of labels with its labels."""
    labels = RowLabels.of(row.profile)
    if labels is None:
        return checker.preview(dataset_file(row, path), row.modality, positions)
    of_file = labels.positions[positions.start : positions.stop]
    return labels.show(checker.preview(dataset_file(row, path), row.modality, of_file), row.profile, positions.start)


def read_rows(storage: Storage, row: DatasetRow, first: int, limit: int, checker: UploadChecker) -> list[dict[str, Any]]:
    """Return examples from the row number `first`, each with its number. Raise DatasetNotFound if the file was deleted."""
    with _local_file(storage, row) as path:
        examples = _examples(row, path, range(first - 1, first - 1 + limit), checker)
    return [{"row": number, "example": example} for number, example in enumerate(examples, first)]


def read_row(storage: Storage, row: DatasetRow, number: int, checker: UploadChecker) -> dict[str, Any]:
    """Return one example in full. Raise DatasetNotFound if there is no such row."""
    with _local_file(storage, row) as path:
        labels = RowLabels.of(row.profile)
        if labels is None:
            examples = checker.example(dataset_file(row, path), row.modality, number - 1)
        else:
            found = (checker.example(dataset_file(row, path), row.modality, one)[0] for one in labels.positions[number - 1 :][:1])
            examples = labels.show(found, row.profile, number - 1)
    if not examples:
        raise DatasetNotFound(f"The dataset has {row.rows} rows, and no row {number}.")
    return {"row": number, "example": examples[0]}


@contextmanager
def _local_file(storage: Storage, row: DatasetRow) -> Iterator[Path]:
    if not storage.exists(row.storage_key):
        raise DatasetNotFound(f"The file of the dataset {row.id} is no longer in the storage.")
    with storage.local(row.storage_key) as path:
        yield path


def usages(session: Session, dataset_id: UUID, limit: int, after: str | None) -> tuple[list[JobRow], str | None]:
    """Return one page of the jobs of all kinds that name a dataset, newest first. Raise DatasetNotFound."""
    row = get(session, dataset_id)
    query = select(JobRow).where(reads_dataset(row.id), JobRow.parent_id.is_(None))
    query = query.options(joinedload(JobRow.version), selectinload(JobRow.further_sources))
    return pagination.page(session, query, JobRow, limit, after)


def _store_preview(storage: Storage, row: DatasetRow, rows: list[dict[str, Any]]) -> None:
    with NamedTemporaryFile() as file:
        file.write(json.dumps(rows).encode())
        file.flush()
        storage.put(storage_keys.dataset_preview(row.id), Path(file.name))


def _delete_late_preview(sessions: "sessionmaker[Session]", storage: Storage, dataset_id: UUID) -> None:
    """Delete the folder again if the dataset was deleted while its preview was made."""
    with sessions.begin() as session:
        is_visible = session.scalar(select(DatasetRow.id).where(DatasetRow.id == dataset_id, _VISIBLE)) is not None
    if not is_visible:
        file_deletions.remove(storage, [storage_keys.dataset_folder(dataset_id)])


def load(session: Session, reference: UUID | str) -> DatasetRow:
    """Return a dataset by id or name for a job, locked against deletion until the transaction ends. Raise DatasetNotFound.

    Of several datasets with the name it is the newest.
    """
    dataset_id = reference if isinstance(reference, UUID) else _newest(session, reference)
    return _get(session, dataset_id, select(DatasetRow).with_for_update(read=True))


def _newest(session: Session, name: str) -> UUID:
    newest = select(DatasetRow.id).where(DatasetRow.name == name, _VISIBLE).order_by(DatasetRow.created_at.desc(), DatasetRow.id)
    dataset_id = session.scalars(newest.limit(1)).first()
    if dataset_id is None:
        raise DatasetNotFound(f"There is no dataset named {name!r}.")
    return dataset_id


def dataset_file(row: DatasetRow, path: Path) -> DatasetFile:
    """Describe the stored file at `path` for the modalities."""
    options = MODALITIES[row.modality].options.model_validate(row.options)
    labels = RowLabels.of(row.profile)
    return DatasetFile(path, row.format, options, labels.file_labelled if labels else row.labelled, row.profile)


def profile_of(row: DatasetRow) -> Profile:
    return Profile(row.format, row.rows, row.classes, row.profile)


def joined(rows: Sequence[DatasetRow]) -> DatasetRow:
    """Return several sources of one modality as one dataset, which is in no session; a single one as it is."""
    first = rows[0]
    if len(rows) == 1:
        return first
    profile = reduce(MODALITIES[first.modality].joined, map(profile_of, rows))
    return DatasetRow(
        id=first.id,
        name=first.name,
        modality=first.modality,
        format=first.format,
        options=first.options,
        rows=profile.rows,
        labelled=all(row.labelled for row in rows),
        classes=profile.classes,
        profile=profile.details,
    )


def _get(session: Session, dataset_id: UUID, query: Select[DatasetRow]) -> DatasetRow:
    row = session.scalars(query.where(DatasetRow.id == dataset_id, _VISIBLE)).one_or_none()
    if row is None:
        raise DatasetNotFound(f"There is no dataset {dataset_id}.")
    return row


def _find_duplicate(sessions: "sessionmaker[Session]", fingerprint: str) -> DatasetRow | None:
    with sessions.begin() as session:
        return session.scalars(select(DatasetRow).where(DatasetRow.fingerprint == fingerprint)).one_or_none()


def _fingerprint(digest: str, detected: DetectedFormat) -> str:
    key = [digest, detected.modality.name, detected.format, detected.options.model_dump(mode="json")]
    return sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _row(upload: Upload, name: str, detected: DetectedFormat, profile: Profile, fingerprint: str) -> DatasetRow:
    dataset_id = uuid4()
    return DatasetRow(
        id=dataset_id,
        name=name,
        modality=detected.modality.name,
        filename=upload.filename,
        format=detected.format,
        options=detected.options.model_dump(mode="json"),
        digest=upload.digest,
        fingerprint=fingerprint,
        size_bytes=upload.size_bytes,
        storage_key=storage_keys.dataset_file(dataset_id, detected.format),
        rows=profile.rows,
        labelled=profile.classes is not None,
        classes=profile.classes,
        profile=profile.details,
    )


def _store(sessions: "sessionmaker[Session]", storage: Storage, path: Path, row: DatasetRow) -> tuple[DatasetRow, bool]:
    """Store the file, then insert the row; of two identical uploads at once, the second returns the row of the first.

    When the connection dies during the commit, the row may exist. The file then stays: `isthmus storage` finds it if no row does.
    Raise QuotaExceeded.
    """
    fingerprint, may_be_recorded = str(row.fingerprint), False
    try:
        storage.put(row.storage_key, path, may_link=True)
        with sessions.begin() as session:
            quotas.check_stored_bytes(session, row.size_bytes)
            session.add(row)
            audit.record(session, "dataset.create", f"datasets/{row.id}")
            session.flush()
            may_be_recorded = True
    except IntegrityError:
        winner = _find_duplicate(sessions, fingerprint)
        if winner is None:
            raise
        return winner, False
    except DBAPIError as error:
        may_be_recorded = may_be_recorded and not is_disk_full(error)
        raise
    finally:
        if not may_be_recorded:
            file_deletions.remove(storage, [storage_keys.dataset_folder(row.id)])
    return row, True
