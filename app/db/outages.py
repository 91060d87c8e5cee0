"""The one definition of "database unavailable", and its handling. Imports no torch."""

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

log = structlog.get_logger()

OUTAGE_ERRORS = (OperationalError, InterfaceError, PoolTimeout)
"""The exceptions of a database that is unreachable at the moment."""


def is_outage(error: Exception) -> bool:
    """Return whether the error means that the database is unreachable, or that it cut the connection."""
    return isinstance(error, OUTAGE_ERRORS) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def is_disk_full(error: Exception) -> bool:
    """Return whether the database has no space for a write."""
    original = getattr(error, "orig", None)
    return getattr(original, "sqlite_errorname", None) == "SQLITE_FULL" or getattr(original, "sqlstate", None) == "53100"


def tolerate_outage(error: Exception) -> None:
    """Log the outage; re-raise errors that retrying cannot fix (unknown table or column).

    SQLite's driver has one class for both. PostgreSQL's has its own classes for unknown names.
    """
    if getattr(getattr(error, "orig", None), "sqlite_errorname", None) == "SQLITE_ERROR":
        raise error
    log.warning("database.unreachable", error=str(error))
