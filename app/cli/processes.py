"""Commands that run the embedded service, its demo, or a single process of a deployment."""

import gc
import os
import socket
import sys
from contextlib import suppress
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from app.cli.errors import CommandError

Host = Annotated[str, typer.Option(help="Address to listen on. Others than loopback addresses need API keys.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]


def up(
    data: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for all stored data.")] = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Number of jobs that run at the same time.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the log as JSON lines also on a terminal.")] = False,
) -> None:
    """Run the whole service on this machine, without other servers, until Ctrl-C."""
    from app.cli.start import create_tables, load_settings, prepare_keys
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
        _require_free_port("up", host, port)
        with locked(settings.data_dir, port):
            create_tables(settings)
            prepare_keys(settings, host)
            code = run(settings, (host, port), workers, readable=sys.stderr.isatty() and not as_json)
    except DataFolderInUseError as error:
        raise CommandError(str(error)) from error
    sys.exit(code)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def api(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Run the HTTP server. For more throughput, run several behind a proxy."""
    import uvicorn

    from app.cli.start import load_settings, prepare_keys
    from app.db.schema import check_at_start
    from app.errors import SchemaTooNew
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
        raise CommandError(error.message) from error
    except DeviceUnavailableError as error:
        raise CommandError(f"ISTHMUS_PREDICT_DEVICE: {error}") from error
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


def worker(
    name: Annotated[str | None, typer.Option(help="Name of this worker on its machine.", show_default="worker-PID")] = None,
) -> None:
    """Run a worker, one job at a time unless ISTHMUS_JOBS_PER_GPU is set. Start one for each GPU, by CUDA_VISIBLE_DEVICES."""
    _require_torch()
    node = f"{name or f'worker-{os.getpid()}'}@%h"
    _celery("worker", "-P", "prefork", "--without-gossip", "--without-mingle", "-n", node)


def beat() -> None:
    """Run the scheduler that recovers lost jobs. A deployment needs one."""
    _celery("beat", "--pidfile=")


def demo(
    data: Annotated[Path, typer.Option(file_okay=False, help="Folder of the demo, emptied at its start.")] = Path("var/demo"),
    port: Port = 8000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the images and of the training.")] = 0,
) -> None:
    """Train a model to read digits on photographs, from labelled digits on a plain background."""
    if find_spec("sklearn") is None:
        raise CommandError("The demo needs the libraries of the worker. Install them: pip install 'isthmus[worker]'")
    from app.demo import run

    _require_torch()
    _require_free_port("demo", "127.0.0.1", port)
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
        raise CommandError("Jobs need torch and other libraries of the worker. Install them: pip install 'isthmus[worker]'")


def _owner_of(port: int) -> str:
    """Name the process that listens on a port, as far as the system allows it."""
    import psutil

    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by process {connection.pid}"
    return ""


def _require_free_port(command: str, host: str, port: int) -> None:
    """Raise CommandError if the port is in use, before anything is started or written."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Cannot listen on {host}:{port} ({error.strerror}{_owner_of(port)}). Choose another with --port. "
                f'With make: make {command} {command.upper()}="--port {port % 65535 + 1}"'
            ) from error
