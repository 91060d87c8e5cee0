"""Removal of files whose rows were deleted.

Decision: the transaction that deletes rows writes the keys of their files to the table `file_deletion`. Files on this machine
are removed right after the commit, and the sweep removes all others. Context: a storage has no transactions. An object store may
be unreachable, and a request that waits for it would keep its database slot. Consequences: a rollback keeps all files, a crash
after the commit loses none of the removals, and removing a file twice is harmless. Alternatives: removal before the commit can
lose files of rows that stay; removal after it alone leaves files behind when the process dies.
"""

from collections.abc import Iterable

import structlog
from sqlalchemy import delete, event, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, sessionmaker

from app.db.session import db_now
from app.db.tables import FileDeletionRow
from app.errors import StorageUnavailable
from app.storage import Storage

log = structlog.get_logger()

MAX_IMMEDIATE = 5
"""Local files that are removed right after the commit; the sweep removes the others."""
MAX_SWEPT = 100
GRACE_SECONDS = 60
"""The sweep leaves the newest local files to the process that committed their removal."""


def schedule(session: Session, storage: Storage, keys: Iterable[str]) -> None:
    """Remove these files or folders after the commit of this transaction, which has deleted the rows that name them."""
    unique = sorted(set(keys))
    if not unique:
        return
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    # the folder of a job may wait for the sweep since its version was deleted
    session.execute(insert(FileDeletionRow).on_conflict_do_nothing(), [{"storage_key": key} for key in unique])
    if storage.is_local:
        event.listen(session, "after_commit", lambda _: remove(storage, unique[:MAX_IMMEDIATE]), once=True)


def remove_remaining(sessions: "sessionmaker[Session]", storage: Storage) -> int:
    """Remove some of the files that should be gone, oldest first; return how many."""
    due = select(FileDeletionRow.storage_key)
    if storage.is_local:
        due = due.where(FileDeletionRow.created_at < db_now(-GRACE_SECONDS))
    with sessions() as session:
        keys = session.scalars(due.order_by(FileDeletionRow.created_at).limit(MAX_SWEPT)).all()
    removed = remove(storage, keys)
    if removed:
        with sessions.begin() as session:
            session.execute(delete(FileDeletionRow).where(FileDeletionRow.storage_key.in_(removed)))
    return len(removed)


def remove(storage: Storage, keys: Iterable[str]) -> list[str]:
    """Remove files or folders. Return the keys that were removed, up to the first error."""
    removed = []
    for key in keys:
        try:
            storage.delete(key)
        except (OSError, StorageUnavailable) as error:  # callers do not see the rows any more; the file only uses space
            log.warning("storage.file_not_removed", storage_key=key, error=str(error))
            break
        removed.append(key)
    return removed
