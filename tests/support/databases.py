"""Databases built by the migrations."""

from functools import cache

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from app.db.session import make_engine
from tests.support.paths import ROOT

TEMPLATE = "migrated"


def create_postgres_database(server_url: str, name: str) -> str:
    """Create a migrated database on the server and return its URL."""
    return _create(server_url, name, _migrated_template(server_url))


@cache
def _migrated_template(server_url: str) -> str:
    """Create the database that all others on the server are copies of, and return its name."""
    migrate(_create(server_url, TEMPLATE, "template1"))
    return TEMPLATE


def _create(server_url: str, name: str, template: str) -> str:
    admin = create_engine(server_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    admin.dispose()
    return server_url.replace("/postgres?", f"/{name}?")


def migrate(url: str) -> None:
    engine = make_engine(url)
    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
