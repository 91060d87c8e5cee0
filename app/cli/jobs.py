"""Commands that upload datasets, queue adaptations and follow jobs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.connection import Url, connected
from app.cli.errors import CommandError
from app.cli.output import Json, percent, print_json, print_table

if TYPE_CHECKING:
    from isthmus import Client, Dataset, Job, Version

jobs = typer.Typer(help="List, follow and cancel jobs.", no_args_is_help=True)
Label = Annotated[str | None, typer.Option(help="Column with the classes.")]
Options = Annotated[str, typer.Option(help='JSON options of the modality, such as \'{"group": "patient"}\'.')]
Modality = Annotated[str | None, typer.Option(help="tabular, text, image or series.", show_default="detected")]
JobId = Annotated[str, typer.Argument(metavar="JOB")]


def upload(  # noqa: PLR0913  # the options of a command
    path: Annotated[Path, typer.Argument(help="File or folder.", exists=True)],
    name: Annotated[str | None, typer.Option(help="Name of the dataset.", show_default="name of the file")] = None,
    label: Label = None,
    modality: Modality = None,
    options: Options = "{}",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Upload a dataset: a file, or a folder of images or recordings."""
    with connected(url) as client:
        dataset = _upload(client, path, name=name, label=label, modality=modality, **_parsed(options))
    if as_json:
        print_json(dataset.data)
        return
    typer.echo(f"{dataset.id}  {dataset.name}: {dataset.rows} {dataset.modality} rows, {_classes(dataset)}")


def adapt(  # noqa: PLR0913  # the options of a command
    source: Annotated[str, typer.Argument(help="Labelled data: a file, a folder, or the name or id of a dataset.")],
    target: Annotated[str, typer.Argument(help="Unlabelled data of the domain to adapt to.")],
    model: Annotated[str, typer.Option(help="Name of the model.")],
    algorithm: Annotated[str, typer.Option(help="See `isthmus algorithms`.")] = "auto",
    further_source: Annotated[
        list[str] | None, typer.Option(help="Labelled data of another domain, as a further source; may be repeated.")
    ] = None,
    label: Label = None,
    evaluation: Annotated[str | None, typer.Option(help="Labelled target data, to measure the accuracy.")] = None,
    options: Options = "{}",
    params: Annotated[str, typer.Option(help="JSON parameters of the algorithm, such as '{\"epochs\": 30}'.")] = "{}",
    watch: Annotated[bool, typer.Option("--watch", help="Wait for the end and print the version.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Adapt a model from labelled source data to unlabelled target data."""
    more = _parsed(options)
    with connected(url) as client:
        sources = [_dataset(client, each, label, more) for each in (source, *(further_source or ()))]
        unlabelled = _dataset(client, target, None, more)
        measured = None if evaluation is None else _dataset(client, evaluation, label, more)
        given = sources if further_source else sources[0]
        job = client.adapt(given, unlabelled, model=model, algorithm=algorithm, evaluation=measured, params=_parsed(params))
        _finish(job, watch, as_json)


def algorithms(url: Url = None, as_json: Json = False) -> None:
    """List the algorithms."""
    with connected(url) as client:
        found = list(client.catalogue.algorithms())
    if as_json:
        print_json([each.data for each in found])
    else:
        print_table(["name", "summary"], [[each["name"], each.data.get("summary", "")] for each in found])


@jobs.command("list")
def list_jobs(
    model: Annotated[str | None, typer.Option(help="Only jobs of this model.")] = None,
    status: Annotated[list[str] | None, typer.Option(help="Only jobs with this status; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Number of jobs.")] = 20,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List the newest jobs."""
    with connected(url) as client:
        pages = iter(client.jobs.list(model=model, status=status, limit=limit))
        found = [job for job, _ in zip(pages, range(limit), strict=False)]
    if as_json:
        print_json([job.data for job in found])
        return
    rows = [[job.id, job.model, job.params["algorithm"], job.status, percent(job.progress), job.phase] for job in found]
    print_table(["id", "model", "algorithm", "status", "progress", "phase"], rows)


@jobs.command()
def watch(job: JobId, url: Url = None, as_json: Json = False) -> None:
    """Wait for the end of a job and print its version."""
    with connected(url) as client:
        _finish(client.jobs.get(job), True, as_json)


@jobs.command()
def cancel(job: JobId, url: Url = None, as_json: Json = False) -> None:
    """Cancel a job."""
    with connected(url) as client:
        cancelled = client.jobs.cancel(job)
    print_json(cancelled.data) if as_json else typer.echo(f"Job {cancelled.id} is {cancelled.status}.")


@jobs.command()
def logs(job: JobId, url: Url = None, as_json: Json = False) -> None:
    """Print the last lines of the process that ran a job."""
    with connected(url) as client:
        lines = client.jobs.logs(job)
    print_json(lines) if as_json else typer.echo("\n".join(lines))


def _finish(job: "Job", watched: bool, as_json: bool) -> None:
    """Print a job, or wait for it and print its version."""
    if watched:
        version = job.wait()
        print_json(version.data) if as_json else print_version(version)
    elif as_json:
        print_json(job.data)
    else:
        typer.echo(f"Job {job.id} is {job.status}. Follow it: isthmus jobs watch {job.id}")


def print_version(version: "Version") -> None:
    """Print the summary of a version and its warnings."""
    typer.echo(f"{version.identifier}")
    for sentence in version.summary:
        typer.echo(f"  {sentence}")
    for warning in version.metrics.get("warnings", ()):
        typer.echo(f"  Warning: {warning['message']}")


def _dataset(client: "Client", given: str, label: str | None, options: dict[str, Any]) -> "str | Dataset":
    """Upload a file or folder; return other names and ids as they are."""
    path = Path(given)
    return _upload(client, path, label=label, **options) if path.exists() else given


def _upload(client: "Client", path: Path, **options: Any) -> "Dataset":
    return client.datasets.upload(path, **options)


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise CommandError(f"{text!r} is not JSON: {error}", 2) from error
    if not isinstance(value, dict):
        raise CommandError(f"{text!r} is not a JSON object.", 2)
    return value


def _classes(dataset: "Dataset") -> str:
    return "no labels" if dataset.classes is None else f"{len(dataset.classes)} classes"
