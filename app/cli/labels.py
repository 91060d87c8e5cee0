"""Commands that measure the accuracy of a version with a few labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.connection import Url, connected
from app.cli.models import Reference, find
from app.cli.output import Json, print_json

if TYPE_CHECKING:
    from isthmus.records import LabelRequest

label = typer.Typer(help="Measure the accuracy of a version with a few labels.", no_args_is_help=True)
RequestId = Annotated[str, typer.Argument(metavar="REQUEST", help="Id of a label request.")]


@label.command("request")
def request_labels(
    model: Reference,
    count: Annotated[int, typer.Option(min=20, help="Number of rows.")] = 30,
    purpose: Annotated[str, typer.Option(help="accuracy, gain, both or improve.")] = "both",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Draw rows of the target of a version to label."""
    with connected(url) as client:
        version = find(client, model)
        request = client.label_requests.create(version.model, version.number, count=count, purpose=purpose)
    if as_json:
        print_json(request.data)
        return
    typer.echo(f"Label request {request.id} has {request.count} rows. Write them to a table: isthmus label export {request.id}")


@label.command()
def show(request: RequestId, url: Url = None, as_json: Json = False) -> None:
    """Print what the labels measure so far."""
    with connected(url) as client:
        found = client.label_requests.get(request)
    print_json(found.data) if as_json else typer.echo(_summary(found))


@label.command()
def export(request: RequestId, url: Url = None, as_json: Json = False) -> None:
    """Print the rows as CSV with an empty column `label` to fill in, or as JSON."""
    with connected(url) as client:
        if as_json:
            print_json(client.label_requests.rows(request))
            return
        typer.echo(client.label_requests.export(request, format="csv").decode(), nl=False)


@label.command("import")
def import_labels(
    request: RequestId,
    path: Annotated[Path, typer.Argument(help="The exported CSV with labels, or JSON of Label Studio.", exists=True)],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Store the labels of a file. `unclear` is the label of rows whose class cannot be recognised."""
    import json

    import polars as pl

    with connected(url) as client:
        if path.suffix.lower() == ".json":
            answers = json.loads(path.read_text())
        else:
            rows = pl.read_csv(path, infer_schema=False).select(pl.col("row").cast(pl.Int64), "label").drop_nulls("label")
            answers = rows.to_dicts()
        found = client.label_requests.import_labels(request, answers)
    print_json(found.data) if as_json else typer.echo(_summary(found))


def _summary(request: "LabelRequest") -> str:
    lines = [f"{request.model}:{request.version}: {request.answered} of {request.count} rows are answered."]
    measured = request.measured or {}
    for name in ("accuracy", "gain"):
        if interval := measured.get(name):
            low, high = f"{interval['low']:.0%}", f"{interval['high']:.0%}"
            lines.append(f"{name.capitalize()}: {interval['value']:.0%} (90 % interval {low} to {high})")
    if request.next_look:
        lines.append(f"The next figures need {request.next_look['remaining']} more answers.")
    return "\n".join(lines)
