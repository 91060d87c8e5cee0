"""The Celery application of workers and beat: `celery -A worker.celery_app worker -P prefork -c 1 ...`. Imports no torch."""

import logging
from typing import Any

from celery.signals import setup_logging, worker_shutting_down

from app.broker.queue import make_celery
from app.observability import logs
from app.settings import Settings
from worker.supervision.shutdown import ShutdownRequest

settings = Settings()
celery = make_celery(settings)
celery.conf.include = ["worker.tasks"]
drain = ShutdownRequest()  # before the pool forks


@setup_logging.connect  # type: ignore[untyped-decorator]
def configure_logging(**_: Any) -> None:
    logs.configure(settings.log_level, settings.process_name or "worker")
    for name in ("celery.app.trace", "celery.worker.strategy"):  # one line for each task, in addition to our own
        logging.getLogger(name).setLevel(logging.WARNING)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _drain(**_: Any) -> None:
    drain.worker_is_stopping.set()
