"""Trials of a search as jobs of their own, for other workers to run.

Decision: the trainer of a search stays the one that trains it. It offers its trials as jobs, its children, takes them back one
by one to run them itself, and leaves to other workers those that they have begun; when it has no other, it recalls those whose
workers are still getting ready, so that trials of seconds are not waited for. Context: a search must end on one worker as
on many, to the same result, and be resumed like any job. Consequences: nobody waits for a job that is queued, so a worker alone
is never stuck and idle ones are never needed; a child has the states, leases, attempts and checkpoints of every job; a search
that is resumed finds by their names the trials that it offered before. Alternatives: a search that only waits for children
keeps a worker, and a GPU, from working; one that is queued again after every round needs a state of its own.

What the trainer writes here is fenced by the search's attempt: one that has lost its job changes nothing. Nothing here commits.
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
from app.services import job_events
from app.services.cancellation import cancel_jobs

_Parent = aliased(JobRow)


@dataclass(frozen=True, slots=True)
class SearchAttempt:
    """One attempt of a search."""

    job_id: UUID
    attempt: int


def enqueue(session: Session, search: SearchAttempt, orders: Sequence[TrialSpec], precision: TrainingPrecision) -> list[UUID]:
    """Queue those that were never offered; returns their ids, none when the search has lost its job or is being cancelled.

    The search's precision is stored with them: its supervisor may not have written it yet, and the trials read it.
    """
    held = JobRow.id == search.job_id, JobRow.attempt == search.attempt, JobRow.status == JobStatus.RUNNING
    decided = func.coalesce(JobRow.training_precision, precision)
    parent = update_returning_one(session, update(JobRow).where(*held).values(updated_at=db_now(), training_precision=decided))
    if parent is None:
        return []
    known = set(session.scalars(select(JobRow.trial).where(JobRow.parent_id == parent.id)))
    children = [_child(parent, order) for order in orders if order.name not in known]
    session.add_all(children)
    session.flush()
    for child in children:
        job_events.record(session, child, "queued")
    session.flush()
    return [child.id for child in children]


def take_back_queued(session: Session, search: SearchAttempt, name: str) -> JobRow | None:
    """Take back a trial that waits for a worker: none will begin it. None when there is none that waits."""
    return next(iter(cancel_jobs(session, *_of(search, name), JobRow.status == JobStatus.QUEUED)), None)


def take_back_starting(session: Session, search: SearchAttempt, name: str) -> JobRow | None:
    """Take back a trial from a worker that is still getting ready: it has nothing to lose. None when it trains already."""
    is_starting = JobRow.status == JobStatus.RUNNING, JobRow.first_progress.is_(None)
    return next(iter(cancel_jobs(session, *_of(search, name), *is_starting)), None)


def get(session: Session, search: SearchAttempt, name: str) -> JobRow | None:
    """The trial of this name, if it was offered."""
    return session.scalars(select(JobRow).where(JobRow.parent_id == search.job_id, JobRow.trial == name)).one_or_none()


def progress(session: Session, search: SearchAttempt) -> float:
    """Of the trials that other workers run at the moment: the sum, 1 for each that is nearly done."""
    running = JobRow.parent_id == search.job_id, JobRow.status == JobStatus.RUNNING
    return sum(session.scalars(select(JobRow.progress).where(*running)))


def metric_history(session: Session, child: JobRow) -> list[MetricPoint]:
    """All points of a trial's metrics, by step."""
    rows = session.scalars(select(MetricRow).where(MetricRow.job_id == child.id).order_by(MetricRow.step, MetricRow.name))
    return [MetricPoint(step=row.step, epoch=row.epoch, name=row.name, value=row.value) for row in rows]


def stop_trials(session: Session, search_id: UUID) -> None:
    """Cancel the trials of a search that is being cancelled."""
    cancel_jobs(session, JobRow.parent_id == search_id)


def cancel_orphans(session: Session) -> list[UUID]:
    """Cancel the trials of searches that have ended, or will; returns their ids."""
    going_on = select(_Parent.id).where(_Parent.status.in_([JobStatus.QUEUED, JobStatus.RUNNING]))
    left = JobRow.kind == TRIAL.name, JobRow.status.in_([JobStatus.QUEUED, JobStatus.RUNNING])
    free = select(JobRow.id).where(*left, JobRow.parent_id.not_in(going_on)).with_for_update(skip_locked=True)
    return [child.id for child in cancel_jobs(session, JobRow.id.in_(free))]


def _of(search: SearchAttempt, name: str) -> tuple[ColumnElement[bool], ...]:
    held = _Parent.id == search.job_id, _Parent.attempt == search.attempt, _Parent.status == JobStatus.RUNNING
    return JobRow.trial == name, JobRow.parent_id.in_(select(_Parent.id).where(*held))


def _child(parent: JobRow, order: TrialSpec) -> JobRow:
    return JobRow(
        kind=TRIAL.name,
        parent_id=parent.id,
        trial=order.name,
        model_name=parent.model_name,
        base=parent.base,
        params=order.model_dump(mode="json"),
        max_attempts=parent.max_attempts,
    )
