"""The command line: the embedded service, and the single processes of a deployment."""

import gc
import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.observability import logs
from app.settings import Settings

Port = click.IntRange(1, 65535)


@click.group(context_settings={"show_default": True})
@click.version_option(package_name="isthmus")
def main() -> None:
    """Isthmus: labelled source data in, a model that works on your unlabelled target data out.

    Every setting is an ISTHMUS_* variable of the environment or of a .env file; docs/reference/settings.md lists them.
    """


@main.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Folder for all stored data.")
@click.option("--host", default="127.0.0.1", help="Address to listen on. There is no authentication: restrict who can reach it.")
@click.option("--port", default=8000, type=Port, help="Port to listen on.")
@click.option("--workers", default=1, type=click.IntRange(min=1), help="Number of jobs that run at the same time.")
def up(data: Path | None, host: str, port: int, workers: int) -> None:
    """Run the whole service on this machine, without other servers, until Ctrl-C."""
    from app.embedded import run

    _require_torch()
    _require_free_port(host, port)
    if data is not None:  # the processes inherit the environment
        os.environ["ISTHMUS_DATA_DIR"] = str(data.absolute())
    settings = _load_settings("up")
    _migrate(settings)
    sys.exit(run(settings, host, port, workers))


@main.command()
def migrate() -> None:
    """Create or update the database tables."""
    _migrate(_load_settings("migrate"))


@main.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=8000, type=Port, help="Port to listen on.")
def api(host: str, port: int) -> None:
    """Run the HTTP server. For more throughput, run several behind a proxy."""
    import uvicorn

    from app.fast_path.protocol import http_protocol
    from app.main import create_app
    from app.serving.onnx_session import DeviceUnavailableError

    settings = _load_settings("api")
    try:
        app = create_app(settings)
    except DeviceUnavailableError as error:
        raise click.ClickException(f"ISTHMUS_PREDICT_DEVICE: {error}") from error
    gc.freeze()  # exclude all objects loaded so far from garbage collection, which would pause responses for 0.1 s
    # the timeout ends event streams; their clients reconnect to another server
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        server_header=False,
        http=http_protocol(app),
    )


@main.command()
@click.option("--name", help="Name of this worker, unique on its machine.  [default: worker-PID]", show_default=False)
def worker(name: str | None) -> None:
    """Run a worker, which processes one job at a time. Start one per GPU, each with its own CUDA_VISIBLE_DEVICES."""
    _require_torch()
    node = f"{name or f'worker-{os.getpid()}'}@%h"
    _celery("worker", "-P", "prefork", "-c", "1", "--without-gossip", "--without-mingle", "-n", node)


@main.command()
def beat() -> None:
    """Run the scheduler that recovers lost jobs. A deployment needs one."""
    _celery("beat", "--pidfile=")


@main.command()
@click.option("--worker", "check_worker", is_flag=True, help="Also check that a worker on this machine responds.")
def check(check_worker: bool) -> None:
    """Check database, broker and storage, and exit with 1 if one is unreachable. For container health checks."""
    from app.broker.queue import CeleryQueue, make_celery
    from app.db.session import make_engine
    from app.observability.health import Dependencies
    from app.storage import Storage

    settings = _load_settings("check")
    celery, engine = make_celery(settings), make_engine(settings.database)
    errors = Dependencies.of(engine, CeleryQueue(celery), Storage(settings.storage)).errors()
    engine.dispose()
    if check_worker and not errors["broker"]:
        nodes = [node for response in celery.control.ping(timeout=2) for node in response]
        local = [node for node in nodes if node.endswith(f"@{socket.gethostname()}")]
        errors["worker"] = None if local else "no worker on this machine responds"
    for name, error in errors.items():
        click.echo(f"{name}: {error or 'ok'}")
    sys.exit(1 if any(errors.values()) else 0)


@main.command()
@click.option(
    "--data",
    default="var/demo",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the demo, emptied at its start.",
)
@click.option("--port", default=8000, type=Port, help="Port of the demo's service.")
@click.option("--seed", default=0, type=click.IntRange(min=0), help="Random seed of the images and of the training.")
def demo(data: Path, port: int, seed: int) -> None:
    """Train a model to read digits on photographs, from labelled digits on a plain background."""
    if find_spec("sklearn") is None:
        raise click.ClickException("The demo needs the libraries of the worker. Install them: pip install 'isthmus[worker]'")
    from app.demo import run

    _require_torch()
    _require_free_port("127.0.0.1", port)
    run(data, port, seed)


def _load_settings(process: str) -> Settings:
    try:
        settings = Settings()
    except ValidationError as error:
        lines = [_setting_error(details) for details in error.errors()]
        raise click.ClickException("\n".join(["Some settings are invalid. Correct them and start again.", *lines])) from error
    logs.configure(settings.log_level, settings.process_name or process)
    return settings


def _setting_error(details: ErrorDetails) -> str:
    """Return one line; errors of the whole model, such as a heartbeat that exceeds the lease, have no location."""
    name = f"ISTHMUS_{str(details['loc'][0]).upper()}: " if details["loc"] else ""
    return f"{name}{details['msg']}"


def _migrate(settings: Settings) -> None:
    from app.db.migrate import upgrade

    upgrade(settings.database)


def _celery(*arguments: str) -> NoReturn:
    """Replace this process by Celery, so that signals reach it directly. -P ignores a package `worker` in the current folder.

    Celery's banner on standard output is discarded; the log goes to standard error as JSON.
    """
    os.environ.setdefault("ISTHMUS_PROCESS_NAME", arguments[0])
    with Path(os.devnull).open("w") as discarded:
        os.dup2(discarded.fileno(), 1)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "worker", "--quiet", *arguments])


def _require_torch() -> None:
    if find_spec("torch") is None:
        raise click.ClickException(
            "Jobs need torch and other libraries of the worker. Install them: pip install 'isthmus[worker]'"
        )


def _require_free_port(host: str, port: int) -> None:
    """Raise ClickException if the port is in use, before anything is started or written."""
    command = click.get_current_context().info_name or ""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise click.ClickException(
                f"Cannot listen on {host}:{port} ({error.strerror}). Choose another with --port. "
                f'With make: make {command} {command.upper()}="--port {port % 65535 + 1}"'
            ) from error


if __name__ == "__main__":
    main()
