"""Datasets of the labels of a request (`app.labels.row_labels`)."""

import json
import math
from collections import Counter, defaultdict
from hashlib import sha256
from uuid import UUID, uuid4

from sqlalchemy.orm import Session, sessionmaker

from app import storage_keys
from app.db.label_tables import LabelRequestRow
from app.db.tables import DatasetRow
from app.errors import InvalidRequest
from app.formats.class_labels import in_order
from app.labels.row_labels import KEY, RowLabels, Use
from app.services import datasets, label_requests
from app.services.label_draws import IMPROVE
from app.storage import Storage

NO_LABELS = "The request has no labels yet. Label some of its rows first."


def create(sessions: "sessionmaker[Session]", storage: Storage, request_id: UUID, name: str) -> tuple[DatasetRow, bool]:
    """Store the labels as a dataset; return its row, and False if the same labels are stored already.

    Raise LabelRequestNotFound, DatasetNotFound, InvalidRequest, QuotaExceeded.
    """
    with sessions.begin() as session:
        request = label_requests.get(session, request_id)
        origin = datasets.get(session, request.dataset_id)
        found = _labels(request)
        use: Use = "training" if request.purpose == IMPROVE else "measuring"
    rows, labels = zip(*found, strict=True)
    selected = RowLabels(rows=rows, labels=labels, use=use, file_labelled=origin.labelled)
    return datasets.add_copy(sessions, storage, origin, _row(origin, name, selected))


def _labels(request: LabelRequestRow) -> list[tuple[int, str]]:
    """Return rows with their labels: all of those to learn from, and a proportional part of those that measure.

    A dataset knows no weights, so a stratum must not have more rows than its share. Raise InvalidRequest.
    """
    if request.purpose == "gain":
        raise InvalidRequest("The labels are of disputed rows only and do not represent the target. Use `accuracy` or `both`.")
    labelled: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for row in request.rows:
        if row.label is not None:
            labelled[row.stratum].append((row.row, row.label))
    if not labelled:
        raise InvalidRequest(NO_LABELS)
    sizes = {number: request.strata[number]["rows"] for number in labelled}
    fraction = min(len(found) / sizes[number] for number, found in labelled.items())
    return sorted(one for number, found in labelled.items() for one in found[: math.ceil(fraction * sizes[number])])


def _row(origin: DatasetRow, name: str, labels: RowLabels) -> DatasetRow:
    dataset_id = uuid4()
    counts = Counter(labels.labels)
    key = [str(origin.id), labels.model_dump(mode="json")]
    profile = {key: value for key, value in origin.profile.items() if key != "warnings"}
    return DatasetRow(
        id=dataset_id,
        name=name,
        modality=origin.modality,
        filename=origin.filename,
        format=origin.format,
        options=origin.options,
        digest=origin.digest,
        fingerprint=sha256(json.dumps(key, sort_keys=True).encode()).hexdigest(),
        size_bytes=origin.size_bytes,
        storage_key=storage_keys.dataset_file(dataset_id, origin.format),
        rows=len(labels.rows),
        labelled=True,
        classes={name: counts[name] for name in in_order(counts)},
        profile=profile | {KEY: labels.model_dump(mode="json")},
    )
