"""Commands that prepare or check a deployment."""

import socket
from typing import Annotated

import typer

from app.cli.errors import EXIT_FAILED
from app.cli.output import Json, print_json


def migrate() -> None:
    """Create or update the database tables."""
    from app.cli.start import create_tables, load_settings

    create_tables(load_settings("migrate"))


def check(
    check_worker: Annotated[bool, typer.Option("--worker", help="Also check that a worker on this machine responds.")] = False,
    as_json: Json = False,
) -> None:
    """Check database, broker and storage, and exit with 1 if one is unreachable. For container health checks."""
    from app.broker.queue import CeleryQueue, make_celery
    from app.cli.start import load_settings
    from app.db.session import make_engine
    from app.observability.health import Dependencies

    settings = load_settings("check")
    celery, engine = make_celery(settings), make_engine(settings.database)
    errors: dict[str, Exception | str | None] = {**Dependencies.of(engine, CeleryQueue(celery), settings.open_storage()).errors()}
    engine.dispose()
    if check_worker and not errors["broker"]:
        nodes = [node for response in celery.control.ping(timeout=2) for node in response]
        local = [node for node in nodes if node.endswith(f"@{socket.gethostname()}")]
        errors["worker"] = None if local else "no worker on this machine responds"
    if as_json:
        print_json({name: str(error or "ok") for name, error in errors.items()})
    else:
        typer.echo("\n".join(f"{name}: {error or 'ok'}" for name, error in errors.items()))
    raise typer.Exit(EXIT_FAILED if any(errors.values()) else 0)
