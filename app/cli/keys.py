"""Commands that manage API keys, directly in the database."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError

from app.auth.scopes import SCOPES
from app.cli.start import create_tables, load_settings
from app.model_reference import DEFAULT_PROJECT

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.db.tables import ApiKeyRow

_Folder = click.Path(file_okay=False, path_type=Path)
Data = click.option("--data", type=_Folder, help="Folder of the embedded service, as for `up`.")


@click.group()
def keys() -> None:
    """Manage the API keys of callers. Servers follow within a second."""


@keys.command()
@click.argument("name")
@click.option("--scopes", required=True, help=f"Comma-separated: {', '.join(SCOPES)}.")
@click.option("--project", default=DEFAULT_PROJECT, help="Project in which the key works. It exists once something is in it.")
@click.option("--models", help="Comma-separated patterns of model names, such as `digits*`.  [default: all]", show_default=False)
@click.option("--days", type=click.IntRange(min=1), help="Days until it expires.  [default: never]", show_default=False)
@Data
def create(name: str, scopes: str, project: str, models: str | None, days: int | None, data: Path | None) -> None:
    """Create a key for NAME and print it. It is shown only once."""
    from app.auth import keys
    from app.schemas.keys import KeyCreate

    fields = {"name": name, "scopes": scopes.split(","), "project": project, "models": models.split(",") if models else None}
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    try:
        rights = KeyCreate.model_validate({**fields, "expires_at": expires_at}).rights()
    except ValidationError as error:
        raise click.ClickException("\n".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())) from error
    with _session(data) as session:
        row, text = keys.create(session, rights)
    _show_once(row, text)


@keys.command("list")
@Data
def list_keys(data: Path | None) -> None:
    """List the keys, newest first."""
    from app.auth import keys

    with _session(data) as session:
        rows = keys.page(session, 1000)
    for row in rows:
        columns = [row.id.ljust(8), _state(row).ljust(7), row.project, row.name, ",".join(row.scopes), *_narrowed(row)]
        click.echo("  ".join(columns))


@keys.command()
@click.argument("key_id", metavar="ID")
@Data
def revoke(key_id: str, data: Path | None) -> None:
    """Revoke the key with this ID."""
    from app.auth import keys
    from app.errors import KeyNotFound

    with _session(data) as session:
        try:
            keys.revoke(session, key_id)
        except KeyNotFound as error:
            raise click.ClickException(error.message) from error
    click.echo(f"Key {key_id} is revoked.")


@keys.command()
@click.argument("key_id", metavar="ID")
@Data
def rotate(key_id: str, data: Path | None) -> None:
    """Revoke the key with this ID and print a new one with the same rights."""
    from app.auth import keys
    from app.errors import KeyNotFound, KeyRevoked

    with _session(data) as session:
        try:
            row, text = keys.rotate(session, key_id)
        except (KeyNotFound, KeyRevoked) as error:
            raise click.ClickException(error.message) from error
    _show_once(row, text)


def _show_once(row: "ApiKeyRow", text: str) -> None:
    click.echo(f"Key {row.id} of {row.name}, project {row.project}. Store it now, it cannot be shown again:", err=True)
    click.echo(text)


def _state(row: "ApiKeyRow") -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= datetime.now(UTC) else "valid"


def _narrowed(row: "ApiKeyRow") -> list[str]:
    return [] if row.models is None else [f"models {','.join(row.models)}"]


@contextmanager
def _session(data: Path | None) -> "Iterator[Session]":
    """Yield a session of the migrated database; commit at the end."""
    from app.auth.audit import ACTOR, Actor
    from app.db.projects import ScopedSessions
    from app.db.session import SessionFactory, make_engine

    if data is not None:
        os.environ["ISTHMUS_DATA_DIR"] = str(data.absolute())
    settings = load_settings("keys")
    create_tables(settings)
    engine = make_engine(settings.database)
    try:
        with ScopedSessions(SessionFactory(engine), {ACTOR: Actor("cli", DEFAULT_PROJECT)}).begin() as session:
            yield session
    finally:
        engine.dispose()
