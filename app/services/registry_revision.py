"""The revision of the catalogue: whoever keeps what model references mean in memory learns here that it may have changed.

Context: predictions must not ask the database each time, yet an alias that moves counts at once in this process and within
a second in the others. Decision: a single row whose number grows in the same transaction as every such change; others read
it a few times a second. In this process a commit is also counted in memory. On PostgreSQL the row is locked from the change
to its commit, so that `touch` is the last statement of its transaction. Alternatives: LISTEN/NOTIFY (PostgreSQL only, one
more connection a process); the newest time in the tables (a transaction that began earlier may commit later, unseen).
"""

from dataclasses import dataclass

from sqlalchemy import Engine, event, update
from sqlalchemy.orm import Session

from app.db.tables import RegistryRevisionRow


@dataclass(slots=True)
class Commits:
    """How many changes of the catalogue this process has committed."""

    count: int = 0


LOCAL_COMMITS = Commits()


def bump_revision(session: Session) -> None:
    """Tell, with this transaction's commit, that references may mean other versions."""
    session.execute(update(RegistryRevisionRow).values(revision=RegistryRevisionRow.revision + 1))

    def count(_: Session) -> None:  # a function of its own each time: SQLAlchemy calls one and the same only once
        LOCAL_COMMITS.count += 1

    event.listen(session, "after_commit", count, once=True)


def revision(engine: Engine) -> int:
    """The present number. Outside any transaction of SQLAlchemy's: on SQLite that would wait for whoever is writing."""
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT revision FROM catalogue")
        rows = cursor.fetchall()
        cursor.close()
        return int(rows[0][0])
    finally:
        connection.close()
