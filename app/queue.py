"""How the app tells workers that there is work. A message is a hint, the database is the truth (see the jobs service)."""

from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from celery import Celery
from kombu.exceptions import OperationalError

from app.errors import ServiceUnavailable
from app.settings import Settings

RUN_JOB = "isthmus.run_job"
SWEEP = "isthmus.sweep"
QUEUE = "jobs"


class JobQueue(Protocol):
    """The port: tests use a list, the service uses Celery."""

    def send(self, job_id: UUID) -> None:
        """Hint that this job is waiting. Raises ServiceUnavailable; the sweep sends again what was not sent."""

    def depth(self) -> int:
        """Messages that wait for a worker."""

    def check(self) -> None:
        """Raise when the broker cannot be reached."""


def make_celery(settings: Settings) -> Celery:
    """The Celery application of every process; only `worker.celery_app` adds tasks to it. JOBS: no result backend, JSON only."""
    celery = Celery("isthmus", broker=settings.broker)
    is_redis = settings.broker.startswith("redis")
    celery.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_default_queue=QUEUE,
        task_reject_on_worker_lost=False,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.2},
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=is_redis,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport_options(settings),
        beat_schedule={
            "sweep": {"task": SWEEP, "schedule": timedelta(seconds=settings.sweep_seconds), "options": {"expires": 60}}
        },
        beat_schedule_filename=str(settings.data_dir.absolute() / "beat-schedule"),
    )
    return celery


def _transport_options(settings: Settings) -> dict[str, Any]:
    if settings.broker.startswith("filesystem"):
        folders = {name: settings.broker_dir / name for name in ("messages", "processed", "control")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        return {
            "data_folder_in": str(folders["messages"]),
            "data_folder_out": str(folders["messages"]),
            "processed_folder": str(folders["processed"]),
            "control_folder": str(folders["control"]),
        }
    return {"socket_timeout": 5, "socket_connect_timeout": 2}


class CeleryQueue:
    """The broker as a JobQueue. Blocks for about a second at the most when the broker is away."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery

    def send(self, job_id: UUID) -> None:
        try:
            self._celery.send_task(RUN_JOB, args=[str(job_id)], ignore_result=True)
        except OperationalError as error:
            raise ServiceUnavailable("The broker is not reachable.") from error

    def depth(self) -> int:
        with self._celery.connection_for_read() as connection, connection.channel() as channel:
            return int(channel.queue_declare(queue=QUEUE, passive=False, durable=True).message_count)

    def check(self) -> None:
        with self._celery.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
