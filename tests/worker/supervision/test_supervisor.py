"""The supervisor with real trainer processes, on a database that both see."""

from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from app.db.session import SessionFactory, db_now, make_engine
from app.db.tables import EventRow, JobRow, MetricRow, VersionRow
from app.db.worker_tables import JobLogRow
from app.job_state import JobStatus
from app.settings import Settings
from tests.support.databases import create_postgres_database
from tests.support.fake_trainer import learned
from tests.support.polling import wait_until
from tests.support.quick_settings import quick_settings
from tests.support.supervision import InThread, Sessions, add_job, is_training, read_job, request_cancel, supervisor, trainers
from worker.supervision.attempt import Outcome


def test_succeeded_job_has_version_and_metrics_and_no_other_files(worker_settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions, steps=20, ends="prints")
    assert supervisor(worker_settings, worker_sessions).run_job(job_id) is Outcome.SUCCEEDED
    with worker_sessions() as session:
        job = session.get_one(JobRow, job_id)
        assert (job.status, job.attempt, job.progress, job.checkpoint) == (JobStatus.SUCCEEDED, 1, 1.0, None)
        assert job.metrics["total"] == pytest.approx(learned(20))
        version = session.scalars(select(VersionRow)).one()
        assert version.manifest["metrics"]["attempt"] == version.attempt == 1
        assert session.scalar(select(func.count()).select_from(MetricRow).where(MetricRow.name == "total")) == 20
        log = session.scalars(select(JobLogRow)).one()
        assert log.lines[-1].endswith("Z a library writes to standard output")
        kinds = session.scalars(select(EventRow.kind).order_by(EventRow.id)).all()
    assert kinds[0] == "started"
    assert kinds[-1] == "done"
    assert stored_files(worker_settings) == [f"jobs/{job_id}/1/manifest.json"]
    assert list((worker_settings.scratch_dir / "runs").iterdir()) == []


def stored_files(settings: Settings) -> list[str]:
    root = settings.data_dir / "storage"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("ends", "code", "message"),
    [
        ("bad_data", "bad_data", "column `age`: no value can be used"),
        ("bad_dataset", "bad_data", "The file is broken. /rows/3: not a number"),
        ("bad_parameters", "bad_parameters", "the bottleneck is wider than the features"),
        ("out_of_gpu_memory", "gpu_out_of_memory", "CUDA out of memory. Tried to allocate 2.00 GiB."),
        ("bug", "trainer_error", "ended with exit code 1. The log of the worker has the details"),
        ("out_of_memory", "out_of_memory", "can't allocate memory"),
        ("segmentation_fault", "trainer_error", "SIGSEGV"),
        ("no_result", "trainer_error", "without a readable result"),
    ],
)
def test_each_failure_has_a_code_and_is_not_retried(
    worker_settings: Settings, worker_sessions: Sessions, ends: str, code: str, message: str
) -> None:
    job_id = add_job(worker_sessions, ends=ends)
    assert supervisor(worker_settings, worker_sessions).run_job(job_id) is Outcome.FAILED
    job = read_job(worker_sessions, job_id)
    assert (job.status, job.attempt, job.error_code) == (JobStatus.FAILED, 1, code)
    assert message in (job.error_message or "")


def test_killed_trainer_gets_one_more_attempt(worker_settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions, ends="killed")
    run = supervisor(worker_settings, worker_sessions).run_job
    assert [run(job_id), run(job_id)] == [Outcome.RELEASED, Outcome.FAILED]
    job = read_job(worker_sessions, job_id)
    assert (job.status, job.attempt, job.max_attempts, job.error_code) == (JobStatus.FAILED, 2, 3, "trainer_killed")
    assert "a smaller batch" in (job.error_message or "")
    with worker_sessions() as session:
        kinds = session.scalars(select(EventRow.kind).where(EventRow.job_id == job_id).order_by(EventRow.id)).all()
    assert [kind for kind in kinds if kind in ("started", "requeued", "done")] == ["started", "requeued", "started", "done"]


def test_details_of_a_defect_are_logged_and_not_returned(
    worker_settings: Settings, worker_sessions: Sessions, capfd: pytest.CaptureFixture[str]
) -> None:
    job_id = add_job(worker_sessions, ends="bug")
    supervisor(worker_settings, worker_sessions).run_job(job_id)
    message = read_job(worker_sessions, job_id).error_message or ""
    assert "Traceback" not in message
    assert str(worker_settings.data_dir) not in message
    logged = "".join(capfd.readouterr())
    assert "KeyError: 'a bug'" in logged
    assert str(job_id) in logged


