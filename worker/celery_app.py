"""The Celery application of workers and beat: `celery -A worker.celery_app worker -P prefork ...`. Imports no torch."""

import logging
import os
import sys
from typing import Any

import structlog
from celery.signals import beat_init, celeryd_init, setup_logging, worker_process_init, worker_shutting_down

from app.broker.queue import make_celery
from app.db.schema import check_at_start
from app.errors import SchemaTooNew
from app.observability import logs
from app.processes.parent_death import end_with
from app.settings import Settings
from worker.supervision.gpus import jobs_at_once
from worker.supervision.shutdown import ShutdownRequest

log = structlog.get_logger()
settings = Settings()
celery = make_celery(settings)
celery.conf.include = ["worker.tasks"]
celery.conf.worker_concurrency = jobs_at_once(settings)
drain = ShutdownRequest()  # before the pool forks


@setup_logging.connect  # type: ignore[untyped-decorator]
def configure_logging(**_: Any) -> None:
    logs.configure(settings.log_level, settings.process_name or "worker")
    for name in ("celery.app.trace", "celery.worker.strategy"):  # one line for each task, in addition to our own
        logging.getLogger(name).setLevel(logging.WARNING)


@celeryd_init.connect  # type: ignore[untyped-decorator]
@beat_init.connect  # type: ignore[untyped-decorator]
def _start(**_: Any) -> None:
    if settings.parent_pid and not end_with(settings.parent_pid):
        sys.exit(1)
    try:
        check_at_start(settings.database)
    except SchemaTooNew as error:
        log.error("database.schema_too_new", error=error.message)
        sys.exit(1)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _end_with_worker(**_: Any) -> None:
    end_with(os.getppid())


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _drain(**_: Any) -> None:
    drain.worker_is_stopping.set()
