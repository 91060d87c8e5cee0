"""The draw of rows to label: from the outputs of a version on its target, without rows that have another use.

Decision: a row is labelled to measure or to learn from, never both. Context: a model that has learned a row predicts it well, and
an accuracy measured on it is too high. Consequences: draws exclude rows of the other use, and jobs refuse labels of the other
use. Alternatives: a part of each request held back, which needs twice as many labels for the same interval.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.artifacts import Manifest
from app.auth import audit
from app.db.label_tables import LabelRequestRow, LabelRow
from app.db.session import db_now
from app.db.tables import DatasetRow, VersionRow
from app.errors import ArtifactCorrupt, FieldError, InvalidRequest, RowsTaken
from app.labels.informative_rows import informative_rows
from app.labels.sampling import DrawnRow, Stratum, accuracy_strata, both_strata, draw, gain_strata
from app.labels.target_outputs import TARGET_FILE, TargetOutputs
from app.schemas.label_requests import LabelRequestCreate
from app.services import datasets, models
from app.services.upload_checks.checker import UploadChecker
from app.storage import Storage

IMPROVE = "improve"
INFORMATIVE = "informative"


@dataclass(frozen=True, slots=True)
class DrawPlan:
    """What a draw needs from the database. `excluded` are rows with another use, numbered from 1."""

    request: LabelRequestCreate
    model: str
    version: VersionRow
    dataset: DatasetRow
    outputs_key: str
    excluded: frozenset[int]


@dataclass(frozen=True, slots=True)
class Draw:
    """The drawn rows with their previews, which the database does not have yet."""

    plan: DrawPlan
    seed: int
    strata: Sequence[Stratum]
    total: int
    rows: Sequence[LabelRow]


def plan(session: Session, name: str, number: int, request: LabelRequestCreate) -> DrawPlan:
    """Return what a draw needs. Raise ModelNotFound, DatasetNotFound, InvalidRequest."""
    version = models.version(session, name, number)
    key = next((artifact.storage_key for artifact in version.artifacts if artifact.name == TARGET_FILE), None)
    target = version.job.target_id
    if key is None or target is None:
        raise InvalidRequest(
            f"Version {number} of {name} has no predictions of a target to draw from: its job had no target, or an earlier "
            "release ran it. Train it again with a target."
        )
    excluded = _rows_of_other_use(session, target, request.purpose)
    return DrawPlan(request, name, version, datasets.get(session, target), key, excluded)


def _rows_of_other_use(session: Session, dataset_id: UUID, purpose: str) -> frozenset[int]:
    """Return the rows that learn if this purpose measures. A draw to learn from excludes all rows of earlier requests."""
    query = select(LabelRow.row).join(LabelRequestRow).where(LabelRequestRow.dataset_id == dataset_id)
    if purpose != IMPROVE:
        query = query.where(LabelRequestRow.purpose == IMPROVE)
    return frozenset(session.scalars(query))


def draw_rows(storage: Storage, plan: DrawPlan, checker: UploadChecker) -> Draw:
    """Draw the rows and make their previews. Raise InvalidRequest, ArtifactCorrupt, DatasetNotFound."""
    outputs = _outputs(storage, plan).without(plan.excluded)
    seed = secrets.randbelow(2**31)
    strata = _strata(outputs, plan)
    drawn = draw(strata, plan.request.count, seed)
    if not drawn:
        raise InvalidRequest("No row is left: all have labels already. Use those, or train with another target.")
    previews = _previews(storage, plan.dataset, [int(outputs.rows[one.position]) for one in drawn], checker)
    rows = [_row(number, one, outputs, previews) for number, one in enumerate(drawn)]
    return Draw(plan, seed, strata, len(outputs.rows), rows)


def _outputs(storage: Storage, plan: DrawPlan) -> TargetOutputs:
    try:
        with storage.open(plan.outputs_key) as file:
            return TargetOutputs.read(file)
    except FileNotFoundError as error:
        raise ArtifactCorrupt(f"`{TARGET_FILE}` of this version is missing. Train the version again.") from error


def _strata(outputs: TargetOutputs, plan: DrawPlan) -> list[Stratum]:
    purpose, confidence = plan.request.purpose, outputs.confidence.astype(np.float64)
    if purpose == "accuracy":
        return accuracy_strata(confidence)
    if purpose == IMPROVE:
        chosen = informative_rows(outputs.margin.astype(np.float64), outputs.components, plan.request.count)
        return [Stratum(INFORMATIVE, chosen, 1.0)]
    if outputs.source_only is None:
        detail = "the version has no source-only model to compare with; choose `accuracy`"
        raise InvalidRequest(errors=[FieldError("/purpose", detail)])
    if purpose == "both":
        return both_strata(confidence, outputs.disputed)
    if not outputs.disputed.any():
        detail = f"the version and its source-only model agree on all {len(outputs.rows)} rows: the gain is 0 for any labels"
        raise InvalidRequest(errors=[FieldError("/purpose", detail)])
    return gain_strata(outputs.disputed)


def _previews(storage: Storage, dataset: DatasetRow, rows: list[int], checker: UploadChecker) -> dict[int, dict[str, Any]]:
    """Return the previews by row, without the labels that the file may have."""
    ordered = sorted(rows)
    with storage.local(dataset.storage_key) as path:
        file = replace(datasets.dataset_file(dataset, path), labelled=False)
        examples = checker.preview(file, dataset.modality, [row - 1 for row in ordered])
    if len(examples) != len(ordered):
        raise InvalidRequest(f"The dataset {dataset.id} has fewer rows than at the training. Upload it again and train again.")
    return dict(zip(ordered, examples, strict=True))


def _row(number: int, drawn: DrawnRow, outputs: TargetOutputs, previews: dict[int, dict[str, Any]]) -> LabelRow:
    row = int(outputs.rows[drawn.position])
    return LabelRow(
        position=number,
        row=row,
        stratum=drawn.stratum,
        predicted=outputs.predicted[drawn.position],
        source_only=None if outputs.source_only is None else outputs.source_only[drawn.position],
        preview=previews[row],
        label=None,
        unclear=False,
    )


def store(session: Session, drawn: Draw) -> LabelRequestRow:
    """Store the request; take over the answers that other requests have for its rows.

    Raise RowsTaken if a request for another use has taken one of the rows meanwhile.
    """
    plan = drawn.plan
    session.execute(select(DatasetRow.id).where(DatasetRow.id == plan.dataset.id).with_for_update())
    if _rows_of_other_use(session, plan.dataset.id, plan.request.purpose) & {row.row for row in drawn.rows}:
        raise RowsTaken
    _take_over_answers(session, drawn)
    estimate = plan.version.metrics.get("target_accuracy_estimate") or {}
    request = LabelRequestRow(
        model_name=plan.model,
        version_number=plan.version.number,
        version_id=plan.version.id,
        dataset_id=plan.dataset.id,
        purpose=plan.request.purpose,
        seed=drawn.seed,
        classes=Manifest.read(plan.version.manifest).classes,
        strata=[{"name": stratum.name, "rows": len(stratum.members)} for stratum in drawn.strata],
        total=drawn.total,
        estimate=estimate.get("value"),
        rows=list(drawn.rows),
    )
    session.add(request)
    session.flush()
    audit.record(session, "label_request.create", f"label-requests/{request.id} model {plan.model}:{plan.version.number}")
    return request


def _take_over_answers(session: Session, drawn: Draw) -> None:
    rows = {row.row: row for row in drawn.rows}
    query = select(LabelRow).join(LabelRequestRow).where(LabelRequestRow.dataset_id == drawn.plan.dataset.id)
    classes = set(Manifest.read(drawn.plan.version.manifest).classes)
    for known in session.scalars(query.where(LabelRow.row.in_(rows), LabelRow.answered_at.is_not(None))):
        if known.unclear or known.label in classes:
            row = rows[known.row]
            row.label, row.unclear, row.answered_at = known.label, known.unclear, db_now()
