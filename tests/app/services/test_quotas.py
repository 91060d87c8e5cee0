"""Quotas of projects, and the order in which workers take the jobs of several projects."""

import pytest
from sqlalchemy.orm import Session

from app.db.projects import MODELS, PROJECT
from app.db.tables import JobRow
from app.errors import QuotaExceeded
from app.job_state import JobStatus
from app.services import leases, quotas
from app.services.quotas import QUOTAS, Quotas
from tests.support.factories import make_dataset, make_job, make_version


@pytest.fixture
def limited(session: Session) -> Session:
    """Let the session act for a project with room for two queued jobs and 2,500 bytes."""
    session.info |= {PROJECT: "limited", QUOTAS: Quotas(queued_jobs=2, stored_bytes=2500)}
    return session


def test_third_queued_job_exceeds_a_quota_of_two(limited: Session) -> None:
    make_job(limited)
    quotas.check_queued_jobs(limited)
    make_job(limited)
    with pytest.raises(QuotaExceeded, match="2 queued jobs and has 2"):
        quotas.check_queued_jobs(limited)


def test_running_jobs_and_other_projects_do_not_count(limited: Session) -> None:
    make_job(limited, status=JobStatus.RUNNING)
    for _ in range(3):
        make_job(limited, project="other")
    quotas.check_queued_jobs(limited)


def test_datasets_and_versions_count_as_stored_bytes(limited: Session) -> None:
    make_dataset(limited, size_bytes=1000)
    make_version(limited, size_bytes=1000)
    assert quotas.stored_bytes(limited) == 2000
    quotas.check_stored_bytes(limited, 500)
    with pytest.raises(QuotaExceeded, match="2500 stored bytes and has 2000"):
        quotas.check_stored_bytes(limited, 501)


def test_versions_that_a_key_does_not_show_count_too(limited: Session) -> None:
    make_version(limited, size_bytes=1000)
    limited.info[MODELS] = "^(letters)$"
    assert quotas.stored_bytes(limited) == 1000


def test_session_without_quotas_has_no_limit(session: Session) -> None:
    for _ in range(3):
        make_job(session)
    quotas.check_queued_jobs(session)
    quotas.check_stored_bytes(session, 10**15)


def _claim(session: Session, named: JobRow) -> str | None:
    job_id = leases.next_waiting(session, named.id)
    claimed = leases.claim(session, job_id, "worker-1", 60) if job_id else None
    return claimed[1].project if claimed else None


def test_projects_alternate_although_one_queued_first(session: Session) -> None:
    busy = [make_job(session, project="busy") for _ in range(3)]
    small = [make_job(session, project="small") for _ in range(2)]
    assert [_claim(session, job) for job in [*busy, *small]] == ["busy", "small", "busy", "small", "busy"]
    assert _claim(session, busy[0]) is None


def test_named_job_is_preferred_within_its_project(session: Session) -> None:
    make_job(session)
    named = make_job(session)
    assert leases.next_waiting(session, named.id) == named.id
