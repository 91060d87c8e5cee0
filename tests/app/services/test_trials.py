"""Trials of a search as jobs: enqueueing, taking back, cancellation, and their visibility."""

from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.db.tables import EventRow, JobRow
from app.job_state import ACTIVE, JobStatus
from app.job_types.trial import TRIAL, TrialResult
from app.schemas.trials import TrialSpec
from app.services import jobs, leases, trials
from app.services.trials import SearchAttempt
from tests.support.factories import lease_of, make_job
from tests.support.list_queue import ListQueue
from worker.supervision.sweep import sweep

NAMES = ("1-0-mcc", "1-1-dann", "1-2-adabn")


def specs(*names: str) -> list[TrialSpec]:
    return [TrialSpec(name=name, params={"algorithm": name.rpartition("-")[2]}) for name in names]


@pytest.fixture
def search(session: Session) -> SearchAttempt:
    parent = make_job(session, status=JobStatus.RUNNING, params={"algorithm": "auto"}, attempt=2, max_attempts=4)
    return SearchAttempt(parent.id, 2)


def make_trial(session: Session, search: SearchAttempt, status: JobStatus = JobStatus.QUEUED, name: str = "1-0-mcc") -> JobRow:
    return make_job(session, kind=TRIAL.name, parent_id=search.job_id, trial=name, status=status, params={"name": name})


def events_of(session: Session, job: JobRow) -> list[str]:
    return list(session.scalars(select(EventRow.kind).where(EventRow.job_id == job.id).order_by(EventRow.id)))


def test_trials_are_enqueued_once_when_a_search_is_resumed(session: Session, search: SearchAttempt) -> None:
    first = trials.enqueue(session, search, specs(*NAMES[:2]), "float32")
    second = trials.enqueue(session, search, specs(*NAMES), "float32")
    rows = [session.get_one(JobRow, job_id) for job_id in [*first, *second]]
    assert [row.trial for row in rows] == list(NAMES)
    for row in rows:
        assert (row.kind, row.status, row.parent_id, row.max_attempts) == (TRIAL.name, JobStatus.QUEUED, search.job_id, 4)
        assert TrialSpec.model_validate(row.params).name == row.trial
        assert events_of(session, row) == ["queued"]


def test_precision_of_a_search_is_stored_before_its_trials(session: Session, search: SearchAttempt) -> None:
    trials.enqueue(session, search, specs(NAMES[0]), "bfloat16")
    trials.enqueue(session, search, specs(NAMES[1]), "float32")
    assert session.get_one(JobRow, search.job_id).training_precision == "bfloat16"


@pytest.mark.parametrize(
    ("status", "attempt"), [(status, 1) for status in JobStatus if status != JobStatus.RUNNING] + [(JobStatus.RUNNING, 2)]
)
def test_search_without_its_lease_changes_no_trial(session: Session, status: JobStatus, attempt: int) -> None:
    search = SearchAttempt(make_job(session, status=status, attempt=attempt).id, 1)
    child = make_trial(session, search)
    assert trials.enqueue(session, search, specs(NAMES[1]), "float32") == []
    assert trials.take_back_queued(session, search, "1-0-mcc") is None
    starting = make_trial(session, search, JobStatus.RUNNING, name=NAMES[2])
    assert trials.take_back_starting(session, search, NAMES[2]) is None
    assert (child.status, starting.status) == (JobStatus.QUEUED, JobStatus.RUNNING)


@pytest.mark.parametrize("status", JobStatus)
def test_only_a_queued_trial_is_taken_back(session: Session, search: SearchAttempt, status: JobStatus) -> None:
    child = make_trial(session, search, status)
    taken = trials.take_back_queued(session, search, "1-0-mcc")
    assert (taken is child) == (status is JobStatus.QUEUED)
    assert child.status is (JobStatus.CANCELLED if status is JobStatus.QUEUED else status)
    assert trials.get(session, search, "1-0-mcc") is child
    if taken:
        assert events_of(session, child) == ["done"]
        assert leases.claim(session, child.id, "worker-2", 60) is None


@pytest.mark.parametrize("status", JobStatus)
@pytest.mark.parametrize("first_progress", [None, 0.0])
def test_only_a_starting_trial_is_taken_back_from_its_worker(
    session: Session, search: SearchAttempt, status: JobStatus, first_progress: float | None
) -> None:
    child = make_trial(session, search, status)
    child.first_progress = first_progress
    session.flush()
    is_starting = status is JobStatus.RUNNING and first_progress is None
    assert (trials.take_back_starting(session, search, "1-0-mcc") is child) == is_starting
    assert child.status is (JobStatus.CANCELLING if is_starting else status)


def test_cancelling_a_search_cancels_its_trials(session: Session, search: SearchAttempt) -> None:
    rows = [make_trial(session, search, status, name=status) for status in JobStatus]
    other = make_trial(session, SearchAttempt(make_job(session, status=JobStatus.RUNNING).id, 1))
    jobs.cancel(session, search.job_id)
    changed = {JobStatus.QUEUED: JobStatus.CANCELLED, JobStatus.RUNNING: JobStatus.CANCELLING}
    assert [row.status for row in rows] == [changed.get(status, status) for status in JobStatus]
    assert (events_of(session, rows[0]), events_of(session, rows[1])) == (["done"], ["cancelling"])
    assert other.status is JobStatus.QUEUED


@pytest.mark.parametrize("status", JobStatus)
def test_sweep_cancels_the_trials_of_an_ended_search(sessions: sessionmaker[Session], status: JobStatus) -> None:
    with sessions.begin() as session:
        search = SearchAttempt(make_job(session, status=status).id, 1)
        ids = [make_trial(session, search, state, name=state).id for state in (JobStatus.QUEUED, JobStatus.RUNNING)]
    sweep(sessions, ListQueue(), resend_seconds=60)
    with sessions() as session:
        statuses = [session.get_one(JobRow, job_id).status for job_id in ids]
    continues = status in ACTIVE - {JobStatus.CANCELLING}
    assert statuses == ([JobStatus.QUEUED, JobStatus.RUNNING] if continues else [JobStatus.CANCELLED, JobStatus.CANCELLING])


def test_finished_trial_keeps_its_metrics(session: Session, search: SearchAttempt) -> None:
    child = make_trial(session, search, JobStatus.RUNNING)
    child.metrics = {"mcc": 0.5}
    lease = lease_of(child)
    assert leases.finish(session, lease, TrialResult(metrics={"steps": 40}))
    assert (child.status, child.progress, child.metrics) == (JobStatus.SUCCEEDED, 1.0, {"mcc": 0.5, "steps": 40})
    assert events_of(session, child) == ["done"]
    assert not leases.finish(session, lease, TrialResult(metrics={}))


def test_trials_are_visible_only_in_their_search(client: TestClient, session: Session, search: SearchAttempt) -> None:
    shown = [
        (make_trial(session, search, status, name).id, name, status)
        for name, status in zip(NAMES, (JobStatus.SUCCEEDED, JobStatus.RUNNING, JobStatus.CANCELLED), strict=True)
    ]
    session.commit()
    job = client.get(f"/jobs/{search.job_id}").json()
    assert [(UUID(one["id"]), one["name"], one["status"]) for one in job["trials"]] == shown
    assert client.get("/jobs").json()["data"] == [job]
    for path in (f"/jobs/{shown[0][0]}", f"/jobs/{shown[0][0]}/events", f"/batch-predictions/{shown[0][0]}"):
        assert client.get(path).status_code == 404
    assert client.post(f"/jobs/{shown[1][0]}/cancel").status_code == 404
