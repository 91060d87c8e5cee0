"""The one way to change a job: a conditional UPDATE ... RETURNING, whose rows are the changed jobs."""

from collections.abc import Sequence

from sqlalchemy import Update
from sqlalchemy.orm import Session

from app.db.tables import JobRow


def update_returning_one(session: Session, statement: Update) -> JobRow | None:
    """Return the job that the UPDATE changed, None if it matched no row."""
    return next(iter(update_returning(session, statement)), None)


def update_returning(session: Session, statement: Update) -> Sequence[JobRow]:
    """Return the jobs that the UPDATE changed; their rows are locked until the transaction ends."""
    options = {"synchronize_session": False, "populate_existing": True}
    return session.scalars(statement.returning(JobRow).execution_options(**options)).all()