def test_trainer_is_ended_by_the_kernel_before_its_supervisor(worker_settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions, steps=10_000, step_seconds=0.01)
    run = InThread(supervisor(worker_settings, worker_sessions), job_id)
    wait_until(is_training(worker_sessions, job_id))
    (trainer,) = trainers()
    assert Path(f"/proc/{trainer.pid}/oom_score_adj").read_text().strip() == "500"
    request_cancel(worker_sessions, job_id)
    run.join()


def test_trainer_exceeding_its_memory_limit_fails(worker_settings: Settings, worker_sessions: Sessions) -> None:
    settings = worker_settings.model_copy(update={"train_memory_bytes": 2 * 1024**3})
    job_id = add_job(worker_sessions, ends="greedy")
    assert supervisor(settings, worker_sessions).run_job(job_id) is Outcome.FAILED
    assert read_job(worker_sessions, job_id).error_code == "out_of_memory"


@pytest.mark.parametrize("ends", ["storage_away", "disk_full"])
def test_unavailable_storage_postpones_the_job(ends: str, worker_settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions, ends=ends)
    postponing = supervisor(worker_settings, worker_sessions)
    assert postponing.run_job(job_id) is Outcome.POSTPONED
    job = read_job(worker_sessions, job_id)
    assert (job.status, job.attempt, job.max_attempts, job.error_code) == (JobStatus.QUEUED, 1, 4, None)
    assert postponing.run_job(job_id) is None


def test_running_job_can_be_cancelled(worker_settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions, steps=10_000, step_seconds=0.01)
    run = InThread(supervisor(worker_settings, worker_sessions), job_id)
    wait_until(is_training(worker_sessions, job_id))
    request_cancel(worker_sessions, job_id)
    assert run.join() is Outcome.CANCELLED
    assert read_job(worker_sessions, job_id).status is JobStatus.CANCELLED
    assert stored_files(worker_settings) == []


def test_unresponsive_trainer_is_killed_after_the_grace_period(worker_settings: Settings, worker_sessions: Sessions) -> None:
    settings = worker_settings.model_copy(update={"cancel_grace_seconds": 0.5})
    job_id = add_job(worker_sessions, steps=10_000, step_seconds=0.01, ends="deaf")
    run = InThread(supervisor(settings, worker_sessions), job_id)
    wait_until(is_training(worker_sessions, job_id))
    request_cancel(worker_sessions, job_id)
    assert run.join() is Outcome.CANCELLED
    assert trainers() == []


def test_attempt_beyond_the_time_limit_fails(worker_settings: Settings, worker_sessions: Sessions) -> None:
    settings = worker_settings.model_copy(update={"job_timeout_seconds": 2})
    job_id = add_job(worker_sessions, steps=100_000, step_seconds=0.01)
    assert supervisor(settings, worker_sessions).run_job(job_id) is Outcome.FAILED
    job = read_job(worker_sessions, job_id)
    assert (job.error_code, job.status) == ("job_timeout", JobStatus.FAILED)
    assert trainers() == []


def test_drained_job_loses_no_attempt_and_resumes(worker_settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions, max_attempts=1, steps=300, step_seconds=0.01)
    training = is_training(worker_sessions, job_id)
    draining = supervisor(worker_settings, worker_sessions, lambda: read_job(worker_sessions, job_id).attempt == 1 and training())
    assert draining.run_job(job_id) is Outcome.RELEASED
    job = read_job(worker_sessions, job_id)
    assert (job.status, job.attempt, job.max_attempts) == (JobStatus.QUEUED, 1, 2)
    assert draining._queue.depth() == 1  # noqa: SLF001  # the message was sent to another worker
    assert supervisor(worker_settings, worker_sessions).run_job(job_id) is Outcome.SUCCEEDED
    with worker_sessions() as session:
        metrics = session.scalars(select(VersionRow)).one().manifest["metrics"]
    assert metrics["started_at_step"] > 0
    assert metrics["total"] == pytest.approx(learned(300))
    assert stored_files(worker_settings) == [f"jobs/{job_id}/2/manifest.json"]


def test_draining_worker_claims_no_job_and_resends_the_message(worker_settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions)
    draining = supervisor(worker_settings, worker_sessions, lambda: True)
    assert draining.run_job(job_id) is None
    assert draining._queue.depth() == 1  # noqa: SLF001  # the message was requeued
    assert read_job(worker_sessions, job_id).status is JobStatus.QUEUED


