"""The client of the commands that call a service, and the exit codes of its errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.errors import EXIT_FAILED, EXIT_JOB_FAILED, EXIT_NOT_ALLOWED, EXIT_NOT_FOUND, EXIT_UNREACHABLE, CommandError

if TYPE_CHECKING:
    from isthmus import Client

Url = Annotated[
    str | None, typer.Option(envvar="ISTHMUS_URL", help="Address of the service.", show_default="http://127.0.0.1:8000")
]


@contextmanager
def connected(url: str | None) -> "Iterator[Client]":
    """Yield a client. Its errors end the command with a message and an exit code."""
    import isthmus
    from isthmus import errors

    codes = {
        errors.ConnectionFailedError: EXIT_UNREACHABLE,
        errors.AuthenticationError: EXIT_NOT_ALLOWED,
        errors.PermissionDeniedError: EXIT_NOT_ALLOWED,
        errors.NotFoundError: EXIT_NOT_FOUND,
        errors.JobFailedError: EXIT_JOB_FAILED,
    }
    try:
        with isthmus.Client(url) as client:
            yield client
    except isthmus.IsthmusError as error:
        raise CommandError(_message(error), codes.get(type(error), EXIT_FAILED)) from error
    except (OSError, TypeError, ValueError) as error:
        raise CommandError(str(error)) from error


def _message(error: Exception) -> str:
    """Return the message with the invalid fields, rows or files below it."""
    fields = getattr(error, "errors", ())
    return "\n".join([str(error), *(f"  {field['pointer']}: {field['detail']}" for field in fields)])
