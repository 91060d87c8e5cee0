"""Queries that callers and sweeps repeat read an index in order, so that their cost does not grow with the tables."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from app.db.projects import PROJECT, ScopedSessions
from app.db.session import SessionFactory
from app.job_state import JobStatus
from app.model_reference import DEFAULT_PROJECT
from app.observability.job_totals import count_ended
from app.observability.metrics import job_metrics
from app.services import jobs, models
from app.services.retention import Retention
from benchmarks.database.fill import fill
from worker.supervision.storage_cleanup import due_jobs

QUERIES: dict[str, tuple[Callable[[Session], Any], str]] = {
    "jobs of a model": (lambda session: jobs.page(session, [], "m5", 20, None), "ix_job_model_page"),
    "jobs of a status": (lambda session: jobs.page(session, [JobStatus.FAILED], None, 20, None), "ix_job_status_page"),
    "all jobs": (lambda session: jobs.page(session, [], None, 20, None), "ix_job_page"),
    "cleanup": (lambda session: due_jobs(session, uuid4()), "ix_job_uncleaned"),
    "job metrics": (job_metrics, "ix_job_uncounted"),
    "count of ended jobs": (count_ended, "ix_job_uncounted"),
    "repository index": (lambda session: models.index(session, 20, models.index(session, 1, None)[1]), "ix_model_page"),
    "expired jobs": (lambda session: Retention._next_jobs(Retention(None, None, None), session, 1), "ix_job_expiry"),  # type: ignore[arg-type]  # noqa: SLF001  # this query needs neither
}


INTERNAL = {"cleanup", "job metrics", "count of ended jobs", "expired jobs"}
"""Queries of workers, beat and monitoring, which see all projects."""


def of_project(engine: Engine) -> SessionFactory:
    """Return the sessions of a caller."""
    return ScopedSessions(SessionFactory(engine), {PROJECT: DEFAULT_PROJECT})


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Any) -> Any:
    """Copy the empty database and add 300 jobs."""
    from shutil import copyfile

    from app.db.session import make_engine

    path = tmp_path_factory.mktemp("plans") / "isthmus.db"
    copyfile(empty_sqlite, path)
    engine = make_engine(f"sqlite:///{path}")
    fill(engine, 0, 300)
    with SessionFactory(engine).begin() as session:
        while count_ended(session):
            pass
    yield engine
    engine.dispose()


def plans(engine: Engine, query: Callable[[Session], Any], is_internal: bool) -> list[str]:
    """Run a query and return the plan of each of its statements."""
    statements: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not many:
            statements.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", remember)
    try:
        sessions = SessionFactory(engine) if is_internal else of_project(engine)
        with sessions() as session:
            query(session)
    finally:
        event.remove(engine, "before_cursor_execute", remember)
    with engine.connect() as connection:
        selects = [(statement, values) for statement, values in statements if statement.lstrip("( ").startswith("SELECT")]
        return [
            "\n".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values))
            for statement, values in selects
        ]


@pytest.mark.parametrize("name", QUERIES)
def test_query_reads_an_index_and_scans_no_large_table(filled: Engine, name: str) -> None:
    query, index = QUERIES[name]
    found = plans(filled, query, name in INTERNAL)
    assert any(index in plan for plan in found), found
    scans = [line for plan in found for line in plan.splitlines() if line.startswith("SCAN") and "USING" not in line]
    assert [line for line in scans if line.split()[1] in ("job", "version", "model", "event", "output")] == [], found


def test_pages_by_status_and_model_equal_those_of_all_jobs(filled: Engine) -> None:
    with of_project(filled)() as session:
        expected = [job.id for job in jobs.page(session, [], None, 50, None)[0]]
        by_status, cursor = jobs.page(session, [JobStatus.SUCCEEDED, JobStatus.FAILED], None, 30, None)
        following, _ = jobs.page(session, [JobStatus.SUCCEEDED, JobStatus.FAILED], None, 20, cursor)
        assert [job.id for job in [*by_status, *following]] == expected
        of_model, cursor = jobs.page(session, [], "m7", 20, None)
        assert ([job.model_name for job in of_model], cursor) == (["m7"], None)
        assert session.execute(text("SELECT sum(jobs) FROM job_total")).scalar() == 300


def test_repository_index_is_paged_completely_and_in_order(filled: Engine) -> None:
    with of_project(filled)() as session:
        names, cursor = [], None
        while True:
            page, cursor = models.index(session, 70, cursor)
            names += [name for name, _ in page]
            if cursor is None:
                break
    assert names == [f"m{number}" for number in reversed(range(300))]
