"""A database that is away for a while is borne. Imports no torch."""

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

log = structlog.get_logger()

OUTAGE_ERRORS = (OperationalError, InterfaceError, PoolTimeout)


def tolerate_outage(error: Exception) -> None:
    """The database will come back. Raises the error where it is there and does not know a table or a column, which will not.

    SQLite's driver has one class for both; that of PostgreSQL has classes of their own for what is not known.
    """
    if getattr(getattr(error, "orig", None), "sqlite_errorname", None) == "SQLITE_ERROR":
        raise error
    log.warning("database.unreachable", error=str(error))
