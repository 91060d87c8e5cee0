"""The rules of datasets."""

from pathlib import Path
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import DatasetRow
from app.errors import DatasetNotFound, FieldError, IncompatibleDatasets
from app.modalities import MODALITIES
from app.modalities.base import DatasetFile, Profile


def load(session: Session, dataset_id: UUID) -> DatasetRow:
    """A dataset for a job: it cannot be deleted before this transaction ends. Raises DatasetNotFound."""
    query = select(DatasetRow).where(DatasetRow.id == dataset_id, DatasetRow.deleted_at.is_(None))
    row = session.scalars(query.with_for_update(read=True)).one_or_none()
    if row is None:
        raise DatasetNotFound(f"There is no dataset {dataset_id}.")
    return row


def dataset_file(row: DatasetRow, path: Path) -> DatasetFile:
    """The stored file at `path` as the modalities read it."""
    options = MODALITIES[row.modality].options.model_validate(row.options)
    return DatasetFile(path, row.format, options, row.labelled, row.profile)


def profile_of(row: DatasetRow) -> Profile:
    return Profile(row.format, row.rows, row.classes, row.profile)


def check_compatible(source: DatasetRow, target: DatasetRow | None, evaluation: DatasetRow | None) -> None:
    """Raises IncompatibleDatasets naming each difference; pointers are `/source`, `/target` and `/evaluation`."""
    places = []
    if source.classes is None:
        places.append(FieldError("/source", "the source has no labels"))
    if target is not None:
        places += [FieldError("/target", difference) for difference in _differences(source, target)]
    if evaluation is not None:
        places += [FieldError("/evaluation", difference) for difference in _evaluation_differences(source, evaluation)]
    if places:
        raise IncompatibleDatasets("; ".join(place.detail for place in places[:3]), places)


def _differences(source: DatasetRow, other: DatasetRow) -> list[str]:
    if source.modality != other.modality:
        return [f"the source is {source.modality} data, this is {other.modality} data"]
    return MODALITIES[source.modality].differences(profile_of(source), profile_of(other))


def _evaluation_differences(source: DatasetRow, evaluation: DatasetRow) -> list[str]:
    if evaluation.classes is None:
        return [*_differences(source, evaluation), "an evaluation dataset needs labels"]
    unknown = sorted(set(evaluation.classes) - set(source.classes or ()))
    names = ", ".join(repr(name) for name in unknown[:5])
    return _differences(source, evaluation) + ([f"classes that the source does not have: {names}"] if unknown else [])
