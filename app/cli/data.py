"""Commands about the stored data: usage, unreferenced files, backup and restore."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy.exc import SQLAlchemyError

from app.cli.start import create_tables, load_settings
from app.errors import ServiceError
from app.storage import FileInfo


@click.command()
@click.option("--prune", is_flag=True, help="Delete the unreferenced files.")
@click.option("--grace-hours", default=24.0, type=click.FloatRange(min=1), help="Keep unreferenced files that are younger.")
@click.option("--limit", default=20, type=click.IntRange(1, 1000), help="Number of models and of datasets to list.")
def storage(prune: bool, grace_hours: float, limit: int) -> None:
    """Print the usage by models and datasets, and the files that nothing refers to."""
    from app.db.session import SessionFactory, make_engine
    from app.services import storage_usage

    settings = load_settings("storage")
    files, sessions = settings.open_storage(), SessionFactory(make_engine(settings.database))
    with _reported():
        with sessions() as session:
            usage = storage_usage.usage(session, limit)
        for title, lines in (("Total", usage.totals), ("Models", usage.models), ("Datasets", usage.datasets)):
            click.echo(f"{title}:")
            for line in lines:
                click.echo(f"  {_size(line.size_bytes)}  {line.count:>7}  {line.name}")
        scan = storage_usage.prune if prune else storage_usage.unreferenced
        _print_files("deleted" if prune else "unreferenced", scan(sessions, files, grace_hours * 3600))


@click.command()
@click.argument("path")
def backup(path: str) -> None:
    """Write a backup of the database and all its files to PATH, a new folder or fsspec URL, while the service runs."""
    from app.backup.export import write_backup

    settings = load_settings("backup")
    with _reported():
        summary = write_backup(settings, _url(path))
    click.echo(f"Wrote {summary.rows} rows and {summary.files} files ({_size(summary.size_bytes).strip()}) to {path}.")


@click.command()
@click.argument("path")
@click.option("--replace", is_flag=True, help="Delete what the service contains. Without it, a service with data is refused.")
def restore(path: str, replace: bool) -> None:
    """Restore a backup from PATH into an empty service, of any database and storage. Stop the service meanwhile."""
    from app.backup.restore import read_backup

    settings = load_settings("restore")
    with _reported():
        create_tables(settings)
        summary = read_backup(settings, _url(path), replace)
    click.echo(f"Restored {summary.rows} rows and {summary.files} files ({_size(summary.size_bytes).strip()}).")


@contextmanager
def _reported() -> Iterator[None]:
    """Turn errors of the backup, the database and the storage into messages without a traceback."""
    from app.backup.layout import BackupError

    try:
        yield
    except (BackupError, ServiceError, OSError, SQLAlchemyError) as error:
        raise click.ClickException(str(error)) from error


def _print_files(label: str, files: "Iterable[FileInfo]") -> None:
    count = size_bytes = 0
    for file in files:
        count, size_bytes = count + 1, size_bytes + file.size_bytes
        click.echo(f"  {label}: {file.key}")
    click.echo(f"{count} {label} files, {_size(size_bytes).strip()}.")


def _size(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:6.4g} {unit:<2}"
        size_bytes /= 1000
    return f"{size_bytes:6.4g} TB"


def _url(path: str) -> str:
    return path if "://" in path else f"file://{Path(path).absolute()}"
