"""The states of a job and their transitions; they are the same for every kind of job.

    queued     -> running (claim), cancelled (cancel)
    running    -> succeeded, failed, cancelling (cancel), queued (shutdown, or lease expired with attempts left)
    cancelling -> cancelled, succeeded (it had ended before the cancellation), failed

Every change of status is one conditional UPDATE in `app.services.jobs`, `app.services.cancellation` or `app.services.leases`.
"""

from enum import StrEnum


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
    JobStatus.RUNNING: frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLING, JobStatus.QUEUED}),
    JobStatus.CANCELLING: frozenset({JobStatus.CANCELLED, JobStatus.SUCCEEDED, JobStatus.FAILED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}

LEASED = frozenset({JobStatus.RUNNING, JobStatus.CANCELLING})
ENDED = frozenset(status for status, targets in TRANSITIONS.items() if not targets)
ACTIVE = frozenset(JobStatus) - ENDED


def sources_of(target: JobStatus) -> frozenset[JobStatus]:
    """Return the states from which a job may go to `target`."""
    return frozenset(status for status, targets in TRANSITIONS.items() if target in targets)
