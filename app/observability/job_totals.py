"""Totals of jobs for the metrics, without a scan of all jobs.

Decision: the table `job_total` holds the totals of ended jobs, and the sweep adds each ended job once (`JobRow.counted_at`).
Context: a scrape that groups 100,000 jobs takes a second and holds SQLite's write lock. Consequences: a scrape reads the totals
and the few jobs that are not in them yet, in one transaction, and is exact. Alternatives: an update in the transaction that ends
a job makes all jobs that end wait for one row, and jobs that end together can deadlock; database triggers exist twice and are
hidden.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import add
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from app.db.session import db_now
from app.db.tables import JobRow, JobTotalRow, OutputRow
from app.job_state import JobStatus

DURATION_BUCKETS = (10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
MAX_JOBS = 1000
"""Jobs that one call adds to the totals."""
_ALGORITHM = func.coalesce(JobRow.params["algorithm"].as_string(), JobRow.kind)
_NOT_COUNTED = JobRow.counted_at.is_(None)
_HAS_ENDED = JobRow.finished_at.is_not(None)  # SQLite would choose an index of all jobs for a condition on the status

Key = tuple[str, str, JobStatus]
"""Kind, algorithm and status of an ended job. Jobs without an algorithm have their kind instead."""


class Seconds(FunctionElement[float]):
    """SQL expression of the seconds between two instants, for every database."""

    name = "seconds_between"
    inherit_cache = True


@compiles(Seconds, "postgresql")
def _postgresql_seconds(element: Seconds, compiler: SQLCompiler, **kw: object) -> str:
    start, end = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"extract(epoch from ({end} - {start}))::float8"


@compiles(Seconds, "sqlite")
def _sqlite_seconds(element: Seconds, compiler: SQLCompiler, **kw: object) -> str:
    start, end = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"((julianday({end}) - julianday({start})) * 86400.0)"


@dataclass(slots=True)
class Totals:
    """Number of ended jobs, sum and histogram of their durations, and rows of their outputs."""

    jobs: int = 0
    seconds: float = 0.0
    buckets: Sequence[int] = (0,) * (len(DURATION_BUCKETS) + 1)
    rows: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        buckets = list(map(add, self.buckets, other.buckets))
        return Totals(self.jobs + other.jobs, self.seconds + other.seconds, buckets, self.rows + other.rows)


def count_ended(session: Session, *which: ColumnElement[bool]) -> int:
    """Add ended jobs that meet all conditions to the totals; return how many. Each job is added once."""
    free = select(JobRow.id).where(_NOT_COUNTED, _HAS_ENDED, *which).limit(MAX_JOBS)
    job_ids = session.scalars(free.with_for_update(skip_locked=True)).all()
    if not job_ids:
        return 0
    are_these = JobRow.id.in_(job_ids)
    for key, totals in sorted(_aggregate(session, are_these).items()):  # in one order, so that no two transactions deadlock
        row = session.get(JobTotalRow, key, with_for_update=True)
        _store(session, key, row, totals)
    session.execute(update(JobRow).where(are_these).values(counted_at=db_now(), updated_at=JobRow.updated_at))
    return len(job_ids)


def forget(session: Session, job_ids: Iterable[UUID]) -> None:
    """Remove ended jobs, which are about to be deleted, from the numbers of jobs. Their durations remain in the histogram."""
    are_these = JobRow.id.in_(list(job_ids))
    # a sweep that counts some of them now would be skipped, and would add them after their deletion
    session.execute(select(JobRow.id).where(are_these).order_by(JobRow.id).with_for_update())
    while count_ended(session, are_these):
        pass
    keys = session.execute(select(JobRow.kind, _ALGORITHM, JobRow.status).where(are_these)).all()
    for key, count in sorted(Counter(tuple(row) for row in keys).items()):
        row = session.get(JobTotalRow, key, with_for_update=True)
        if row is not None:
            row.jobs -= count
    session.flush()


def ended_totals(session: Session) -> dict[Key, Totals]:
    """Return the totals of all ended jobs."""
    rows = session.scalars(select(JobTotalRow)).all()
    totals = {(row.kind, row.algorithm, JobStatus(row.status)): _of_row(row) for row in rows}
    for key, uncounted in _aggregate(session, _NOT_COUNTED).items():
        totals[key] = totals.get(key, Totals()) + uncounted
    return totals


def active_counts(session: Session) -> dict[tuple[str, JobStatus], int]:
    """Return the numbers of jobs that have not ended, by kind and status."""
    query = select(JobRow.kind, JobRow.status, func.count()).where(_NOT_COUNTED, JobRow.finished_at.is_(None))
    return {(kind, status): count for kind, status, count in session.execute(query.group_by(JobRow.status, JobRow.kind))}


def _of_row(row: JobTotalRow) -> Totals:
    return Totals(row.jobs, row.seconds, row.buckets, row.rows)


def _store(session: Session, key: Key, row: JobTotalRow | None, totals: Totals) -> None:
    if row is None:
        kind, algorithm, status = key
        row = JobTotalRow(kind=kind, algorithm=algorithm, status=status)
        session.add(row)
        total = totals
    else:
        total = _of_row(row) + totals
    row.jobs, row.seconds, row.buckets, row.rows = total.jobs, total.seconds, list(total.buckets), total.rows
    session.flush()


def _aggregate(session: Session, which: ColumnElement[bool]) -> dict[Key, Totals]:
    found = {}
    for kind, algorithm, status, jobs, seconds, rows, *buckets in session.execute(_aggregate_query(which)):
        found[kind, algorithm, status] = Totals(jobs, seconds or 0.0, buckets, int(rows or 0))
    return found


def _aggregate_query(which: ColumnElement[bool]) -> Select[Any]:
    seconds: ColumnElement[float] = Seconds(JobRow.started_at, JobRow.finished_at)
    below = [func.count().filter(seconds <= bound) for bound in DURATION_BUCKETS]
    started = func.count(JobRow.started_at)
    query = select(JobRow.kind, _ALGORITHM, JobRow.status, func.count(), func.sum(seconds), func.sum(OutputRow.rows))
    query = query.add_columns(*below, started).outerjoin(JobRow.output).where(which, _HAS_ENDED)
    return query.group_by(JobRow.kind, _ALGORITHM, JobRow.status)
