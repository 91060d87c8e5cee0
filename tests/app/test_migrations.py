"""The migrations build what `app.db.tables` says, on both databases, and can be taken back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect

from app.db.session import make_engine
from tests.conftest import ROOT, create_postgres_database


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    """A migrated database of its own."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/isthmus.db"
    else:
        url = create_postgres_database(request.getfixturevalue("postgres_server"), "migrations")
    engine = make_engine(url)
    with engine.begin() as connection:
        command.upgrade(config(connection), "head")
        yield connection
    engine.dispose()


def config(connection: Connection) -> Config:
    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    config.attributes["connection"] = connection
    return config


def test_nothing_is_left_to_migrate(connection: Connection) -> None:
    command.check(config(connection))


def test_job_and_version_refer_to_each_other(connection: Connection) -> None:
    for table, referred in (("job", "version"), ("version", "job")):
        assert referred in [key["referred_table"] for key in inspect(connection).get_foreign_keys(table)]


def test_a_downgrade_leaves_nothing_and_an_upgrade_works_again(connection: Connection) -> None:
    command.downgrade(config(connection), "base")
    assert inspect(connection).get_table_names() == ["alembic_version"]
    command.upgrade(config(connection), "head")
    command.check(config(connection))
