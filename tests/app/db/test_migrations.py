"""Migrations build the tables of `app.db.tables` on both databases and can be downgraded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError

from app.db.session import make_engine
from tests.support.databases import create_postgres_database
from tests.support.paths import ROOT


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    """Yield a connection to a new, migrated database."""
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


def test_migrations_match_the_tables(connection: Connection) -> None:
    command.check(config(connection))


def test_job_and_version_refer_to_each_other(connection: Connection) -> None:
    for table, referred in (("job", "version"), ("version", "job")):
        assert referred in [key["referred_table"] for key in inspect(connection).get_foreign_keys(table)]


def test_downgrade_removes_all_tables_and_upgrade_restores_them(connection: Connection) -> None:
    command.downgrade(config(connection), "base")
    assert inspect(connection).get_table_names() == ["alembic_version"]
    command.upgrade(config(connection), "head")
    command.check(config(connection))


def test_migration_of_trials_keeps_jobs_in_both_directions(connection: Connection) -> None:
    command.downgrade(config(connection), "0001")
    insert_job(connection, "0", kind="adapt")
    insert(connection, "event", job_id="0" * 32, attempt=0, kind="queued", data="{}", created_at=NEW_YEAR)
    command.upgrade(config(connection), "0002")
    parent = {"parent_id": "0" * 32}
    insert_job(connection, "1", kind="trial", trial="1-0-mcc", **parent)
    assert is_rejected(connection, kind="trial", trial="1-1-mcc")
    assert is_rejected(connection, kind="adapt", trial="1-1-mcc", **parent)
    assert is_rejected(connection, kind="trial", trial="1-0-mcc", **parent)
    assert is_rejected(connection, kind="trial", trial="1-1-mcc", parent_id="3" * 32)
    assert is_rejected(connection, kind="nonsense")

    command.downgrade(config(connection), "0001")
    assert connection.scalars(text("SELECT kind FROM job")).all() == ["adapt"]
    assert connection.scalars(text("SELECT kind FROM event")).all() == ["queued"]
    assert is_rejected(connection, kind="trial")
    assert not is_rejected(connection, kind="predict")


def test_migration_of_job_kinds_renames_them_in_both_directions(connection: Connection) -> None:
    command.downgrade(config(connection), "0003")
    insert_job(connection, "0", kind="adapt")
    insert_job(connection, "1", kind="predict")
    insert_job(connection, "2", kind="trial", trial="1-0-mcc", parent_id="0" * 32)
    connection.execute(text("UPDATE catalogue SET revision = 7"))
    command.upgrade(config(connection), "head")
    assert kinds(connection) == ["adaptation", "batch_prediction", "trial"]
    assert connection.scalar(text("SELECT revision FROM registry_revision")) == 7
    insert_job(connection, "3", kind="evaluation")
    assert is_rejected(connection, kind="trial", trial="1-1-mcc")

    command.downgrade(config(connection), "0003")
    assert kinds(connection) == ["adapt", "predict", "trial"]
    assert connection.scalar(text("SELECT revision FROM catalogue")) == 7
    assert is_rejected(connection, kind="evaluation")


def kinds(connection: Connection) -> list[str]:
    return list(connection.scalars(text("SELECT kind FROM job ORDER BY id")))


NEW_YEAR = "2026-01-01 00:00:00"


def is_rejected(connection: Connection, **values: object) -> bool:
    try:
        with connection.begin_nested():
            insert_job(connection, "9", **values)
    except IntegrityError:
        return True
    return False


def insert_job(connection: Connection, digit: str, **values: object) -> None:
    numbers = {"attempt": 0, "max_attempts": 3, "progress": 0}
    texts = {"model_name": "m", "base": "{}", "params": "{}", "metrics": "{}", "warnings": "[]", "status": "queued"}
    times = dict.fromkeys(("run_after", "created_at", "updated_at"), NEW_YEAR)
    insert(connection, "job", id=digit * 32, **numbers, **texts, **times, **values)


def insert(connection: Connection, table: str, **values: object) -> None:
    literals = ", ".join(f"'{value}'" for value in values.values())
    connection.execute(text(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({literals})"))
