"""What the commands do before their work: read the settings, create the tables."""

import structlog
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.cli.errors import CommandError
from app.errors import SchemaTooNew
from app.observability import logs
from app.processes.parent_death import end_with
from app.settings import Settings

log = structlog.get_logger()


def load_settings(process: str) -> Settings:
    """Return the settings and configure the log. Raise CommandError that names each invalid setting."""
    try:
        settings = Settings()
    except ValidationError as error:
        lines = [_setting_error(details) for details in error.errors()]
        raise CommandError("\n".join(["Some settings are invalid. Correct them and start again.", *lines])) from error
    logs.configure(settings.log_level, settings.process_name or process)
    if settings.parent_pid and not end_with(settings.parent_pid):
        raise CommandError("The process that started this one has ended.")
    return settings


def create_tables(settings: Settings) -> None:
    """Create or update the database tables."""
    from app.db.migrate import upgrade

    try:
        upgrade(settings.database)
    except SchemaTooNew as error:
        raise CommandError(error.message) from error


def prepare_keys(settings: Settings, host: str) -> None:
    """Store the administrator's key of the settings. Raise CommandError if a server on `host` needs keys and there are none."""
    from sqlalchemy.exc import SQLAlchemyError

    from app.auth.startup import NoKeysError, prepare
    from app.db.session import SessionFactory, make_engine

    engine = make_engine(settings.database)
    try:
        prepare(SessionFactory(engine), settings, host)
    except NoKeysError as error:
        raise CommandError(str(error)) from error
    except SQLAlchemyError as error:  # the server starts nevertheless: its health check reports the database
        log.warning("keys.not_checked", error=str(error))
    finally:
        engine.dispose()


def _setting_error(details: ErrorDetails) -> str:
    """Return one line; errors of the whole model, such as a heartbeat that exceeds the lease, have no location."""
    name = f"ISTHMUS_{str(details['loc'][0]).upper()}: " if details["loc"] else ""
    return f"{name}{details['msg']}"
