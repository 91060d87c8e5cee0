"""The queue that notifies workers of jobs. A message is a hint; the database is the truth."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from celery import Celery
from kombu.exceptions import OperationalError

from app.errors import ServiceUnavailable
from app.settings import Settings

RUN_JOB = "isthmus.run_job"
SWEEP = "isthmus.sweep"
RETENTION = "isthmus.retention"
RETENTION_SECONDS = 60
QUEUE = "jobs"
BROKER_UNREACHABLE = "The broker cannot be reached."


class JobQueue(Protocol):
    """The interface to the broker. Tests use a list, the service uses Celery."""

    def send(self, job_id: UUID) -> None:
        """Notify a worker of this job. Raise ServiceUnavailable; the sweep sends lost messages again."""

    def depth(self) -> int:
        """Return the number of messages that wait for a worker. Raise ServiceUnavailable."""

    def check(self) -> None:
        """Raise ServiceUnavailable if the broker is unreachable."""


def make_celery(settings: Settings) -> Celery:
    """Make the Celery application of every process, without a result backend; `worker.celery_app` adds the tasks.

    A worker holds only the message of its running job, so that no idle worker waits for it. On Redis `worker_disable_prefetch`
    does this, elsewhere a late acknowledgement, which makes the running message fill the prefetch window.
    """
    celery = Celery("isthmus", broker=settings.broker)
    is_redis = settings.broker.startswith("redis")
    celery.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_default_queue=QUEUE,
        task_acks_late=not is_redis,
        task_reject_on_worker_lost=False,
        result_expires=None,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.2},
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=is_redis,
        worker_enable_prefetch_count_reduction=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=2,
        broker_transport="app.broker.filesystem_transport:Transport" if settings.broker.startswith("filesystem") else None,
        broker_transport_options=_transport_options(settings),
        beat_scheduler="worker.supervision.scheduler:SweepScheduler",
        beat_schedule={
            "sweep": {"task": SWEEP, "schedule": timedelta(seconds=settings.sweep_seconds)},
            "retention": {"task": RETENTION, "schedule": timedelta(seconds=RETENTION_SECONDS)},
        },
    )
    return celery


def _transport_options(settings: Settings) -> dict[str, Any]:
    if settings.broker.startswith("filesystem"):
        folders = {name: settings.broker_dir / name for name in ("messages", "processed", "control")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        return {
            "polling_interval": 0.1,  # a poll takes 0.02 ms
            "data_folder_in": str(folders["messages"]),
            "data_folder_out": str(folders["messages"]),
            "processed_folder": str(folders["processed"]),
            "control_folder": str(folders["control"]),
        }
    return {"socket_timeout": 2, "socket_connect_timeout": 2}


class CeleryQueue:
    """The broker as a JobQueue. An unreachable broker costs 0.2 s, a broker that accepts and never answers 2 to 4 s."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery

    def send(self, job_id: UUID) -> None:
        try:
            self._celery.send_task(RUN_JOB, args=[str(job_id)], ignore_result=True)
        except OperationalError as error:
            raise ServiceUnavailable(BROKER_UNREACHABLE) from error

    def depth(self) -> int:
        with self._connected() as connection, connection.channel() as channel:
            return int(channel.queue_declare(queue=QUEUE, passive=False, durable=True).message_count)

    def check(self) -> None:
        with self._connected():
            pass

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Open a separate connection, so that no stale one of the pool is used."""
        with self._celery.connection_for_write() as connection:
            try:
                yield connection.ensure_connection(max_retries=1, interval_start=0.1, timeout=2)
            except (OperationalError, *connection.connection_errors, *connection.channel_errors) as error:
                raise ServiceUnavailable(BROKER_UNREACHABLE) from error
