"""A batch prediction: read the dataset in chunks, predict, store the output in parts, join the parts. Torch-free.

The prediction of a row depends on that row alone, so an attempt that resumes another produces the same output. A row that cannot
be encoded, or has no finite logits, gets an `error`; the others continue. A dataset with another number of rows than at its
upload fails the prediction, because predictions would stand beside the wrong rows.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.db.tables import DatasetRow, JobRow, VersionRow
from app.job_types.batch_prediction import BatchPredictionResult
from app.schemas.batch_predictions import BatchPredictionOptions
from app.serving.version_files import VersionFiles
from worker.batch_prediction import onnx_model
from worker.batch_prediction.onnx_model import EncodedRows, OnnxModel, PredictedRows
from worker.batch_prediction.output_parts import OutputParts
from worker.batch_prediction.output_rows import OutputRows
from worker.batch_prediction.prefetch import prefetch
from worker.data.attempt_context import AttemptContext
from worker.data.job_inputs import StoredDataset
from worker.protocol.progress import BadData, ProgressReporter, StopRequested

PREFETCH_DEPTH = 3
PART_BYTES = 32 * 1024**2
METRIC_POINTS = 200
PREDICTION_PROGRESS = 0.95
"""Of a prediction's progress: joining the parts comes after it."""


def run(context: AttemptContext) -> BatchPredictionResult:
    """Run one attempt, from the last checkpoint if there is one.

    Raise StopRequested, BadData, BadParameters, InvalidDataset.
    """
    context.reporter.enter_phase("reading")
    job, settings, storage, folder = context.job, context.settings, context.storage, context.folder
    with context.sessions() as session:
        dataset, version = load_rows(session, job)
    options = BatchPredictionOptions.of_job(job.params)
    model = onnx_model.load(version, options.precision, settings, storage, folder)
    output_rows = OutputRows(model.classes, model.threshold, options)
    parts = OutputParts(storage, context.storage_folder, folder, options.output, context.digest, output_rows.schema.names())
    run = BatchPredictionRun(output_rows, parts, dataset.rows, context.reporter, settings.checkpoint_seconds)
    if job.checkpoint is not None:
        run.resume(job.checkpoint)
    if run.done < dataset.rows:
        context.reporter.enter_phase("predicting")
        encoded = prefetch(encoded_rows(model, StoredDataset(dataset, storage), run.done), PREFETCH_DEPTH)
        run.predict_all(prefetch(map(model.predict, encoded), PREFETCH_DEPTH))
    context.reporter.enter_phase("exporting", PREDICTION_PROGRESS)
    file = parts.concatenate(run.output_rows.schema)
    return BatchPredictionResult(metrics=run.counts(), rows=dataset.rows, file=file)


@dataclass
class BatchPredictionRun:
    """One attempt. `done` rows are predicted; those in `frames` are not stored yet."""

    output_rows: OutputRows
    parts: OutputParts
    total: int
    reporter: ProgressReporter
    checkpoint_seconds: float
    done: int = 0
    frames: list[pl.DataFrame] = field(default_factory=list)
    unsaved: int = 0
    failed: int = 0
    saved_at: float = field(default_factory=time.monotonic)
    started: tuple[float, int] = field(default_factory=lambda: (time.monotonic(), 0))
    next_point: int = 0

    def resume(self, checkpoint: str) -> None:
        """Continue after the stored rows; start again if the checkpoint is missing or from another release."""
        try:
            self.parts.resume(checkpoint)
        except FileNotFoundError:
            self.reporter.warn(
                "checkpoint_missing",
                "The last checkpoint is missing or from another release. The prediction starts again from the first row.",
            )
        self.done, self.failed = self.parts.state.rows, self.parts.state.failed
        self.started, self.next_point = (time.monotonic(), self.done), self.done

    def predict_all(self, predictions: Iterator[PredictedRows]) -> None:
        """Predict all remaining rows. Raise StopRequested after storing them, BadData if there are not `total` rows."""
        self.reporter.report(self.done, 0, self.progress, self.counts())
        for rows, prediction in predictions:
            if self.done + rows > self.total:
                raise BadData(f"The dataset has more rows than the {self.total} of its upload. Upload it again.")
            self._add(self._frame(prediction))
            if self.reporter.should_stop:
                self._store()
                raise StopRequested
        if self.done != self.total:
            raise BadData(f"Only {self.done} of the {self.total} rows of the dataset can be read. Upload it again.")
        self._store()

    @property
    def progress(self) -> float:
        return PREDICTION_PROGRESS * self.done / self.total

    def counts(self) -> dict[str, float]:
        """Return the numbers of rows with and without a prediction, and the speed of this attempt."""
        began_at, began = self.started
        speed = (self.done - began) / max(time.monotonic() - began_at, 1e-9)
        return {"completed": self.done - self.failed, "failed": self.failed, "rows_per_second": round(speed, 1)}

    def _frame(self, prediction: NDArray[np.float32] | str) -> pl.DataFrame:
        if isinstance(prediction, str):
            return self.output_rows.failed_row(self.done + 1, prediction)
        return self.output_rows.from_logits(self.done + 1, prediction)

    def _add(self, frame: pl.DataFrame) -> None:
        self.frames.append(frame)
        self.unsaved += int(frame.estimated_size())
        self.failed += frame.height - frame["error"].null_count()
        self.done += frame.height
        if self.unsaved >= PART_BYTES or time.monotonic() - self.saved_at >= self.checkpoint_seconds:
            self._store()
        if self.done >= self.next_point:
            self.reporter.report(self.done, 0, self.progress, self.counts())
            self.next_point = self.done + self.total // METRIC_POINTS
        self.reporter.update_progress(self.progress)

    def _store(self) -> None:
        if self.frames:
            self.reporter.checkpoint(self.parts.store(self.frames, self.failed - self.parts.state.failed))
        self.frames, self.unsaved, self.saved_at = [], 0, time.monotonic()


def encoded_rows(model: OnnxModel, dataset: StoredDataset, done: int = 0) -> Iterator[EncodedRows]:
    """Yield all rows after the first `done`, encoded; rows that cannot be encoded come one by one."""
    skip = done
    for chunk in dataset.chunks(model.chunk_rows):
        if skip < chunk.rows:
            yield from model.encode_rows(chunk.inputs[skip:] if skip else chunk.inputs, chunk.rows - skip)
        skip = max(skip - chunk.rows, 0)


def load_rows(session: Session, job: JobRow) -> tuple[DatasetRow, VersionFiles]:
    """Return the dataset and the version with its artifacts. Raise BadData."""
    data = session.get(DatasetRow, job.source_id) if job.source_id else None
    version = session.get(VersionRow, job.base_version_id) if job.base_version_id else None
    if data is None or version is None:
        raise BadData("The dataset or the version was deleted. Submit the batch prediction again with existing ones.")
    return data, VersionFiles.of(version)
