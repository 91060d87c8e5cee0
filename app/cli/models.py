"""Commands about models: list, compare, promote, download, delete and predict."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.connection import Url, connected
from app.cli.errors import CommandError
from app.cli.jobs import print_version
from app.cli.output import Json, percent, print_json, print_table

if TYPE_CHECKING:
    from isthmus import Client, Version

models = typer.Typer(help="List, compare, promote and download models.", no_args_is_help=True)
Reference = Annotated[str, typer.Argument(help="Model such as `wine`, `wine:2` or `wine@production`.", metavar="MODEL")]
IMAGES_AND_WINDOWS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".avif")


@models.command("list")
def list_models(url: Url = None, as_json: Json = False) -> None:
    """List the models with their newest versions."""
    with connected(url) as client:
        found = list(client.models.list())
    if as_json:
        print_json([model.data for model in found])
        return
    rows = [[each.name, each.versions, each.newest["modality"], _estimate(each.newest), _aliases(each.aliases)] for each in found]
    print_table(["model", "versions", "modality", "estimated accuracy", "aliases"], rows)


@models.command()
def show(model: Reference, url: Url = None, as_json: Json = False) -> None:
    """Print the summary of a version."""
    with connected(url) as client:
        version = find(client, model)
    print_json(version.data) if as_json else print_version(version)


@models.command()
def compare(
    versions: Annotated[list[str], typer.Argument(help="Two to five versions.", metavar="MODEL...")],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Compare the accuracies, sizes and algorithms of versions."""
    if not 2 <= len(versions) <= 5:
        raise CommandError("Name two to five versions.", 2)
    with connected(url) as client:
        found = [find(client, each) for each in versions]
    if as_json:
        print_json([version.data for version in found])
        return
    rows = [
        [
            each.identifier,
            each.lineage["algorithm"],
            _estimate(each.data),
            percent(each.metrics.get("target_accuracy")),
            each.metrics.get("helped"),
            f"{each['size_bytes'] / 1e6:.1f} MB",
        ]
        for each in found
    ]
    print_table(["version", "algorithm", "estimated accuracy", "measured accuracy", "helped", "size"], rows)


@models.command()
def promote(
    model: Reference,
    alias: Annotated[str, typer.Option(help="Alias to set.")] = "production",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Set an alias to a version. A reference without version or alias means `production`."""
    with connected(url) as client:
        version = find(client, model)
        result = version.promote(alias)
    print_json(result.data) if as_json else typer.echo(f"{version.model}@{alias} is version {version.number}.")


@models.command()
def download(
    model: Reference,
    folder: Annotated[Path, typer.Option(file_okay=False, help="Folder for the files.")] = Path(),
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Download the files of a version: the ONNX graph, its manifest and others."""
    with connected(url) as client:
        files = [str(path) for path in find(client, model).download(folder)]
    print_json(files) if as_json else typer.echo("\n".join(files))


@models.command()
def delete(
    model: Reference,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Delete a version, such as `wine:2`, or a model with all its versions."""
    if not yes:
        typer.confirm(f"Delete {model}?", abort=True)
    name, _, number = model.partition(":")
    with connected(url) as client:
        if number:
            client.models.delete_version(name, int(number))
        else:
            client.models.delete(name)
    print_json({"deleted": model}) if as_json else typer.echo(f"{model} is deleted.")


def predict(
    model: Reference,
    path: Annotated[Path, typer.Argument(help="CSV or JSON lines, an image, or `-` for texts, one a line.", allow_dash=True)],
    top_k: Annotated[int, typer.Option(min=1, help="Number of most probable classes.")] = 1,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Predict the rows of a file. For many rows, use a batch prediction."""
    with connected(url) as client:
        found = client.predict(model, _rows(path), top_k=top_k)
    if as_json:
        print_json([each.data for each in found])
        return
    rows = [[f"{top['label']} {percent(top['probability'])}" for top in each.top] for each in found]
    print_table(["label", *(f"rank {rank}" for rank in range(2, top_k + 1))], rows)


def find(client: "Client", reference: str) -> "Version":
    """Return the version of a reference: by number, by alias, else `production` or the newest."""
    name, _, number = reference.partition(":")
    if number.isdigit():
        return client.models.get_version(name, int(number))
    name, _, alias = reference.partition("@")
    model = client.models.get(name)
    aliases = {each["name"]: each["version"] for each in model.aliases}
    if alias and alias not in aliases:
        raise CommandError(f"{name} has no alias {alias!r}. It has: {', '.join(aliases) or 'none'}.", 5)
    return client.models.get_version(name, aliases.get(alias or "production", model.newest["number"]))


def _rows(path: Path) -> list[Any]:
    if str(path) == "-":
        return sys.stdin.read().splitlines()
    if path.suffix.lower() in IMAGES_AND_WINDOWS:
        return [path]
    text = path.read_text()
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if path.suffix.lower() == ".csv":
        import polars as pl

        return pl.read_csv(path, infer_schema_length=None).to_dicts()
    return text.splitlines()


def _estimate(version: Any) -> str:
    estimate = version["metrics"].get("target_accuracy_estimate")
    return f"{estimate['value']:.0%} ({estimate['low']:.0%} to {estimate['high']:.0%})" if estimate else ""


def _aliases(aliases: Any) -> str:
    return ", ".join(f"{each['name']}={each['version']}" for each in aliases)
