"""Commands that manage API keys, directly in the database."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.errors import CommandError
from app.cli.output import Json, print_json

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.db.tables import ApiKeyRow

keys = typer.Typer(help="Manage the API keys of callers. Servers follow within a second.", no_args_is_help=True)
Data = Annotated[Path | None, typer.Option(file_okay=False, help="Folder of the embedded service, as for `up`.")]
KeyId = Annotated[str, typer.Argument(metavar="ID")]


@keys.command()
def create(  # noqa: PLR0913  # the options of a command
    name: str,
    scopes: Annotated[str, typer.Option(help="Comma-separated, such as `predict,models:read`. An unknown one lists all.")],
    project: Annotated[str, typer.Option(help="Project in which the key works. It exists once something is in it.")] = "default",
    models: Annotated[
        str | None, typer.Option(help="Comma-separated patterns of model names, such as `digits*`.", show_default="all")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires.", show_default="never")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Create a key for NAME and print it. It is shown only once."""
    from pydantic import ValidationError

    from app.auth import keys
    from app.schemas.keys import KeyCreate

    fields = {"name": name, "scopes": scopes.split(","), "project": project, "models": models.split(",") if models else None}
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    try:
        rights = KeyCreate.model_validate({**fields, "expires_at": expires_at}).rights()
    except ValidationError as error:
        raise CommandError("\n".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())) from error
    with _session(data) as session:
        row, text = keys.create(session, rights)
    _show_once(row, text, as_json)


@keys.command("list")
def list_keys(data: Data = None, as_json: Json = False) -> None:
    """List the keys, newest first."""
    from app.auth import keys

    with _session(data) as session:
        rows = keys.page(session, 1000)
    if as_json:
        names = ("id", "name", "project", "scopes", "models", "expires_at", "revoked_at")
        print_json([{name: getattr(row, name) for name in names} | {"state": _state(row)} for row in rows])
        return
    for row in rows:
        columns = [row.id.ljust(8), _state(row).ljust(7), row.project, row.name, ",".join(row.scopes), *_narrowed(row)]
        typer.echo("  ".join(columns))


@keys.command()
def revoke(key_id: KeyId, data: Data = None, as_json: Json = False) -> None:
    """Revoke the key with this ID."""
    from app.auth import keys
    from app.errors import KeyNotFound

    with _session(data) as session:
        try:
            keys.revoke(session, key_id)
        except KeyNotFound as error:
            raise CommandError(error.message) from error
    print_json({"revoked": key_id}) if as_json else typer.echo(f"Key {key_id} is revoked.")


@keys.command()
def rotate(key_id: KeyId, data: Data = None, as_json: Json = False) -> None:
    """Revoke the key with this ID and print a new one with the same rights."""
    from app.auth import keys
    from app.errors import KeyNotFound, KeyRevoked

    with _session(data) as session:
        try:
            row, text = keys.rotate(session, key_id)
        except (KeyNotFound, KeyRevoked) as error:
            raise CommandError(error.message) from error
    _show_once(row, text, as_json)


def _show_once(row: "ApiKeyRow", text: str, as_json: bool) -> None:
    if as_json:
        print_json({"id": row.id, "name": row.name, "project": row.project, "key": text})
        return
    typer.echo(f"Key {row.id} of {row.name}, project {row.project}. Store it now, it cannot be shown again:", err=True)
    typer.echo(text)


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
    from app.cli.start import create_tables, load_settings
    from app.db.projects import ScopedSessions
    from app.db.session import SessionFactory, make_engine
    from app.model_reference import DEFAULT_PROJECT

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
