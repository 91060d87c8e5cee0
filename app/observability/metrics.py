"""The metrics for Prometheus. Requests and predictions are counted in this process; jobs are read at each scrape.

Each server process counts its own requests: scrape every replica and sum them. Jobs and queue depth come from the
database and the broker and are the same for every replica: take the maximum.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import REGISTRY as PROCESS
from prometheus_client import CollectorRegistry, Gauge, Info, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.session import db_now
from app.db.tables import JobRow
from app.db.views import STATES
from app.job_state import JobStatus
from app.job_types import JOB_TYPES
from app.observability import job_totals, workers
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
GPU_LABELS = ("worker", "gpu")
ROWS_HELP = "Rows in the outputs of batch predictions."


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
    ended = job_totals.ended_totals(session)
    counts = Counter(job_totals.active_counts(session))
    for (kind, _, status), totals in ended.items():
        counts[kind, status] += totals.jobs
    families = []
    for kind, job_type in JOB_TYPES.items():
        family = GaugeMetricFamily(job_type.metric_name, job_type.metric_help, labels=["status"])
        for status in JobStatus:
            family.add_metric([status], counts[kind, status])
        families.append(family)
    rows = sum(totals.rows for totals in ended.values())
    return [*families, _durations(ended), CounterMetricFamily("isthmus_batch_prediction_rows", ROWS_HELP, value=rows)]


def worker_metrics(session: Session, lost_seconds: float) -> list[Metric]:
    """Return the workers by state, their GPUs, and the time that the oldest waiting job has waited."""
    listed = workers.listed(session, lost_seconds)
    states = GaugeMetricFamily("isthmus_workers", "Workers by state.", labels=["state"])
    for state, count in Counter(dict.fromkeys(STATES, 0) | Counter(view.state for view in listed)).items():
        states.add_metric([state], count)
    used = GaugeMetricFamily(
        "isthmus_gpu_utilisation", "Fraction of the last second in which the GPU computed.", labels=GPU_LABELS
    )
    memory = GaugeMetricFamily("isthmus_gpu_memory_used_bytes", "Memory of the GPU that is in use.", labels=GPU_LABELS)
    for view in listed:
        for number, gpu in enumerate(view.worker.device["gpus"]):
            for family, key in ((used, "utilisation"), (memory, "memory_used_bytes")):
                if gpu[key] is not None:
                    family.add_metric([view.worker.id, str(number)], gpu[key])
    return [states, used, memory, _waiting(session)]


def _waiting(session: Session) -> Metric:
    oldest = session.scalar(
        select(func.max(job_totals.Seconds(JobRow.run_after, db_now()))).where(JobRow.status == JobStatus.QUEUED)
    )
    help = "Time that the oldest waiting job has waited."
    return GaugeMetricFamily("isthmus_oldest_waiting_job_seconds", help, value=max(0.0, float(oldest or 0)))


def _durations(ended: dict[job_totals.Key, job_totals.Totals]) -> Metric:
    durations = HistogramMetricFamily(
        "isthmus_job_duration_seconds",
        "Run time of the last attempt of jobs that ended. Jobs without an algorithm have their kind as the label.",
        labels=["algorithm", "status"],
    )
    bounds = [*(str(float(bound)) for bound in job_totals.DURATION_BUCKETS), "+Inf"]
    for (_, algorithm, status), totals in ended.items():
        if totals.buckets[-1]:
            durations.add_metric([algorithm, status], list(zip(bounds, totals.buckets, strict=True)), sum_value=totals.seconds)
    return durations
