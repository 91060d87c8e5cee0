"""Batch predictions: jobs that apply a version to every row of a dataset."""

from sqlalchemy.orm import Session

from app.db.tables import JobRow, OutputRow
from app.errors import BatchPredictionNotFound
from app.job_types.base import JobResult, JobType
from app.storage import StoredFile


class BatchPredictionResult(JobResult):
    """The output file, with one row for each row of the dataset."""

    rows: int
    file: StoredFile


class BatchPrediction(JobType[BatchPredictionResult]):
    """The prediction of a whole dataset."""

    result = BatchPredictionResult
    noun = "batch prediction"
    not_found = BatchPredictionNotFound
    process = "predictor"
    memory_advice = "Let this machine run fewer jobs at once."
    routes_help = "A model version applied to a whole dataset by the workers."
    metric_help = "Batch predictions by state."
    retries_after_kill = True

    def finish(self, session: Session, job: JobRow, result: BatchPredictionResult) -> None:
        job.output = OutputRow(attempt=job.attempt, rows=result.rows, **result.file.columns())


BATCH_PREDICTION = BatchPrediction()
