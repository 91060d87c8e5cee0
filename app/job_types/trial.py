"""Trials: jobs that train one candidate of another job's search, on another worker."""

from sqlalchemy.orm import Session

from app.db.tables import JobRow
from app.job_types.base import JobResult, JobType


class TrialResult(JobResult):
    """The figures of the trial; its network is in the storage, where the search reads it."""


class Trial(JobType[TrialResult]):
    """The training of one candidate."""

    result = TrialResult
    noun = "trial"
    metric_help = "Trials that searches share with other workers, by state."
    may_use_several_processes = True

    def finish(self, session: Session, job: JobRow, result: TrialResult) -> None:
        """Write nothing: the search reads the metrics of the job."""


TRIAL = Trial()
