"""What the commands do before their work: read the settings, create the tables."""

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.observability import logs
from app.settings import Settings


def load_settings(process: str) -> Settings:
    """Return the settings and configure the log. Raise ClickException that names each invalid setting."""
    try:
        settings = Settings()
    except ValidationError as error:
        lines = [_setting_error(details) for details in error.errors()]
        raise click.ClickException("\n".join(["Some settings are invalid. Correct them and start again.", *lines])) from error
    logs.configure(settings.log_level, settings.process_name or process)
    return settings


def create_tables(settings: Settings) -> None:
    """Create or update the database tables."""
    from app.db.migrate import upgrade

    upgrade(settings.database)


def _setting_error(details: ErrorDetails) -> str:
    """Return one line; errors of the whole model, such as a heartbeat that exceeds the lease, have no location."""
    name = f"ISTHMUS_{str(details['loc'][0]).upper()}: " if details["loc"] else ""
    return f"{name}{details['msg']}"
