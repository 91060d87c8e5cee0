"""Writes of workers to jobs, fenced by their lease."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.session import db_now
from app.db.tables import EventRow, JobRow, MetricRow, VersionRow
from app.job_state import TRANSITIONS, JobStatus
from app.schemas.trainer_messages import JobWarning, MetricPoint, Report
from app.services import job_events, job_metrics, leases
from app.services.leases import Lease
from tests.support.factories import lease_of, make_job, make_result, make_version


def point(step: int, value: float, name: str = "classification") -> MetricPoint:
    return MetricPoint(step=step, epoch=step / 10, name=name, value=value)


def claimed(session: Session, job: JobRow, owner: str = "worker-1") -> Lease:
    claim = leases.claim(session, job.id, owner, 60)
    assert claim is not None
    return claim[0]


def kinds(session: Session, job: JobRow) -> Sequence[str]:
    return session.scalars(select(EventRow.kind).where(EventRow.job_id == job.id).order_by(EventRow.id)).all()


def last_event(session: Session, job: JobRow) -> dict[str, Any]:
    query = select(EventRow.data).where(EventRow.job_id == job.id).order_by(EventRow.id.desc()).limit(1)
    data: dict[str, Any] = session.scalars(query).one()
    return data


def finished_version(session: Session, job: JobRow) -> VersionRow:
    finished = leases.finish(session, lease_of(job), make_result())
    assert finished is not None
    assert finished.version is not None
    return finished.version


def expire(session: Session, job: JobRow) -> None:
    session.execute(update(JobRow).where(JobRow.id == job.id).values(lease_expires_at=db_now(-1)))


def test_claim_starts_the_next_attempt_and_returns_the_lease(session: Session) -> None:
    job = make_job(session, attempt=1, progress=0.7, first_progress=0.2, checkpoint="jobs/j/1/checkpoint-50")
    claim = leases.claim(session, job.id, "worker-2", 60)
    assert claim is not None
    lease, row = claim
    assert lease == Lease(job.id, attempt=2, owner="worker-2")
    assert (row.status, row.progress, row.first_progress) == (JobStatus.RUNNING, 0.0, None)
    assert row.checkpoint == "jobs/j/1/checkpoint-50"
    assert row.lease_expires_at is not None
    assert row.started_at is not None
    assert (row.lease_expires_at - row.started_at).total_seconds() == pytest.approx(60, abs=1)
    assert last_event(session, job) == {"attempt": 2, "resumed": True}


@pytest.mark.parametrize("status", [status for status in JobStatus if status != JobStatus.QUEUED])
def test_only_a_queued_job_can_be_claimed(session: Session, status: JobStatus) -> None:
    job = make_job(session, status=status)
    assert leases.claim(session, job.id, "worker-2", 60) is None
    assert job.lease_owner != "worker-2"


def test_job_before_its_run_after_cannot_be_claimed(session: Session) -> None:
    assert leases.claim(session, make_job(session, run_after=db_now(60)).id, "worker-1", 60) is None


def test_heartbeat_extends_the_lease_and_stores_the_report(session: Session) -> None:
    job = make_job(session, status=JobStatus.RUNNING, metrics={"domain": 0.5, "classification": 2.0})
    report = Report(
        progress=0.25,
        metrics=[point(1, 1.5), point(2, 1.25)],
        warnings=[JobWarning(code="small_target", message="Only 9 rows.")],
        checkpoint="jobs/j/1/checkpoint-2",
    )
    assert leases.heartbeat(session, lease_of(job), 600, report) == JobStatus.RUNNING
    assert (job.progress, job.first_progress, job.checkpoint) == (0.25, 0.25, "jobs/j/1/checkpoint-2")
    assert job.metrics == {"domain": 0.5, "classification": 1.25}
    assert job.warnings == [{"code": "small_target", "message": "Only 9 rows."}]
    assert job.lease_expires_at is not None
    assert (job.lease_expires_at - job.updated_at).total_seconds() == pytest.approx(600, abs=2)
    assert kinds(session, job) == ["progress", "metrics", "warning"]
    points = session.execute(select(MetricRow.step, MetricRow.value).where(MetricRow.job_id == job.id)).all()
    assert sorted(map(tuple, points)) == [(1, 1.5), (2, 1.25)]


def test_heartbeat_without_a_report_changes_only_the_lease(session: Session) -> None:
    job = make_job(session, status=JobStatus.RUNNING, progress=0.5)
    before = job.updated_at
    assert leases.heartbeat(session, lease_of(job), 60, None) == JobStatus.RUNNING
    session.refresh(job)
    assert job.updated_at == before
    assert kinds(session, job) == []


def test_heartbeat_returns_cancelling_for_a_cancelled_job(session: Session) -> None:
    job = make_job(session, status=JobStatus.CANCELLING)
    assert leases.heartbeat(session, lease_of(job), 60, Report(progress=0.1)) == JobStatus.CANCELLING


def test_progress_never_decreases_within_an_attempt(session: Session) -> None:
    job = make_job(session, status=JobStatus.RUNNING)
    for reported in (0.4, 0.3, 7.0):
        leases.heartbeat(session, lease_of(job), 60, Report(progress=reported))
    progress = session.scalars(select(EventRow.data).where(EventRow.job_id == job.id).order_by(EventRow.id)).all()
    assert [data["progress"] for data in progress] == [0.4, 0.4, 1.0]
    assert job.first_progress == 0.4


def test_first_reported_precision_is_stored_for_all_attempts(session: Session) -> None:
    job = make_job(session)
    first = claimed(session, job)
    leases.heartbeat(session, first, 60, Report(progress=0.1, training_precision="bfloat16"))
    leases.release(session, first)
    leases.heartbeat(session, claimed(session, job), 60, Report(progress=0.1, training_precision="float32"))
    assert job.training_precision == "bfloat16"


def test_later_attempt_replaces_metric_points_of_an_earlier_one(session: Session) -> None:
    job = make_job(session)
    first = claimed(session, job)
    leases.heartbeat(session, first, 60, Report(progress=0.2, metrics=[point(1, 9.0), point(2, 9.0), point(2, 9.5)]))
    leases.release(session, first)
    second = claimed(session, job)
    leases.heartbeat(session, second, 60, Report(progress=0.2, metrics=[point(2, 3.0), point(3, 2.0)]))
    points, _ = job_metrics.page(session, job.id, None, 10, None)
    assert [(row.step, row.value, row.attempt) for row in points] == [(1, 9.0, 1), (2, 3.0, 2), (3, 2.0, 2)]


def test_points_are_stored_once_and_events_keep_those_that_were_replaced(session: Session) -> None:
    job = make_job(session)
    first = claimed(session, job)
    leases.heartbeat(session, first, 60, Report(progress=0.2, metrics=[point(1, 9.0), point(2, 9.5)]))
    leases.release(session, first)
    leases.heartbeat(session, claimed(session, job), 60, Report(progress=0.2, metrics=[point(2, 3.0)]))
    events = [event for event in job_events.after(session, job, 0) if event.kind == "metrics"]
    assert [event.data for event in events] == [{}, {}]
    assert [[one["value"] for one in event.content()["points"]] for event in events] == [[9.0, 9.5], [3.0]]
    assert list(events[0].content()["points"][0]) == ["step", "epoch", "name", "value"]


def test_metric_values_that_are_not_finite_are_dropped(session: Session) -> None:
    job = make_job(session, status=JobStatus.RUNNING)
    report = Report(progress=0.1, metrics=[point(1, float("nan")), point(2, float("inf")), point(3, 1.0)])
    assert leases.heartbeat(session, lease_of(job), 60, report) == JobStatus.RUNNING
    assert session.scalars(select(MetricRow.step).where(MetricRow.job_id == job.id)).all() == [3]


def test_repeated_warning_is_stored_once(session: Session) -> None:
    job = make_job(session, status=JobStatus.RUNNING)
    for _ in range(2):
        leases.heartbeat(
            session, lease_of(job), 60, Report(progress=0.1, warnings=[JobWarning(code="collapsed", message="At step 5.")])
        )
    assert len(job.warnings) == 1
    assert kinds(session, job) == ["progress", "warning", "progress"]


@pytest.mark.parametrize("wrong", [{"attempt": 2}, {"attempt": 0}, {"owner": "worker-2"}])
def test_writes_without_the_lease_have_no_effect(session: Session, wrong: dict[str, Any]) -> None:
    job = make_job(session, status=JobStatus.RUNNING, attempt=1)
    lost = replace(lease_of(job), **wrong)
    report = Report(progress=0.9, metrics=[point(1, 1.0)], warnings=[JobWarning(code="w", message="m")], checkpoint="jobs/j/9/c")
    assert leases.heartbeat(session, lost, 60, report) is None
    assert leases.finish(session, lost, make_result()) is None
    assert not leases.fail(session, lost, "trainer_error", "It broke.")
    assert not leases.release(session, lost)
    assert not leases.acknowledge_cancel(session, lost)
    session.refresh(job)
    assert (job.status, job.progress, job.checkpoint, job.warnings) == (JobStatus.RUNNING, 0.0, None, [])
    for table in (EventRow, MetricRow, VersionRow):
        assert session.scalar(select(func.count()).select_from(table).where(table.job_id == job.id)) == 0


def test_finish_stores_version_artifacts_and_last_event_together(session: Session) -> None:
    base = make_version(session, model="letters")
    job = make_job(session, status=JobStatus.RUNNING, model_name="digits", base_version_id=base.id, metrics={"domain": 0.6})
    version = finished_version(session, job)
    assert (version.model.name, version.number, version.job_id, version.attempt) == ("digits", 1, job.id, 1)
    assert (version.digest, version.size_bytes, version.base_version_id) == ("m" * 64, 21, base.id)
    assert [artifact.name for artifact in version.artifacts] == ["model.onnx", "network.safetensors", "manifest.json"]
    assert (job.status, job.progress, job.lease_owner) == (JobStatus.SUCCEEDED, 1.0, None)
    assert job.metrics == {"domain": 0.6, "source_accuracy": 0.9}
    done = {"status": "succeeded", "error": None, "version": {"model": "digits", "number": 1}}
    assert (kinds(session, job), last_event(session, job)) == (["done"], done)


def test_versions_are_numbered_per_model(session: Session) -> None:
    make_version(session, model="digits")
    numbers = []
    for model in ("digits", "letters", "digits"):
        job = make_job(session, status=JobStatus.RUNNING, model_name=model)
        numbers.append(finished_version(session, job).number)
    assert numbers == [2, 1, 3]


def test_job_finished_during_cancellation_succeeds(session: Session) -> None:
    job = make_job(session, status=JobStatus.CANCELLING)
    assert leases.finish(session, lease_of(job), make_result()) is not None
    assert job.status == JobStatus.SUCCEEDED


def test_failure_stores_code_and_message(session: Session) -> None:
    job = make_job(session, status=JobStatus.RUNNING)
    assert leases.fail(session, lease_of(job), "trainer_error", "a\x00b" + "x" * 20_000)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "trainer_error")
    assert job.error_message is not None
    assert len(job.error_message) == leases.MAX_MESSAGE_LENGTH
    assert last_event(session, job)["error"]["code"] == "trainer_error"


def test_only_a_cancelling_job_can_be_acknowledged_as_cancelled(session: Session) -> None:
    running, cancelling = (make_job(session, status=status) for status in (JobStatus.RUNNING, JobStatus.CANCELLING))
    assert not leases.acknowledge_cancel(session, lease_of(running))
    assert leases.acknowledge_cancel(session, lease_of(cancelling))
    assert cancelling.status == JobStatus.CANCELLED
    assert last_event(session, cancelling)["status"] == "cancelled"


def test_released_job_loses_no_attempt_and_is_sent_again(session: Session) -> None:
    job = make_job(session, status=JobStatus.RUNNING, attempt=3, max_attempts=3, checkpoint="jobs/j/3/checkpoint-9")
    assert leases.release(session, lease_of(job))
    assert (job.status, job.attempt, job.max_attempts) == (JobStatus.QUEUED, 3, 4)
    assert last_event(session, job) == {"reason": "worker_drained"}
    assert leases.claim_unsent(session, 60) == [job.id]
    assert claimed(session, job).attempt == 4
    assert job.checkpoint == "jobs/j/3/checkpoint-9"


def test_released_cancelling_job_is_cancelled(session: Session) -> None:
    job = make_job(session, status=JobStatus.CANCELLING)
    assert leases.release(session, lease_of(job))
    assert job.status == JobStatus.CANCELLED


def test_expired_leases_are_requeued_or_ended_without_attempts_left(session: Session) -> None:
    alive = make_job(session, status=JobStatus.RUNNING)
    retried = make_job(session, status=JobStatus.RUNNING, attempt=1, max_attempts=3)
    exhausted = make_job(session, status=JobStatus.RUNNING, attempt=3, max_attempts=3)
    cancelling = make_job(session, status=JobStatus.CANCELLING)
    old_lease = lease_of(retried)
    for job in (retried, exhausted, cancelling):
        expire(session, job)
    assert set(leases.requeue_expired(session)) == {retried.id, exhausted.id, cancelling.id}
    assert [job.status for job in (alive, retried, exhausted, cancelling)] == ["running", "queued", "failed", "cancelled"]
    assert exhausted.error_code == "worker_lost"
    assert [kinds(session, job) for job in (alive, retried, exhausted, cancelling)] == [[], ["requeued"], ["done"], ["done"]]
    assert leases.requeue_expired(session) == []
    assert leases.heartbeat(session, old_lease, 60, None) is None


def test_lost_attempt_that_moved_a_checkpoint_forward_is_not_counted(session: Session) -> None:
    job = make_job(session, max_attempts=2)
    for attempt in range(1, 6):
        lease = claimed(session, job)
        assert lease.attempt == attempt
        leases.heartbeat(session, lease, 60, Report(progress=0.1 * attempt, checkpoint=f"jobs/{job.id}/{attempt}/checkpoint-9"))
        expire(session, job)
        leases.requeue_expired(session)
        assert (job.status, job.max_attempts) == (JobStatus.QUEUED, 2 + attempt)
    for expected in (JobStatus.QUEUED, JobStatus.FAILED):  # two attempts without progress
        leases.heartbeat(session, claimed(session, job), 60, Report(progress=0.5))
        expire(session, job)
        leases.requeue_expired(session)
        assert job.status is expected
    assert job.error_code == "worker_lost"


def test_checkpoint_of_another_attempt_is_no_progress(session: Session) -> None:
    job = make_job(session, attempt=11, max_attempts=12, checkpoint="jobs/j/1/checkpoint-9")
    lease = claimed(session, job)
    expire(session, job)
    leases.requeue_expired(session)
    assert (lease.attempt, job.status, job.max_attempts) == (12, JobStatus.FAILED, 12)


def test_postponed_job_waits_and_loses_no_attempt(session: Session) -> None:
    job = make_job(session, status=JobStatus.RUNNING, attempt=3, max_attempts=3)
    assert leases.release(session, lease_of(job), "storage_unavailable", 60)
    assert (job.status, job.max_attempts) == (JobStatus.QUEUED, 4)
    assert last_event(session, job) == {"reason": "storage_unavailable"}
    assert leases.claim(session, job.id, "worker-2", 60) is None


def test_worker_with_an_expired_lease_cannot_write_anymore(session: Session) -> None:
    job = make_job(session)
    first = claimed(session, job, "worker-1")
    expire(session, job)
    leases.requeue_expired(session)
    second = claimed(session, job, "worker-1")
    assert leases.heartbeat(session, first, 60, Report(progress=0.5)) is None
    assert leases.finish(session, first, make_result()) is None
    assert leases.finish(session, second, make_result()) is not None
    events = session.execute(select(EventRow.kind, EventRow.attempt).where(EventRow.job_id == job.id).order_by(EventRow.id))
    assert [tuple(row) for row in events] == [("started", 1), ("requeued", 1), ("started", 2), ("done", 2)]


def test_unsent_waiting_jobs_are_claimed_oldest_first(session: Session) -> None:
    late = make_job(session, sent_at=db_now(-100))
    early = make_job(session, sent_at=db_now(-100), created_at=db_now(-1000))
    make_job(session, sent_at=db_now(-10))
    make_job(session, sent_at=None, run_after=db_now(60))
    make_job(session, sent_at=db_now(-100), status=JobStatus.RUNNING)
    assert leases.claim_unsent(session, 60) == [early.id, late.id]
    assert leases.claim_unsent(session, 60) == []


def test_only_end_states_have_no_transitions() -> None:
    assert {status for status, targets in TRANSITIONS.items() if not targets} == {"succeeded", "failed", "cancelled"}


@pytest.mark.parametrize(
    "inconsistent",
    [
        {"status": JobStatus.RUNNING},
        {"status": JobStatus.SUCCEEDED},
        {"lease_owner": "worker-1", "lease_expires_at": db_now()},
        {"finished_at": db_now()},
        {"attempt": 4},
    ],
)
def test_database_rejects_an_inconsistent_job(session: Session, inconsistent: dict[str, Any]) -> None:
    job = make_job(session)
    with pytest.raises(IntegrityError), session.begin_nested():
        session.execute(update(JobRow).where(JobRow.id == job.id).values(inconsistent))
