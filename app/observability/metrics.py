"""The metrics for Prometheus. Requests and predictions are counted in this process; jobs are read at each scrape.

Each server process counts its own requests: scrape every replica and sum them. Jobs and queue depth come from the
database and the broker and are the same for every replica: take the maximum.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import REGISTRY as PROCESS
from prometheus_client import CollectorRegistry, Gauge, Info, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from app.db.tables import JobRow, OutputRow
from app.job_state import ENDED, JobStatus
from app.job_types import JOB_TYPES
from app.observability.counters import CounterVec, HistogramVec

REQUESTS = CounterVec("isthmus_http_requests", "HTTP requests.", ["method", "route", "status"])
REQUEST_SECONDS = HistogramVec(
    "isthmus_http_request_seconds",
    "Time to the start of the response.",
    ["method", "route"],
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
PREDICTION_SECONDS = HistogramVec(
    "isthmus_prediction_seconds",
    "Time to predict the inputs of one request, including the time in queues.",
    ["modality"],
    (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
PREDICTED_INPUTS = CounterVec("isthmus_predicted_inputs", "Inputs that were predicted.", ["modality"])
BUILD = Info("isthmus_build", "Version of the service.")

DURATION_BUCKETS = (10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)


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


@dataclass(eq=False)
class Snapshot:
    """Prometheus collector of metrics that were read before."""

    families: list[Metric]

    def collect(self) -> Iterator[Metric]:
        yield from self.families


def render(dependencies_up: dict[str, bool], families: list[Metric]) -> bytes:
    """Return the text of one scrape: the counters of this process, the state of its dependencies, and `families`."""
    registry = CollectorRegistry()
    up = Gauge("isthmus_dependency_up", "1 if this dependency is reachable, else 0.", ["dependency"], registry=registry)
    for name, is_up in dependencies_up.items():
        up.labels(name).set(is_up)
    registry.register(Snapshot(families))
    return generate_latest(PROCESS) + generate_latest(registry)


def queue_depth(depth: int) -> Metric:
    """Return the metric of the broker's queue."""
    return GaugeMetricFamily("isthmus_queue_depth", "Messages that wait for a worker.", value=depth)


def job_metrics(session: Session) -> list[Metric]:
    """Return the jobs of every kind by state, the durations of their last attempts, and the number of predicted rows."""
    families = {
        kind: GaugeMetricFamily(job_type.metric_name, job_type.metric_help, labels=["status"])
        for kind, job_type in JOB_TYPES.items()
    }
    rows = session.execute(select(JobRow.kind, JobRow.status, func.count()).group_by(JobRow.kind, JobRow.status))
    counts = {(kind, status): count for kind, status, count in rows}
    for kind, family in families.items():
        for status in JobStatus:
            family.add_metric([status], counts.get((kind, status), 0))
    return [*families.values(), _durations(session), _batch_prediction_rows(session)]


def _batch_prediction_rows(session: Session) -> Metric:
    rows = session.scalar(select(func.coalesce(func.sum(OutputRow.rows), 0)))
    return CounterMetricFamily("isthmus_batch_prediction_rows", "Rows in the outputs of batch predictions.", value=int(rows or 0))


def _durations(session: Session) -> Metric:
    durations = HistogramMetricFamily(
        "isthmus_job_duration_seconds",
        "Run time of the last attempt of jobs that ended. Jobs without an algorithm have their kind as the label.",
        labels=["algorithm", "status"],
    )
    for algorithm, status, total, *counts in session.execute(_duration_query()):
        buckets = [*(str(float(bound)) for bound in DURATION_BUCKETS), "+Inf"]
        durations.add_metric([algorithm, status], list(zip(buckets, counts, strict=True)), sum_value=total)
    return durations


def _duration_query() -> Select[Any]:
    seconds: ColumnElement[float] = Seconds(JobRow.started_at, JobRow.finished_at)
    algorithm = func.coalesce(JobRow.params["algorithm"].as_string(), JobRow.kind)
    below = [func.count().filter(seconds <= bound) for bound in DURATION_BUCKETS]
    return (
        select(algorithm, JobRow.status, func.sum(seconds), *below, func.count())
        .where(JobRow.status.in_(ENDED), JobRow.started_at.is_not(None))
        .group_by(algorithm, JobRow.status)
    )
