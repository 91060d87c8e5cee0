"""The revision of a database's schema, compared with the one that this release needs."""

from contextlib import closing
from functools import cache
from pathlib import Path

import structlog
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.db.session import make_engine
from app.errors import SchemaMismatch, SchemaTooNew

log = structlog.get_logger()

SCRIPTS = Path(__file__).parents[2] / "migrations"
_SELECT_REVISION = "SELECT version_num FROM alembic_version"


def check_schema(engine: Engine) -> None:
    """Raise SchemaMismatch unless the database has this release's schema, and the driver's error if it is unreachable.

    It is read outside any transaction, which would wait for the writer on SQLite.
    """
    revision = _read_revision(engine)
    if revision == required_revision():
        return
    require_known(revision)
    present = f"has revision {revision}" if revision else "is missing"
    raise SchemaMismatch(
        f"The schema of the database {present}, and this release needs {required_revision()}. Run `isthmus migrate`."
    )


def require_known(revision: str | None) -> None:
    """Raise SchemaTooNew for a revision that this release does not have, because a newer one made it."""
    if revision is not None and revision not in _known_revisions():
        raise SchemaTooNew(
            f"A newer release of Isthmus made the schema of the database: it has revision {revision}, and this release "
            f"knows revisions up to {required_revision()}. Install the newer release, or restore a backup of the database."
        )


def check_at_start(url: str) -> None:
    """Raise SchemaTooNew; log any other mismatch, and an unreachable database, which may end while the process runs."""
    engine = make_engine(url)
    try:
        check_schema(engine)
    except SchemaTooNew:
        raise
    except SchemaMismatch as error:
        log.warning("database.schema_mismatch", error=error.message)
    except (SQLAlchemyError, engine.dialect.loaded_dbapi.Error) as error:
        log.warning("database.unreachable", error=str(error))
    finally:
        engine.dispose()


@cache
def required_revision() -> str:
    """Return the newest revision of this release."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


@cache
def _known_revisions() -> frozenset[str]:
    return frozenset(script.revision for script in _scripts().walk_revisions())


def _scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    return ScriptDirectory.from_config(config)


def _read_revision(engine: Engine) -> str | None:
    """Return the database's revision, None for a database without tables."""
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        try:
            cursor.execute(_SELECT_REVISION)
        except engine.dialect.loaded_dbapi.Error as error:
            if "alembic_version" in str(error):  # no such table
                return None
            raise
        rows = cursor.fetchall()
    return str(rows[0][0]) if rows else None
