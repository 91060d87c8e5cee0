"""An evaluation: the predictions of versions for a labelled dataset, their figures, and a comparison of each pair. Torch-free."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.db.tables import DatasetRow, JobRow, VersionRow
from app.formats.names import canonical_name
from app.job_types.evaluation import EvaluationResult
from app.labels.intervals import mcnemar, paired_difference
from app.serving.probabilities import softmax
from app.serving.version_files import VersionFiles
from worker.batch_prediction import onnx_model
from worker.batch_prediction.onnx_model import OnnxModel
from worker.data.attempt_context import AttemptContext
from worker.data.job_inputs import StoredDataset
from worker.estimates.classification_report import class_metrics, confusion_metrics, metrics_with_intervals
from worker.estimates.confusion import Confusion
from worker.evaluation.outputs import LabelledPredictions
from worker.protocol.progress import BadData, StopRequested


@dataclass(frozen=True, slots=True)
class Subject:
    """A version to measure: its id, its reference, its estimated accuracy and its files."""

    id: UUID
    name: Mapping[str, Any]
    estimate: float | None
    files: VersionFiles


@dataclass(frozen=True, slots=True)
class Predictions:
    """The predictions for all labelled rows, of which `readable` (n,) have one, and the names of the classes."""

    found: LabelledPredictions
    readable: NDArray[np.bool_]
    classes: list[str]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Return which predictions are right (n,); a row that cannot be read is not."""
        return np.asarray(self.readable & self.found.correct)


def run(context: AttemptContext) -> EvaluationResult:
    """Run one attempt. Raise BadData if the dataset or a version was deleted, StopRequested."""
    with context.sessions() as session:
        dataset, subjects = _load(session, context.job)
    found = []
    for number, subject in enumerate(subjects):
        folder = context.folder / str(number)
        folder.mkdir()
        model = onnx_model.load(subject.files, "float32", context.settings, context.storage, folder)
        found.append(_predict(context, model, StoredDataset(dataset, context.storage), (number, len(subjects))))
    figures = [_figures(one, subject.estimate) for one, subject in zip(found, subjects, strict=True)]
    results = [{"version": subject.name, **figure} for subject, figure in zip(subjects, figures, strict=True)]
    return EvaluationResult(
        metrics={"results": results, "comparisons": list(_comparisons(subjects, found))},
        versions={subject.id: figure for subject, figure in zip(subjects, figures, strict=True)},
    )


def _load(session: Session, job: JobRow) -> tuple[DatasetRow, list[Subject]]:
    dataset = session.get(DatasetRow, job.source_id) if job.source_id else None
    subjects = []
    for one in job.params["versions"]:
        version = session.get(VersionRow, UUID(one["id"]))
        if version is None or dataset is None:
            raise BadData("The dataset or a version was deleted. Submit the evaluation again with existing ones.")
        estimate = (version.metrics.get("target_accuracy_estimate") or {}).get("value")
        name = {"model": one["model"], "number": one["number"]}
        subjects.append(Subject(version.id, name, estimate, VersionFiles.of(version)))
    assert dataset is not None
    return dataset, subjects


def _predict(context: AttemptContext, model: OnnxModel, dataset: StoredDataset, turn: tuple[int, int]) -> Predictions:
    """Predict all labelled rows. Raise StopRequested, BadData without labelled rows."""
    classes = [*model.classes]
    numbers = {canonical_name(name) or name: number for number, name in enumerate(classes)}
    parts, labels, done = list[tuple[NDArray[np.float64], NDArray[np.int64]]](), list[int](), 0
    for chunk in dataset.chunks(model.chunk_rows):
        names = chunk.labels or [None] * chunk.rows
        is_labelled = [name is not None and name != "" for name in names]
        confidence, predicted = map(np.concatenate, zip(*_predictions(model, chunk.inputs, chunk.rows), strict=True))
        parts.append((confidence[is_labelled], predicted[is_labelled]))
        for name in filter(None, names):
            if name not in numbers:
                numbers[name] = len(classes)
                classes.append(name)
            labels.append(numbers[name])
        done += chunk.rows
        context.reporter.update_progress((turn[0] + done / dataset.row.rows) / turn[1])
        if context.reporter.should_stop:
            raise StopRequested
    if not labels:
        raise BadData("The dataset has no labelled rows. Upload a labelled one.")
    confidence, predicted = map(np.concatenate, zip(*parts, strict=True))
    return Predictions(LabelledPredictions(np.array(labels, np.int64), predicted, confidence), ~np.isnan(confidence), classes)


def _predictions(model: OnnxModel, inputs: Any, rows: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Yield confidences (n,), NaN where rows cannot be read, and predicted classes (n,)."""
    for count, logits in map(model.predict, model.encode_rows(inputs, rows)):
        if isinstance(logits, str):
            yield np.full(count, np.nan), np.zeros(count, np.int64)
        else:
            yield softmax(logits.astype(np.float64)).max(axis=1), logits.argmax(axis=1)


def _figures(found: Predictions, estimate: float | None) -> dict[str, Any]:
    """Return the figures of `app.schemas.evaluation_figures.Figures`. Raise BadData if no row can be read."""
    readable, all_rows = found.readable, found.found
    rows = LabelledPredictions(all_rows.labels[readable], all_rows.predicted[readable], all_rows.confidence[readable])
    if not len(rows.labels):
        raise BadData("The version cannot read any row of the dataset. Compare its columns with those of the source.")
    confusion = Confusion.of(rows.labels, rows.predicted, len(found.classes))
    intervals = metrics_with_intervals(rows, confusion, np.random.default_rng(0))
    accuracy = intervals["accuracy"]
    return {
        "rows": len(rows.labels),
        "failed": int((~readable).sum()),
        **{name: asdict(interval) for name, interval in intervals.items()},
        "labels": found.classes,
        "classes": class_metrics(confusion, found.classes),
        **confusion_metrics(confusion, found.classes),
        "estimate": None
        if estimate is None
        else {
            "value": estimate,
            "error": estimate - accuracy.value,
            "inside_interval": accuracy.low <= estimate <= accuracy.high,
        },
    }


def _comparisons(subjects: Sequence[Subject], found: Sequence[Predictions]) -> Iterator[dict[str, Any]]:
    """Yield a comparison of each pair of versions, on the rows that both can read."""
    for (first, one), (second, other) in combinations(zip(subjects, found, strict=True), 2):
        shared = one.readable & other.readable
        better = int((one.correct & ~other.correct & shared).sum())
        worse = int((~one.correct & other.correct & shared).sum())
        difference = paired_difference(max(int(shared.sum()), 1), better, worse)
        yield {
            "first": first.name,
            "second": second.name,
            "difference": asdict(difference),
            "only_first_correct": better,
            "only_second_correct": worse,
            "p_value": mcnemar(better, worse),
            "better": "first" if difference.low > 0 else "second" if difference.high < 0 else "unsure",
        }
