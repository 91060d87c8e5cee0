"""Metrics of requests and jobs, on both databases."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete
from sqlalchemy.orm import Session, sessionmaker

from app.db.tables import JobRow, JobTotalRow
from app.job_state import JobStatus
from app.job_types.trial import TRIAL
from app.observability import job_totals
from tests.support.metrics_scrape import key, scrape

START = datetime(2026, 1, 1, tzinfo=UTC)


def ended(algorithm: str, status: JobStatus, seconds: float) -> JobRow:
    return JobRow(
        model_name="digits",
        base={"network": "cnn"},
        params={"algorithm": algorithm},
        status=status,
        started_at=START,
        finished_at=START + timedelta(seconds=seconds),
    )


@pytest.fixture
def jobs(session: Session) -> None:
    """Two that succeeded, one that failed, one that was cancelled before it started, one that waits."""
    session.add_all([ended("dann", JobStatus.SUCCEEDED, 20), ended("dann", JobStatus.SUCCEEDED, 400.5)])
    session.add(ended("fine_tune", JobStatus.FAILED, 5))
    never_started = ended("dann", JobStatus.CANCELLED, 1)
    never_started.started_at = None
    session.add_all([never_started, JobRow(model_name="digits", base={}, params={"algorithm": "dann"})])
    session.commit()


@pytest.mark.usefixtures("jobs")
def test_jobs_are_counted_by_state(client: TestClient) -> None:
    samples = scrape(client)
    states = {status.value: samples[key("isthmus_jobs", status=status)] for status in JobStatus}
    assert states == {"queued": 1, "running": 0, "cancelling": 0, "succeeded": 2, "failed": 1, "cancelled": 1}


@pytest.mark.usefixtures("jobs")
def test_job_durations_are_a_histogram(client: TestClient) -> None:
    samples = scrape(client)
    labels = {"algorithm": "dann", "status": "succeeded"}
    buckets = {
        bound: samples[key("isthmus_job_duration_seconds_bucket", le=bound, **labels)]
        for bound in ("10.0", "30.0", "300.0", "900.0", "+Inf")
    }
    assert buckets == {"10.0": 0, "30.0": 1, "300.0": 1, "900.0": 2, "+Inf": 2}
    assert samples[key("isthmus_job_duration_seconds_sum", **labels)] == pytest.approx(420.5, abs=0.01)
    assert samples[key("isthmus_job_duration_seconds_count", algorithm="fine_tune", status="failed")] == 1
    assert key("isthmus_job_duration_seconds_count", algorithm="dann", status="cancelled") not in samples


def test_trials_are_counted_separately(client: TestClient, session: Session) -> None:
    search = JobRow(model_name="digits", base={}, params={"algorithm": "auto"})
    session.add(search)
    session.flush()
    trial = ended("mcc", JobStatus.SUCCEEDED, 20)
    trial.kind, trial.parent_id, trial.trial, trial.params = TRIAL.name, search.id, "1-0-mcc", {"params": trial.params}
    session.add(trial)
    session.commit()
    samples = scrape(client)
    assert samples[key("isthmus_trials", status="succeeded")] == 1
    assert samples[key("isthmus_jobs", status="succeeded")] == 0
    assert samples[key("isthmus_job_duration_seconds_count", algorithm="trial", status="succeeded")] == 1


def test_metrics_have_queue_depth_and_build(client: TestClient) -> None:
    samples = scrape(client)
    assert samples[key("isthmus_queue_depth")] == 0
    assert samples[key("isthmus_build_info", version="0.1.0")] == 1
    assert samples[key("isthmus_dependency_up", dependency="broker")] == 1


def test_requests_are_counted_by_route_template(client: TestClient) -> None:
    live, unmatched = [
        key("isthmus_http_requests_total", method="GET", route=route, status=status)
        for route, status in (("/health/live", "200"), ("unmatched", "404"))
    ]
    before = scrape(client)
    for _ in range(3):
        client.get("/health/live")
    client.get("/some/path/that/is/nowhere")
    after = scrape(client)
    assert after[live] - before.get(live, 0) == 3
    assert after[unmatched] - before.get(unmatched, 0) == 1
    assert not any("/some/path" in value for _, labels in after for _, value in labels)
    count = key("isthmus_http_request_seconds_count", method="GET", route="/health/live")
    assert after[count] - before.get(count, 0) == 3


def test_job_that_is_deleted_while_it_is_counted_leaves_no_number(live_sessions: sessionmaker[Session]) -> None:
    algorithm = f"a-{uuid.uuid4().hex[:8]}"
    with live_sessions.begin() as session:
        session.add(job := ended(algorithm, JobStatus.SUCCEEDED, 20))

    def forget() -> None:
        with live_sessions.begin() as session:
            job_totals.forget(session, [job.id])
            session.execute(delete(JobRow).where(JobRow.id == job.id))

    with ThreadPoolExecutor(1) as pool:
        with live_sessions.begin() as sweep:
            job_totals.count_ended(sweep, JobRow.id == job.id)
            forgotten = pool.submit(forget)
            with pytest.raises(TimeoutError):  # it waits for the sweep
                forgotten.result(0.5)
        forgotten.result(30)
    with live_sessions() as session:
        assert session.get_one(JobTotalRow, ("adaptation", algorithm, JobStatus.SUCCEEDED)).jobs == 0
