"""The schema of the database is compared with the one of this release."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from app.db.migrate import upgrade
from app.db.schema import check_schema, required_revision
from app.db.session import make_engine
from app.errors import SchemaMismatch, SchemaTooNew
from app.main import create_app
from app.settings import Settings
from tests.support.databases import create_postgres_database
from tests.support.list_queue import ListQueue
from tests.support.paths import ROOT


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Open a new, migrated database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/isthmus.db"
        upgrade(url)
    else:
        url = create_postgres_database(request.getfixturevalue("postgres_server"), "schema")
    engine = make_engine(url)
    yield engine
    engine.dispose()


def set_revision(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def test_schema_of_this_release_is_accepted(migrated: Engine) -> None:
    check_schema(migrated)


def test_older_schema_is_reported_with_the_command(migrated: Engine) -> None:
    set_revision(migrated, "0001")
    with pytest.raises(SchemaMismatch, match=f"has revision 0001, and this release needs {required_revision()}. Run `isthmus"):
        check_schema(migrated)


def test_database_without_tables_is_reported_with_the_command(migrated: Engine) -> None:
    with migrated.begin() as connection:
        config = Config(toml_file=str(ROOT / "pyproject.toml"))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(SchemaMismatch, match=r"is missing, .*Run `isthmus migrate`"):
        check_schema(migrated)


def test_newer_schema_stops_the_migration(migrated: Engine) -> None:
    set_revision(migrated, "9999")
    with pytest.raises(SchemaTooNew, match="it has revision 9999"):
        upgrade(migrated.url.render_as_string(hide_password=False))


def test_readiness_follows_the_schema(settings: Settings) -> None:
    with TestClient(create_app(settings, ListQueue())) as client:
        missing = client.get("/health/ready")
        upgrade(settings.database)
        assert client.get("/health/ready").status_code == 200
        set_revision(client.app.state.engine, "9999")  # type: ignore[attr-defined]
        newer = client.get("/health/ready")
    assert (missing.status_code, missing.json()["database"], missing.json()["storage"]) == (503, "error", "ok")
    assert "Run `isthmus migrate`." in missing.json()["detail"]
    assert (newer.status_code, newer.json()["code"]) == (503, "not_ready")
    assert "Install the newer release" in newer.json()["detail"]


@pytest.mark.parametrize("process", ["migrate", "api", "beat"])
def test_newer_schema_gives_one_line_at_the_start(process: str, settings: Settings) -> None:
    upgrade(settings.database)
    engine = make_engine(settings.database)
    set_revision(engine, "9999")
    engine.dispose()
    started = subprocess.run(
        [sys.executable, "-P", "-m", "app.cli", process],
        cwd=settings.data_dir,
        env=os.environ | {"ISTHMUS_DATA_DIR": str(settings.data_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert started.returncode == 1
    assert "A newer release of Isthmus made the schema" in started.stderr.splitlines()[-1]
    assert "Traceback" not in started.stderr
