"""`isthmus ...`: the embedded service, and the single processes that a deployment runs."""

import gc
import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import click
from pydantic import ValidationError

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
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Folder for everything that is stored.")
@click.option("--host", default="127.0.0.1", help="Address to listen on. There is no authentication: mind who can reach it.")
@click.option("--port", default=8000, type=Port, help="Port to listen on.")
@click.option("--workers", default=1, type=click.IntRange(min=1), help="Jobs that run at the same time.")
def up(data: Path | None, host: str, port: int, workers: int) -> None:
    """Run everything on this machine, with nothing else installed, until Ctrl-C."""
    from app.embedded import run

    _require_torch()
    _require_free_port(host, port)
    if data is not None:  # the environment carries it to the processes as well
        os.environ["ISTHMUS_DATA_DIR"] = str(data.absolute())
    settings = _load_settings("up")
    _migrate(settings)
    sys.exit(run(settings, host, port, workers))


@main.command()
def migrate() -> None:
    """Create the tables, or bring them up to date."""
    _migrate(_load_settings("migrate"))


@main.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=8000, type=Port, help="Port to listen on.")
def api(host: str, port: int) -> None:
    """Run the HTTP server. For more throughput run more of them behind a proxy."""
    import uvicorn

    from app.fast_path.protocol import http_protocol
    from app.main import create_app
    from app.serving.onnx_session import DeviceUnavailableError

    settings = _load_settings("api")
    try:
        app = create_app(settings)
    except DeviceUnavailableError as error:
        raise click.ClickException(f"ISTHMUS_PREDICT_DEVICE: {error}") from error
    gc.freeze()  # what is loaded by now stays, and looking through it for garbage would stop the answers for a tenth of a second
    # a stream of events never ends by itself: its client resumes elsewhere
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
    """Run a worker: one job at a time. Start one for each GPU, with its CUDA_VISIBLE_DEVICES."""
    _require_torch()
    node = f"{name or f'worker-{os.getpid()}'}@%h"
    _celery("worker", "-P", "prefork", "-c", "1", "--without-gossip", "--without-mingle", "-n", node)


@main.command()
def beat() -> None:
    """Run the clock that has lost jobs found again. One is enough."""
    _celery("beat", "--pidfile=")


@main.command()
@click.option("--worker", "ask_worker", is_flag=True, help="Also ask the workers on this machine whether they listen.")
def check(ask_worker: bool) -> None:
    """Exit with 1 when database, broker or storage cannot be reached: a health check for containers."""
    from app.broker.queue import CeleryQueue, make_celery
    from app.db.session import make_engine
    from app.observability.health import Dependencies
    from app.storage import Storage

    settings = _load_settings("check")
    celery, engine = make_celery(settings), make_engine(settings.database)
    errors = Dependencies.of(engine, CeleryQueue(celery), Storage(settings.storage)).errors()
    engine.dispose()
    if ask_worker and not errors["broker"]:
        nodes = [node for answer in celery.control.ping(timeout=2) for node in answer]
        here = [node for node in nodes if node.endswith(f"@{socket.gethostname()}")]
        errors["worker"] = None if here else "no worker on this machine answers"
    for part, error in errors.items():
        click.echo(f"{part}: {error or 'ok'}")
    sys.exit(1 if any(errors.values()) else 0)


@main.command()
@click.option("--data", default="var/demo", type=click.Path(file_okay=False, path_type=Path), help="Emptied before the demo.")
@click.option("--port", default=8000, type=Port, help="Port to listen on meanwhile.")
@click.option("--seed", default=0, type=click.IntRange(min=0), help="Of the pictures and of the training.")
def demo(data: Path, port: int, seed: int) -> None:
    """Watch a model learn to read digits on photographs, from plain digits."""
    if find_spec("sklearn") is None:
        raise click.ClickException("The demo needs the worker's libraries: pip install 'isthmus[worker]'")
    from app.demo import run

    _require_torch()
    _require_free_port("127.0.0.1", port)
    run(data, port, seed)


def _load_settings(process: str) -> Settings:
    try:
        settings = Settings()
    except ValidationError as error:
        lines = [f"ISTHMUS_{str(place['loc'][0]).upper()}: {place['msg']}" for place in error.errors()]
        raise click.ClickException("\n".join(["These settings are not valid.", *lines])) from error
    logs.configure(settings.log_level, settings.process_name or process)
    return settings


def _migrate(settings: Settings) -> None:
    from app.db.migrate import upgrade

    upgrade(settings.database)


def _celery(*arguments: str) -> NoReturn:
    """Become Celery: signals reach it without a go-between. -P: a folder `worker` where we stand is none of ours.

    Its words on standard output are for a person at a terminal; the log is standard error, and JSON.
    """
    os.environ.setdefault("ISTHMUS_PROCESS_NAME", arguments[0])
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "worker", "--quiet", *arguments])


def _require_torch() -> None:
    if find_spec("torch") is None:
        raise click.ClickException("Jobs need torch and its companions: pip install 'isthmus[worker]'")


def _require_free_port(host: str, port: int) -> None:
    """A taken port should be the first thing one hears, not the last."""
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
