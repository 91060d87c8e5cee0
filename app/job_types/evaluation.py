"""Evaluations: jobs that measure versions on a labelled dataset and compare them."""

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.db.label_tables import EvaluationRow
from app.db.tables import JobRow, VersionRow
from app.errors import EvaluationNotFound
from app.job_types.base import JobResult, JobType


class EvaluationResult(JobResult):
    """The figures of each version; the comparisons are in the metrics of the job."""

    versions: dict[UUID, dict[str, Any]]


class Evaluation(JobType[EvaluationResult]):
    """The measurement of one or more versions."""

    result = EvaluationResult
    noun = "evaluation"
    not_found = EvaluationNotFound
    process = "evaluator"
    memory_advice = "Let this machine run fewer jobs at once."
    routes_help = "Model versions measured on a labelled dataset and compared with one another."
    metric_help = "Evaluations by state."
    retries_after_kill = True

    def finish(self, session: Session, job: JobRow, result: EvaluationResult) -> None:
        """Store the figures with the versions that still exist."""
        for version_id, figures in result.versions.items():
            if session.get(VersionRow, version_id) is not None and job.source_id is not None:
                session.add(
                    EvaluationRow(
                        project=job.project, version_id=version_id, job_id=job.id, dataset_id=job.source_id, metrics=figures
                    )
                )


EVALUATION = Evaluation()
