"""Invariants of the database after all jobs have ended, whatever faults occurred."""

from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, sessionmaker

from app.db.tables import EventRow, JobRow, MetricRow
from app.job_state import ENDED, JobStatus
from app.job_types.adaptation import ADAPTATION
from tests.support.fake_trainer import learned


def violations(sessions: sessionmaker[Session]) -> list[str]:
    """Return every breach as a sentence; empty if the invariants hold."""
    with sessions() as session:
        jobs = session.scalars(select(JobRow).order_by(JobRow.created_at)).all()
        return [f"{job.id}: {breach}" for job in jobs for breach in _breaches(session, job)]


def _breaches(session: Session, job: JobRow) -> Iterator[str]:
    events = session.scalars(select(EventRow).where(EventRow.job_id == job.id).order_by(EventRow.id)).all()
    if job.status not in ENDED:
        yield f"it has not ended but is {job.status}"
    if job.attempt > job.max_attempts:
        yield f"attempt {job.attempt} of {job.max_attempts}"
    yield from _breaches_of_version(job)
    yield from _breaches_of_events(job, events)
    yield from _breaches_of_metrics(session, job)
    yield from _breaches_of_resuming(session, job, events)


def _breaches_of_version(job: JobRow) -> Iterator[str]:
    version, has_succeeded = job.version, job.status is JobStatus.SUCCEEDED
    if (version is not None) != (has_succeeded and job.kind == ADAPTATION.name):
        yield f"it is {job.status} and has version {version}"
    if has_succeeded and job.metrics["total"] != pytest.approx(learned(job.params["steps"], job.params["seed"])):
        yield f"what was learned is wrong: {job.metrics}"
    if version is None:
        return
    if not version.attempt == job.attempt == version.manifest["metrics"]["attempt"]:
        yield f"attempt {version.manifest['metrics']['attempt']} wrote the version, {job.attempt} was the last"
    if version.manifest["metrics"]["total"] != job.metrics["total"]:
        yield f"the version is not what was learned: {version.manifest}"
    if any(not artifact.storage_key.startswith(f"jobs/{job.id}/{job.attempt}/") for artifact in version.artifacts):
        yield "an artifact is not of the last attempt"


def _breaches_of_events(job: JobRow, events: Sequence[EventRow]) -> Iterator[str]:
    starts = [event.attempt for event in events if event.kind == "started"]
    if starts != list(range(1, job.attempt + 1)):
        yield f"started attempts {starts} of {job.attempt}"
    current = 0
    for event in events:
        current = max(current, event.attempt)
        writers = {int(point["value"]) for point in event.content().get("points", []) if point["name"] == "attempt"}
        if event.attempt < current or writers - {event.attempt}:
            yield f"event {event.kind} of attempt {writers or event.attempt} after attempt {current} started"
    if [event.kind for event in events].count("done") != (job.status in ENDED):
        yield "it does not have one `done`"


def _breaches_of_metrics(session: Session, job: JobRow) -> Iterator[str]:
    points = session.execute(select(MetricRow.attempt, MetricRow.value).where(_is(job, "attempt"))).all()
    wrong = [(attempt, writer) for attempt, writer in points if attempt != writer]
    if wrong:
        yield f"points of other attempts: {wrong[:5]}"


def _breaches_of_resuming(session: Session, job: JobRow, events: Sequence[EventRow]) -> Iterator[str]:
    """Yield attempts that did not start from their checkpoint, or started earlier than an attempt before them."""
    resumed = {event.attempt: event.data["resumed"] for event in events if event.kind == "started"}
    rows = session.execute(
        select(MetricRow.step, MetricRow.value).where(_is(job, "started_at_step")).order_by(MetricRow.step)
    ).all()
    reached = 0.0
    for attempt, step in rows:
        if resumed.get(attempt) != (step > 0) or step < reached:
            yield f"attempt {attempt} started at step {step} after {reached}, resumed: {resumed.get(attempt)}"
        reached = max(reached, step)


def resumptions(sessions: sessionmaker[Session]) -> int:
    """Return the number of attempts that started from a checkpoint."""
    with sessions() as session:
        return len(session.scalars(select(MetricRow.id).where(MetricRow.name == "started_at_step", MetricRow.value > 0)).all())


def _is(job: JobRow, name: str) -> ColumnElement[bool]:
    return (MetricRow.job_id == job.id) & (MetricRow.name == name)
