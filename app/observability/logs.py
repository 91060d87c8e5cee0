"""JSON log lines on standard error, in one format for events of this service, uvicorn, Celery and SQLAlchemy.

Every line has `timestamp`, `level`, `event` and `logger`. Lines of a request or job also have the fields bound with
`structlog.contextvars`, such as `request_id` or `job_id`.
"""

import json
import logging
import sys
import warnings

import structlog
from structlog.typing import Processor

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
]
# RequestContext logs requests, Celery logs reconnects of the broker, and app.db.migrate logs migrations
_QUIET = {"uvicorn.access": logging.ERROR, "httpx": logging.WARNING, "kombu": logging.ERROR, "alembic": logging.WARNING}


def configure(level: str, process: str = "") -> None:
    """Make this process log in JSON. If `process` is given, every line has that field."""
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, quiet_level in _QUIET.items():
        logging.getLogger(name).setLevel(quiet_level)
    logging.captureWarnings(True)
    warnings.simplefilter("default")


def _formatter(process: str) -> logging.Formatter:
    def arrange(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.pop("color_message", None)  # uvicorn's second copy of the event
        first = {"timestamp": event["timestamp"], "level": event["level"], "event": event["event"]}
        return {**first, **({"process": process} if process else {}), **event}

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            arrange,
            structlog.processors.JSONRenderer(default=str),
        ],
    )


def readable_line(line: str) -> str:
    """Return a JSON line of the log for a person: time, process, event and fields. Other lines are returned as they are."""
    try:
        fields = json.loads(line)
        time, event = fields.pop("timestamp")[11:19], fields.pop("event")
    except (ValueError, LookupError, AttributeError, TypeError):
        return line
    process, level = fields.pop("process", ""), fields.pop("level", "info")
    fields.pop("logger", None)
    marked = "" if level == "info" else f"{level.upper()} "
    rest = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{time} {process:<10} {marked}{event} {rest}".rstrip() + "\n"
