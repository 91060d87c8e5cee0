"""Migration of a database to the newest revision, from a checkout or from an installed package."""

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from app.db.schema import SCRIPTS, require_known
from app.db.session import make_engine

log = structlog.get_logger()

_LOCK = 0x15714  # any constant; it serialises processes that migrate at the same time


def upgrade(url: str) -> None:
    """Run the missing migrations in one transaction, all or nothing. Raise SchemaTooNew if a newer release made the schema."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            before = MigrationContext.configure(connection).get_current_revision()
            require_known(before)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            after = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    log.info("database.migrated", before=before, after=after)
