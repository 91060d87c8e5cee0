"""Requests as clients send them, compared to the same work in process and to `hello`, in interleaved rounds."""

import base64
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from app.api.predict import MULTIPART
from app.serving import responses
from app.serving.loaded_model import LoadedModel
from app.serving.model_loader import ModelLoader
from app.serving.responses import OutputOptions
from app.serving.version_files import VersionFiles
from app.settings import Settings
from app.storage import Storage
from benchmarks import samples
from benchmarks.samples import Samples
from benchmarks.serving import dialects, store, subjects
from benchmarks.serving.dialects import Request, json_request
from benchmarks.serving.load import wrk
from benchmarks.serving.servers import HELLO, Machine, Running, isthmus, running
from benchmarks.serving.subjects import Subject

MADE: dict[str, Callable[[Path], Subject]] = {
    "mixed": subjects.mixed,
    "mlp": subjects.mlp,
    "text": subjects.text,
    "photograph": subjects.photograph,
}
CONNECTIONS, MIN_ROUNDS, IN_PROCESS_SECONDS = 8, 5, 0.2
MAX_RATIO, ALLOWED_MICROSECONDS = 1.3, 60
CHARSET = {"Content-Type": "application/json; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, the model that answers it, and its inputs in JSON or as files."""

    model: str
    request: Request
    inputs: Sequence[Any]


def measure(machine: Machine, seconds: int) -> dict[str, Any]:
    """Return the medians of all requests, with their ratios; the rounds are in `realistic.json` beside the results."""
    made = {name: make(machine.folder / "exported" / name) for name, make in MADE.items()}
    data = machine.folder / "realistic"
    store.fill(data, list(made.items()))
    loaded = _loaded(data, made)
    sent = requests(made)
    rounds: Samples = {}
    with running(HELLO, machine) as hello, running(isthmus(data), machine) as server:
        for number in range(MIN_ROUNDS):
            sys.stderr.write(f"realistic, round {number + 1}\n")
            _round(rounds, hello, server, sent, loaded, (machine.client_core, seconds))
    samples.write(machine.folder / "realistic.json", rounds)
    return {name: _summary(rounds, name) for name in sent}


def requests(made: dict[str, Subject]) -> dict[str, Sent]:
    """Return the requests by name."""
    row = dict(made["mixed"].written[0])
    new, missing, empty = {**row, "c3": "never seen"}, {**row, "x1": None, "c2": None}, {**row, "c3": ""}
    rows = list(made["mixed"].written)
    numbers, texts = made["mlp"].written, made["text"].written
    photographs = made["photograph"].written
    encoded = [base64.b64encode(photographs[0]).decode()]
    return {
        "object": _json("mixed", [row]),
        "charset": _json("mixed", [row], **CHARSET),
        "unseen level": _json("mixed", [new]),
        "empty level": _json("mixed", [empty]),
        "missing values": _json("mixed", [missing]),
        "64 objects": _json("mixed", rows),
        "64 objects, one unseen level": _json("mixed", [new, *rows[1:]]),
        "64 lists of 100 numbers": _json("mlp", list(numbers)),
        "text": _json("text", [texts[0]]),
        "64 texts": _json("text", list(texts)),
        "base64 image": _json("photograph", encoded),
        "multipart image": Sent(
            "photograph", dialects.multipart("/predict", {"model": "photograph"}, photographs[:1]), photographs[:1]
        ),
    }


def _json(model: str, inputs: Sequence[Any], **headers: str) -> Sent:
    return Sent(model, json_request("/predict", {"model": model, "inputs": inputs}, **headers), inputs)


def _loaded(data: Path, made: dict[str, Subject]) -> dict[str, LoadedModel]:
    """Load the versions in this process, as the service does."""
    storage = Storage(Settings(_env_file=None, data_dir=data).storage)
    loaded = {}
    for name, subject in made.items():
        files = {path.name: storage.put(f"loaded/{name}/{path.name}", path) for path in subject.exported.folder.iterdir()}
        loaded[name] = ModelLoader(storage, 1).load(VersionFiles(name, subject.exported.manifest, files, name, 1))
    return loaded


def _round(
    rounds: Samples,
    hello: Running,
    server: Running,
    sent: dict[str, Sent],
    loaded: dict[str, LoadedModel],
    effort: tuple[int, int],
) -> None:
    server.pause()
    hello.resume()
    base = _served(hello, Request("/hello"), effort)
    hello.pause()
    rounds.setdefault("hello us", []).append(base)
    for name, one in sent.items():
        server.resume()
        served = _served(server, one.request, effort)
        server.pause()
        alone = _in_process(loaded[one.model], one)
        figures = {"us": served, "us in process": alone, "x hello": served / base, "x in process": served / alone}
        for figure, value in figures.items():
            rounds.setdefault(f"{name}: {figure}", []).append(value)


def _served(server: Running, request: Request, effort: tuple[int, int]) -> float:
    """Return the CPU microseconds of the server for a request."""
    core, seconds = effort
    wrk(server.port, [request], CONNECTIONS, 1, core)
    before = server.cpu_seconds()
    load = wrk(server.port, [request], CONNECTIONS, seconds, core)
    if load.failed:
        raise AssertionError(f"{load.failed} of {load.requests} requests to {request.path} failed")
    return 1e6 * (server.cpu_seconds() - before) / max(1, load.requests)


def _in_process(version: LoadedModel, sent: Sent) -> float:
    """Return the CPU microseconds of reading, encoding, running and writing in this process."""
    is_form = sent.request.headers["Content-Type"].startswith(MULTIPART)

    def work() -> bytes:
        if is_form:
            return responses.to_json(version.logits(version.encode_files(sent.inputs)), version, OutputOptions())
        body = sent.request.body
        text = body[body.find(b"[") : body.rfind(b"]") + 1]
        inputs = version.fast_encode(text, 1024) or version.encode_json(orjson.loads(text))
        return responses.to_json(version.logits(inputs.arrays), version, OutputOptions(), inputs.warnings)

    json.loads(work())
    count, began, end = 0, time.process_time(), time.monotonic() + IN_PROCESS_SECONDS
    while time.monotonic() < end:
        work()
        count += 1
    return 1e6 * (time.process_time() - began) / count


def _summary(rounds: Samples, name: str) -> dict[str, Any]:
    figures = {
        figure: round(median(rounds[f"{name}: {figure}"]), 2) for figure in ("us", "us in process", "x hello", "x in process")
    }
    goal = MAX_RATIO * figures["us in process"] + ALLOWED_MICROSECONDS
    return figures | {"goal us": round(goal, 1), "met": figures["us"] <= goal}
