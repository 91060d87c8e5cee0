"""Commands that run the embedded service, its demo, or a single process of a deployment."""

import gc
import os
import socket
import sys
from contextlib import suppress
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import NoReturn

import click

from app.cli.start import create_tables, load_settings, prepare_keys
from app.errors import SchemaTooNew

Port = click.IntRange(1, 65535)


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Folder for all stored data.")
@click.option("--host", default="127.0.0.1", help="Address to listen on. Others than loopback addresses need API keys.")
@click.option("--port", default=8000, type=Port, help="Port to listen on.")
@click.option("--workers", default=1, type=click.IntRange(min=1), help="Number of jobs that run at the same time.")
def up(data: Path | None, host: str, port: int, workers: int) -> None:
    """Run the whole service on this machine, without other servers, until Ctrl-C."""
    from app.processes.data_lock import DataFolderInUseError, locked, require_unlocked
    from app.processes.embedded import run

    _require_torch()
    if data is not None:  # the processes inherit the environment
        os.environ["ISTHMUS_DATA_DIR"] = str(data.absolute())
    settings = load_settings("up")
    if _is_loopback(host) and "pretrained_folders" not in settings.model_fields_set:
        os.environ["ISTHMUS_PRETRAINED_FOLDERS"] = "*"  # the only user of this service reads the same folders without it
    try:
        require_unlocked(settings.data_dir)
        _require_free_port(host, port)
        with locked(settings.data_dir, port):
            create_tables(settings)
            prepare_keys(settings, host)
            code = run(settings, host, port, workers)
    except DataFolderInUseError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@click.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on. Others than loopback addresses need API keys.")
@click.option("--port", default=8000, type=Port, help="Port to listen on.")
def api(host: str, port: int) -> None:
    """Run the HTTP server. For more throughput, run several behind a proxy."""
    import uvicorn

    from app.db.schema import check_at_start
    from app.fast_path.protocol import http_protocol
    from app.http_server.connection_guard import raise_open_file_limit
    from app.main import create_app
    from app.serving.onnx_session import DeviceUnavailableError

    settings = load_settings("api")
    raise_open_file_limit()
    try:
        check_at_start(settings.database)
        prepare_keys(settings, host)
        app = create_app(settings, host=host)
    except SchemaTooNew as error:
        raise click.ClickException(error.message) from error
    except DeviceUnavailableError as error:
        raise click.ClickException(f"ISTHMUS_PREDICT_DEVICE: {error}") from error
    app.state.checks.start_child()
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
        ws="none",  # no route has WebSockets
    )


@click.command()
@click.option("--name", help="Name of this worker, unique on its machine.  [default: worker-PID]", show_default=False)
def worker(name: str | None) -> None:
    """Run a worker, which processes one job at a time. Start one per GPU, each with its own CUDA_VISIBLE_DEVICES."""
    _require_torch()
    node = f"{name or f'worker-{os.getpid()}'}@%h"
    _celery("worker", "-P", "prefork", "-c", "1", "--without-gossip", "--without-mingle", "-n", node)


@click.command()
def beat() -> None:
    """Run the scheduler that recovers lost jobs. A deployment needs one."""
    _celery("beat", "--pidfile=")


@click.command()
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


def _owner_of(port: int) -> str:
    """Name the process that listens on a port, as far as the system allows it."""
    import psutil

    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by process {connection.pid}"
    return ""


def _require_free_port(host: str, port: int) -> None:
    """Raise ClickException if the port is in use, before anything is started or written."""
    command = click.get_current_context().info_name or ""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise click.ClickException(
                f"Cannot listen on {host}:{port} ({error.strerror}{_owner_of(port)}). Choose another with --port. "
                f'With make: make {command} {command.upper()}="--port {port % 65535 + 1}"'
            ) from error
