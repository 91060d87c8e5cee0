"""The command line: calls of a service, the embedded service, the processes of a deployment, and their maintenance.

A module of this package holds the commands of one subject. This one adds them to `cli`. The modules import what is large only
in their functions, so that help and completion are quick.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from app.cli.data import backup, restore, storage
from app.cli.encoders import encoders
from app.cli.errors import EXIT_CODES, CommandError
from app.cli.jobs import adapt, algorithms, jobs, upload
from app.cli.keys import keys
from app.cli.labels import label
from app.cli.maintenance import check, migrate
from app.cli.models import models, predict
from app.cli.processes import api, beat, demo, up, worker
from app.cli.service import doctor, open_pages, workers


class _Commands(TyperGroup):
    """A group that prints the message of a failure and exits with its code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CommandError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(error.exit_code) from error


cli = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + ".",
)


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"isthmus, version {version('isthmus')}")
        raise typer.Exit


@cli.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Isthmus: labelled source data in, a model that works on your unlabelled target data out.

    Commands that call a service use ISTHMUS_URL and ISTHMUS_API_KEY. Every setting of the service is an ISTHMUS_* variable of the
    environment or of a .env file; docs/reference/settings.md lists them.
    """


_USER: Sequence[Callable[..., None]] = (up, demo, adapt, upload, predict, algorithms, workers, doctor)
_OPERATOR: Sequence[Callable[..., None]] = (api, worker, beat, migrate, check, storage, backup, restore)
for command in _USER:
    cli.command()(command)
cli.command("open")(open_pages)
for group, name in ((jobs, "jobs"), (models, "models"), (label, "label"), (keys, "keys"), (encoders, "encoders")):
    cli.add_typer(group, name=name)
for command in _OPERATOR:
    cli.command()(command)


def main() -> None:
    """Run the command line."""
    cli(prog_name="isthmus")
