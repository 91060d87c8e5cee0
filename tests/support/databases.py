"""Databases built by the migrations."""

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from app.db.session import make_engine
from tests.support.paths import ROOT


def create_postgres_database(server_url: str, name: str) -> str:
    """Create a migrated database on the server and return its URL."""
    admin = create_engine(server_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    admin.dispose()
    url = server_url.replace("/postgres?", f"/{name}?")
    migrate(url)
    return url


def migrate(url: str) -> None:
    engine = make_engine(url)
    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
