"""Commands about a running service: its workers, its health, its pages."""

import sys
from importlib.util import find_spec
from typing import Any

import typer

from app.cli.connection import Url, connected
from app.cli.errors import EXIT_FAILED, CommandError
from app.cli.output import Json, print_json, print_table

Finding = tuple[str, bool, str]
"""What was checked, whether it is in order, and what was found or what to do."""


def workers(url: Url = None, as_json: Json = False) -> None:
    """List the workers and the jobs that they run."""
    with connected(url) as client:
        found = list(client.service.workers())
    if as_json:
        print_json([worker.data for worker in found])
        return
    rows = [[each["id"], each["state"], each["device"]["kind"], each["job"], each["seen_at"]] for each in found]
    print_table(["worker", "state", "device", "job", "last heartbeat"], rows)


def doctor(url: Url = None, as_json: Json = False) -> None:
    """Check this installation and the service, and say what to do about each problem."""
    findings = [*_installation(), *_service(url)]
    if as_json:
        print_json([{"check": name, "ok": ok, "detail": detail} for name, ok, detail in findings])
    else:
        for name, ok, detail in findings:
            typer.secho(f"{'ok     ' if ok else 'PROBLEM'}  {name}: {detail}", fg=None if ok else "red")
    if not all(ok for _, ok, _ in findings):
        raise typer.Exit(EXIT_FAILED)


def open_pages(url: Url = None, as_json: Json = False) -> None:
    """Open the service in a browser, and print its address."""
    with connected(url) as client:
        client.service.live()
        address = f"{client.url}/"
    print_json({"url": address}) if as_json else typer.echo(address)
    if sys.stdout.isatty():
        typer.launch(address)


def _installation() -> list[Finding]:
    python = sys.version.partition(" ")[0]
    torch = find_spec("torch") is not None
    remedy = "not installed, so no jobs run on this machine: pip install 'isthmus[worker]'"
    return [
        ("python", sys.version_info >= (3, 11), python),
        ("server", True, _version("isthmus")),
        ("client", True, _version("isthmus-client")),
        ("torch", True, "installed" if torch else remedy),
    ]


def _service(url: str | None) -> list[Finding]:
    findings: list[Finding] = []
    try:
        with connected(url) as client:
            findings.append(("service", True, f"{client.url} is {client.service.live()['status']}"))
            findings.append(("access", True, f"{len(list(client.catalogue.algorithms()))} algorithms"))
            findings.append(_worker_finding(list(client.service.workers())))
            client.service.ready()
            findings.append(("database, broker and storage", True, "reachable"))
    except CommandError as error:
        findings.append(("service", False, str(error)))
    return findings


def _worker_finding(workers: list[Any]) -> Finding:
    alive = [worker for worker in workers if worker["state"] != "lost"]
    return ("workers", bool(alive), f"{len(alive)} alive" if alive else "none, so jobs wait: start `isthmus worker`")


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed as a package"
