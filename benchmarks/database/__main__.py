"""Milliseconds of queries that once grew with the number of jobs and versions.

`python -m benchmarks.database [--url postgresql://...] [--sizes 10 1000 100000]`. Without a URL it makes an SQLite database in a
temporary folder. The database must be empty.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from uuid import uuid4

import click
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from app.db.migrate import upgrade
from app.db.projects import PROJECT, ScopedSessions
from app.db.session import SessionFactory, make_engine
from app.job_state import JobStatus
from app.model_reference import DEFAULT_PROJECT
from app.observability import job_totals
from app.observability.metrics import job_metrics
from app.services import jobs, models
from benchmarks.database.fill import fill
from worker.supervision.storage_cleanup import due_jobs

REPETITIONS = 15


def _repository_cursor(session: Session) -> str | None:
    return models.index(session, 1, None)[1]


QUERIES: dict[str, Callable[[Session], Any]] = {
    "GET /jobs": lambda session: jobs.page(session, [], None, 20, None),
    "GET /jobs?model=m5 (one match)": lambda session: jobs.page(session, [], "m5", 20, None),
    "GET /jobs?status=failed (no match)": lambda session: jobs.page(session, [JobStatus.FAILED], None, 20, None),
    "GET /jobs?status=failed&status=succeeded": lambda session: jobs.page(
        session, [JobStatus.FAILED, JobStatus.SUCCEEDED], None, 20, None
    ),
    "cleanup after a job": lambda session: due_jobs(session, uuid4()),
    "GET /metrics": job_metrics,
    "POST /v2/repository/index (1000)": lambda session: models.index(session, 1000, None),
    "POST /v2/repository/index (20)": lambda session: models.index(session, 20, _repository_cursor(session)),
}


def main() -> None:
    """Print one line per query with a column per size."""
    arguments = _arguments()
    with TemporaryDirectory() as folder:
        url = arguments.url or f"sqlite:///{Path(folder)}/isthmus.db"
        upgrade(url)
        engine = make_engine(url)
        filled, columns = 0, []
        for size in sorted(arguments.sizes):
            start = perf_counter()
            fill(engine, filled, size - filled)
            filled = size
            _count_ended(engine)
            click.echo(f"{size} jobs and versions after {perf_counter() - start:.0f} s", err=True)
            columns.append({name: _milliseconds(engine, query) for name, query in QUERIES.items()})
        engine.dispose()
    _print_table(sorted(arguments.sizes), columns)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.database", description=__doc__)
    parser.add_argument("--url", default="", help="SQLAlchemy URL of an empty database.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 1000, 100_000])
    return parser.parse_args()


def _count_ended(engine: Engine) -> None:
    """Add all jobs to the totals, as the sweep does, and let PostgreSQL learn the sizes of the tables."""
    sessions = SessionFactory(engine)
    while True:
        with sessions.begin() as session:
            if not job_totals.count_ended(session):
                break
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("VACUUM ANALYZE"))


def _milliseconds(engine: Engine, query: Callable[[Session], Any]) -> float:
    """Return the best time of one call in a transaction of its own."""
    sessions, times = ScopedSessions(SessionFactory(engine), {PROJECT: DEFAULT_PROJECT}), []
    for _ in range(REPETITIONS):
        start = perf_counter()
        with sessions.begin() as session:
            query(session)
        times.append(perf_counter() - start)
    return 1000 * min(times)


def _print_table(sizes: list[int], columns: list[dict[str, float]]) -> None:
    click.echo("| query, ms | " + " | ".join(f"{size:,}" for size in sizes) + " |")
    click.echo("|---" * (len(sizes) + 1) + "|")
    for name in QUERIES:
        click.echo(f"| {name} | " + " | ".join(f"{column[name]:.2f}" for column in columns) + " |")


if __name__ == "__main__":
    main()
