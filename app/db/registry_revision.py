"""The revision of the model registry: a number that grows whenever model references may mean other versions.

Context: predictions must not query the database each time, yet a moved alias takes effect at once in this process and within a
second in the others. Decision: one row holds a number that grows in the transaction of every such change; other processes read it
a few times a second. This process also counts its own commits in memory, for each session factory. On PostgreSQL the row is
locked from the change to the commit, so `bump_revision` is called near the end of a transaction. Alternatives: LISTEN/NOTIFY
(PostgreSQL only, one more connection for each process); the newest time in the tables (a transaction that began earlier may
commit later, unseen).
"""

from contextlib import closing

from sqlalchemy import Engine, event, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.db.session import REGISTRY_COMMITS
from app.db.tables import RegistryRevisionRow

_SELECT_REVISION = f"SELECT revision FROM {RegistryRevisionRow.__tablename__}"


def bump_revision(session: Session) -> None:
    """Announce with this transaction's commit that references may mean other versions."""
    session.execute(update(RegistryRevisionRow).values(revision=RegistryRevisionRow.revision + 1))

    def count(_: Session) -> None:  # a new function each time: SQLAlchemy registers the same one only once
        session.info[REGISTRY_COMMITS].count += 1

    event.listen(session, "after_commit", count, once=True)


def read_revision(engine: Engine) -> int:
    """Return the present number. Raise OperationalError.

    It is read outside any SQLAlchemy transaction, which would wait for the writer on SQLite.
    """
    try:
        with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(_SELECT_REVISION)
            return int(cursor.fetchall()[0][0])
    except engine.dialect.loaded_dbapi.Error as error:
        raise OperationalError(_SELECT_REVISION, None, error) from error