def test_lost_lease_kills_the_trainer_and_writes_nothing(worker_settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions, steps=10_000, step_seconds=0.01)
    run = InThread(supervisor(worker_settings, worker_sessions), job_id)
    wait_until(is_training(worker_sessions, job_id))
    with worker_sessions.begin() as session:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(attempt=2, lease_owner="another"))
        last_event = session.scalar(select(func.max(EventRow.id)))
    assert run.join() is Outcome.LOST
    assert trainers() == []
    with worker_sessions() as session:
        assert session.scalar(select(func.max(EventRow.id))) == last_event
    job = read_job(worker_sessions, job_id)
    assert (job.status, job.lease_owner) == (JobStatus.RUNNING, "another")


def test_attempt_without_lease_of_an_ended_job_leaves_no_files(worker_settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions, steps=10_000, step_seconds=0.01)
    run = InThread(supervisor(worker_settings, worker_sessions), job_id)
    wait_until(is_training(worker_sessions, job_id))
    with worker_sessions.begin() as session:
        ended = {"status": JobStatus.FAILED, "finished_at": db_now(), "lease_owner": None, "lease_expires_at": None}
        session.execute(update(JobRow).where(JobRow.id == job_id).values(ended | {"cleaned_at": db_now()}))
    assert run.join() is Outcome.LOST
    assert stored_files(worker_settings) == []


def test_two_workers_with_one_message_run_the_job_once(worker_settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions)
    assert supervisor(worker_settings, worker_sessions).run_job(job_id) is Outcome.SUCCEEDED
    assert supervisor(worker_settings, worker_sessions).run_job(job_id) is None


@pytest.fixture
def postgres_settings(postgres_server: str, database_name: str, worker_settings: Settings) -> Settings:
    url = create_postgres_database(postgres_server, database_name)
    return quick_settings(data_dir=worker_settings.data_dir, database_url=url)


def set_database_reachable(server_url: str, name: str, reachable: bool) -> None:
    engine = make_engine(server_url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {reachable}'))
        if not reachable:
            ours = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
            connection.execute(ours, {"name": name})
    engine.dispose()


def test_short_database_outage_does_not_affect_the_job(postgres_server: str, postgres_settings: Settings) -> None:
    name = str(make_url(postgres_settings.database).database)
    engine = make_engine(postgres_settings.database)
    sessions = SessionFactory(engine)
    job_id = add_job(sessions, steps=400, step_seconds=0.01)
    run = InThread(supervisor(postgres_settings, sessions), job_id)
    wait_until(is_training(sessions, job_id))
    set_database_reachable(postgres_server, name, False)
    run._thread.join(2)  # noqa: SLF001  # let the run notice the outage
    set_database_reachable(postgres_server, name, True)
    assert run.join() is Outcome.SUCCEEDED
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(MetricRow).where(MetricRow.name == "total")) == 400
        assert session.get_one(JobRow, job_id).attempt == 1
    engine.dispose()


def test_long_database_outage_ends_the_trainer(postgres_server: str, postgres_settings: Settings) -> None:
    name = str(make_url(postgres_settings.database).database)
    engine = make_engine(postgres_settings.database)
    sessions = SessionFactory(engine)
    job_id = add_job(sessions, steps=100_000, step_seconds=0.01)
    settings = postgres_settings.model_copy(update={"lease_seconds": 2})
    run = InThread(supervisor(settings, sessions), job_id)
    wait_until(is_training(sessions, job_id))
    set_database_reachable(postgres_server, name, False)
    assert run.join() is Outcome.LOST
    assert trainers() == []
    set_database_reachable(postgres_server, name, True)
    assert read_job(sessions, job_id).status is JobStatus.RUNNING  # until the reaper comes
    engine.dispose()


def test_missing_column_is_not_treated_as_an_outage(worker_settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions)
    with worker_sessions.begin() as session:
        session.execute(text("ALTER TABLE metric RENAME COLUMN value TO number"))
    with pytest.raises(OperationalError, match="no column named value"):
        supervisor(worker_settings, worker_sessions).run_job(job_id)
    assert not trainers()


def test_next_attempt_removes_run_folders_of_killed_supervisors(worker_settings: Settings, worker_sessions: Sessions) -> None:
    job_id = add_job(worker_sessions)
    left: Path = worker_settings.scratch_dir / "runs" / f"{job_id}-0"
    left.mkdir(parents=True)
    supervisor(worker_settings, worker_sessions).run_job(job_id)
    assert not left.exists()
