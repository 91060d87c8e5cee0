"""Commands that prepare or check a deployment."""

import socket
import sys

import click

from app.cli.start import create_tables, load_settings


@click.command()
def migrate() -> None:
    """Create or update the database tables."""
    create_tables(load_settings("migrate"))


@click.command()
@click.option("--worker", "check_worker", is_flag=True, help="Also check that a worker on this machine responds.")
def check(check_worker: bool) -> None:
    """Check database, broker and storage, and exit with 1 if one is unreachable. For container health checks."""
    from app.broker.queue import CeleryQueue, make_celery
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
    for name, error in errors.items():
        click.echo(f"{name}: {error or 'ok'}")
    sys.exit(1 if any(errors.values()) else 0)
