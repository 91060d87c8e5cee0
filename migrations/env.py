"""Runs the migrations on the database that the settings name, or on the connection that a caller passes in."""

from typing import Literal

from alembic import context
from sqlalchemy import JSON, Connection, text

import app.db.encoder_tables
import app.db.label_tables
import app.db.webhook_tables
import app.db.worker_tables  # noqa: F401  # they add their tables to Base.metadata
from app.db.session import UtcDateTime, make_engine
from app.db.tables import Base
from app.settings import Settings


def render_item(kind: str, item: object, _: object) -> str | Literal[False]:
    """Write our own column types as what the databases know, so that migrations never import the app."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, JSON):
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, render_item=render_item)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = make_engine(Settings().database)
    with engine.begin() as connection:
        run(connection)
    engine.dispose()
