"""The measured servers: start, pinning to a core, pauses while others are measured, and end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.serving import dialects, processes
from benchmarks.serving.dialects import Dialect
from tests.support.servers import free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 90
PROGRAMS = "benchmarks.serving.programs"


class StartError(Exception):
    """The server ended or did not respond. The message is the end of its output."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The folders of a benchmark: all files in one folder, the environments of the peers beside it.

    Servers run on `core`; on any core if it is None.
    """

    folder: Path
    core: int | None
    client_core: int

    @property
    def environments(self) -> Path:
        return self.folder.parent

    @property
    def graphs(self) -> Path:
        """Folder with NAME.onnx of the models that every server serves."""
        return self.folder / "graphs"

    @property
    def more_graphs(self) -> Path:
        """Folder of the models that only some servers can serve."""
        return self.folder / "more_graphs"

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.txt"


Start = Callable[[Machine, int], tuple[list[str], dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Server:
    """A server. `start` returns command and environment for a port; `needs` are packages of its own environment."""

    name: str
    start: Start
    ready: str
    dialects: Mapping[str, Dialect]
    subjects: tuple[str, ...] = ("lenet", "mlp")
    needs: tuple[str, ...] = ()

    def speaks(self, subject: str, format: str) -> bool:
        return subject in self.subjects and format in self.dialects


def isthmus(data: Path, **settings: object) -> Server:
    """Return the service on this data directory, with defaults except for these settings."""
    given = {f"ISTHMUS_{name.upper()}": str(value) for name, value in {"data_dir": data, **settings}.items()}

    def start(machine: Machine, port: int) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, "-m", "app.cli", "api", "--port", str(port)], given

    return Server("isthmus", start, "/health/live", dialects.ISTHMUS, ("lenet", "mlp", "image", "text"))


def _program(module: str, *, more: bool = False) -> Start:
    def start(machine: Machine, port: int) -> tuple[list[str], dict[str, str]]:
        graphs = machine.more_graphs if more else machine.graphs
        return [sys.executable, "-m", f"{PROGRAMS}.{module}"], {"BENCHMARK_GRAPHS": str(graphs), "BENCHMARK_PORT": str(port)}

    return start


def _litserve(machine: Machine, port: int) -> tuple[list[str], dict[str, str]]:
    environment = {"BENCHMARK_GRAPHS": str(machine.graphs), "BENCHMARK_PORT": str(port)}
    return [str(machine.environments / "litserve/bin/python"), "-m", f"{PROGRAMS}.lit"], environment


def _bentoml(machine: Machine, port: int) -> tuple[list[str], dict[str, str]]:
    environment = {
        "BENCHMARK_GRAPHS": str(machine.graphs),
        "BENTOML_DO_NOT_TRACK": "true",
        "BENTOML_HOME": str(machine.folder / "bentoml"),
    }
    command = [str(machine.environments / "bentoml/bin/bentoml"), "serve", f"{PROGRAMS}.bento:Graphs", "--working-dir", str(ROOT)]
    return [*command, "--host", "127.0.0.1", "--port", str(port)], environment


def _mlserver(machine: Machine, port: int) -> tuple[list[str], dict[str, str]]:
    folder = machine.folder / "mlserver"
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    settings |= {"parallel_workers": 0, "debug": False, "access_log": False}
    _write(folder / "settings.json", settings)
    for graph in machine.graphs.glob("*.onnx"):
        implementation = f"{PROGRAMS}.mlserver_runtime.GraphModel"
        model = {"name": graph.stem, "implementation": implementation, "parameters": {"uri": str(graph)}}
        _write(folder / graph.stem / "model-settings.json", model)
    return [str(machine.environments / "mlserver/bin/mlserver"), "start", str(folder)], {}


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


HELLO = Server("hello", _program("hello"), "/hello", {"get": dialects.HELLO})
PLAIN = Server("plain", _program("plain", more=True), "/docs", dialects.PLAIN, ("lenet", "mlp", "image"))
MLSERVER_NEEDS = ("mlserver", "uvloop==0.21.0", "onnxruntime")  # it does not start with a newer uvloop
LITSERVE = Server("litserve", _litserve, "/health", dialects.LITSERVE, needs=("litserve", "onnxruntime"))
BENTOML = Server("bentoml", _bentoml, "/readyz", dialects.BENTOML, needs=("bentoml", "onnxruntime"))
MLSERVER = Server("mlserver", _mlserver, "/v2/health/ready", dialects.MLSERVER, needs=MLSERVER_NEEDS)
PEERS = (LITSERVE, BENTOML, MLSERVER)


@dataclass(slots=True)
class Running:
    """A running server. While stopped (SIGSTOP), it does not use the core that it shares with others."""

    server: Server
    port: int
    pid: int
    stopped: bool = field(default=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        return processes.cpu_seconds(self.pid)

    def resident_bytes(self) -> int:
        return processes.resident_bytes(self.pid)

    def pause(self) -> None:
        processes.send(self.pid, signal.SIGSTOP)
        self.stopped = True

    def resume(self) -> None:
        processes.send(self.pid, signal.SIGCONT)
        self.stopped = False


@contextmanager
def running(server: Server, machine: Machine) -> Iterator[Running]:
    """Run the server on a free port and one core until the block ends. Raise StartError."""
    port = free_port()
    command, environment = server.start(machine, port)
    log = machine.log(server.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            [*([] if machine.core is None else ["taskset", "-c", str(machine.core)]), *command],
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment,
            cwd=log.parent,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    started = Running(server, port, process.pid)
    try:
        _wait(started, process, log)
        yield started
    finally:
        _end(started, process)


def _wait(started: Running, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{started.url}{started.server.ready}", timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise StartError(f"{started.server.name} did not start: {log.read_text()[-1000:]}")


def _end(started: Running, process: "subprocess.Popen[bytes]") -> None:
    """Terminate the first process, then kill the rest of its tree."""
    members = processes.tree(process.pid, list(processes.stats()))
    started.resume()
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    left = {(stat.pid, stat.session) for stat in processes.stats()} & {(member.pid, member.session) for member in members}
    for pid, _ in left:
        os.kill(pid, signal.SIGKILL)


def install(server: Server, machine: Machine) -> None:
    """Make the environment of a peer if it is missing. Raise StartError if pip fails."""
    folder = machine.environments / server.name
    if not server.needs or (folder / "installed").exists():
        return
    commands: Iterable[list[str]] = [
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *server.needs],
    ]
    for command in commands:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise StartError(f"{server.name} cannot be installed: {ended.stderr[-500:]}")
    (folder / "installed").touch()
