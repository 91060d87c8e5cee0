"""Trials of a search as jobs of their own, for other workers.

Decision: the trainer of a search trains it itself. It queues its trials as child jobs, takes them back one by one to run them,
and leaves those to other workers that they have started. When it has no other, it takes back the ones whose workers are still
starting, so that it does not wait for short trials. Context: a search must end on one worker as on many, with the same result,
and resume like any job. Consequences: nothing waits for a queued job, so a single worker never blocks and idle workers are never
required. A child has the states, leases, attempts and checkpoints of every job. A resumed search finds its earlier trials by
name.
Alternatives: a search that only waits for children blocks a worker and its GPU; one that is queued again after every round needs
a state of its own.

All writes are fenced by the search's attempt: a trainer that has lost its job changes nothing. Nothing here commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session, aliased

from app.artifacts import TrainingPrecision
from app.db.job_updates import update_returning_one
from app.db.session import db_now
from app.db.tables import JobRow, MetricRow
from app.job_state import JobStatus
from app.job_types.trial import TRIAL
from app.schemas.trainer_messages import MetricPoint
from app.schemas.trials import TrialSpec
from app.services import job_events, job_metrics
from app.services.cancellation import cancel_jobs

_Parent = aliased(JobRow)


@dataclass(frozen=True, slots=True)
class SearchAttempt:
    """One attempt of a search."""

    job_id: UUID
    attempt: int


def enqueue(session: Session, search: SearchAttempt, specs: Sequence[TrialSpec], precision: TrainingPrecision) -> list[UUID]:
    """Queue the trials that were not queued before; return their ids, none if the search lost its job or is being cancelled.

    The search's precision is stored with them: its supervisor may not have written it yet, and the trials read it.
    """
    condition = JobRow.id == search.job_id, JobRow.attempt == search.attempt, JobRow.status == JobStatus.RUNNING
    decided = func.coalesce(JobRow.training_precision, precision)
    parent = update_returning_one(
        session, update(JobRow).where(*condition).values(updated_at=db_now(), training_precision=decided)
    )
    if parent is None:
        return []
    existing = set(session.scalars(select(JobRow.trial).where(JobRow.parent_id == parent.id)))
    children = [_child(parent, order) for order in specs if order.name not in existing]
    session.add_all(children)
    session.flush()
    for child in children:
        job_events.record(session, child, "queued")
    session.flush()
    return [child.id for child in children]


def take_back_queued(session: Session, search: SearchAttempt, name: str) -> JobRow | None:
    """Take back a trial that waits for a worker, so that none starts it; None if none waits."""
    return next(iter(cancel_jobs(session, *_is_trial_of(search, name), JobRow.status == JobStatus.QUEUED)), None)


def take_back_starting(session: Session, search: SearchAttempt, name: str) -> JobRow | None:
    """Take back a trial from a worker that is still starting and loses nothing; None if it trains already."""
    is_starting = JobRow.status == JobStatus.RUNNING, JobRow.first_progress.is_(None)
    return next(iter(cancel_jobs(session, *_is_trial_of(search, name), *is_starting)), None)


def get(session: Session, search: SearchAttempt, name: str) -> JobRow | None:
    """Return the trial of this name if it was queued."""
    return session.scalars(select(JobRow).where(JobRow.parent_id == search.job_id, JobRow.trial == name)).one_or_none()


def progress(session: Session, search: SearchAttempt) -> float:
    """Return the sum of the progress of all trials that other workers run."""
    running = JobRow.parent_id == search.job_id, JobRow.status == JobStatus.RUNNING
    return sum(session.scalars(select(JobRow.progress).where(*running)))


def metric_history(session: Session, child: JobRow) -> list[MetricPoint]:
    """Return all points of a trial's metrics, by step."""
    rows = session.scalars(job_metrics.current(child.id).order_by(MetricRow.step, MetricRow.name))
    return [MetricPoint(step=row.step, epoch=row.epoch, name=row.name, value=row.value) for row in rows]


def stop_trials(session: Session, search_id: UUID) -> None:
    """Cancel the trials of a search that is being cancelled."""
    cancel_jobs(session, JobRow.parent_id == search_id)


def cancel_orphans(session: Session) -> list[UUID]:
    """Cancel the trials of searches that have ended or are being cancelled; return their ids."""
    running_searches = select(_Parent.id).where(_Parent.status.in_([JobStatus.QUEUED, JobStatus.RUNNING]))
    active = JobRow.kind == TRIAL.name, JobRow.status.in_([JobStatus.QUEUED, JobStatus.RUNNING])
    free = select(JobRow.id).where(*active, JobRow.parent_id.not_in(running_searches)).with_for_update(skip_locked=True)
    return [child.id for child in cancel_jobs(session, JobRow.id.in_(free))]


def _is_trial_of(search: SearchAttempt, name: str) -> tuple[ColumnElement[bool], ...]:
    held = _Parent.id == search.job_id, _Parent.attempt == search.attempt, _Parent.status == JobStatus.RUNNING
    return JobRow.trial == name, JobRow.parent_id.in_(select(_Parent.id).where(*held))


def _child(parent: JobRow, spec: TrialSpec) -> JobRow:
    return JobRow(
        kind=TRIAL.name,
        project=parent.project,
        parent_id=parent.id,
        trial=spec.name,
        model_name=parent.model_name,
        base=parent.base,
        params=spec.model_dump(mode="json"),
        max_attempts=parent.max_attempts,
    )
