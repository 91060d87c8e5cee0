"""Commands about the stored data: usage, unreferenced files, backup and restore."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.errors import CommandError
from app.cli.output import Json, print_json

if TYPE_CHECKING:
    from app.backup.export import Summary
    from app.storage import FileInfo

Location = Annotated[str, typer.Argument(help="Folder or fsspec URL.")]


def storage(
    prune: Annotated[bool, typer.Option("--prune", help="Delete the unreferenced files.")] = False,
    grace_hours: Annotated[float, typer.Option(min=1, help="Keep unreferenced files that are younger.")] = 24.0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Number of models and of datasets to list.")] = 20,
    as_json: Json = False,
) -> None:
    """Print the usage by models and datasets, and the files that nothing refers to."""
    from app.cli.start import load_settings
    from app.db.session import SessionFactory, make_engine
    from app.services import storage_usage

    settings = load_settings("storage")
    files, sessions = settings.open_storage(), SessionFactory(make_engine(settings.database))
    with _reported():
        with sessions() as session:
            usage = storage_usage.usage(session, limit)
        scan = storage_usage.prune if prune else storage_usage.unreferenced
        label, found = "deleted" if prune else "unreferenced", scan(sessions, files, grace_hours * 3600)
        groups = {"total": usage.totals, "models": usage.models, "datasets": usage.datasets}
        if as_json:
            sizes = {title: {line.name: line.size_bytes for line in lines} for title, lines in groups.items()}
            print_json({**sizes, label: [file.key for file in found]})
            return
        for title, lines in groups.items():
            typer.echo(f"{title.capitalize()}:")
            for line in lines:
                typer.echo(f"  {_size(line.size_bytes)}  {line.count:>7}  {line.name}")
        _print_files(label, found)


def backup(path: Location, as_json: Json = False) -> None:
    """Write a backup of the database and all its files to a new folder or fsspec URL, while the service runs."""
    from app.backup.export import write_backup
    from app.cli.start import load_settings

    settings = load_settings("backup")
    with _reported():
        summary = write_backup(settings, _url(path))
    _print_summary(f"Wrote {{}} to {path}.", summary, as_json)


def restore(
    path: Location,
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete what the service contains. Without it, a service with data is refused.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty service, of any database and storage. Stop the service meanwhile."""
    from app.backup.restore import read_backup
    from app.cli.start import create_tables, load_settings

    settings = load_settings("restore")
    with _reported():
        create_tables(settings)
        summary = read_backup(settings, _url(path), replace)
    _print_summary("Restored {}.", summary, as_json)


@contextmanager
def _reported() -> Iterator[None]:
    """Turn errors of the backup, the database and the storage into messages without a traceback."""
    from sqlalchemy.exc import SQLAlchemyError

    from app.backup.layout import BackupError
    from app.errors import ServiceError

    try:
        yield
    except (BackupError, ServiceError, OSError, SQLAlchemyError) as error:
        raise CommandError(str(error)) from error


def _print_summary(sentence: str, summary: "Summary", as_json: bool) -> None:
    if as_json:
        print_json(vars(summary))
    else:
        size = _size(summary.size_bytes).strip()
        typer.echo(sentence.format(f"{summary.rows} rows and {summary.files} files ({size})"))


def _print_files(label: str, files: "Iterable[FileInfo]") -> None:
    count = size_bytes = 0
    for file in files:
        count, size_bytes = count + 1, size_bytes + file.size_bytes
        typer.echo(f"  {label}: {file.key}")
    typer.echo(f"{count} {label} files, {_size(size_bytes).strip()}.")


def _size(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:6.4g} {unit:<2}"
        size_bytes /= 1000
    return f"{size_bytes:6.4g} TB"


def _url(path: str) -> str:
    return path if "://" in path else f"file://{Path(path).absolute()}"
