"""The service over time: overload, a million requests, a moved alias, more versions than fit in memory."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import httpx
import numpy as np

from app.serving.model_loader import GRAPH_FACTOR, SESSION_BYTES
from benchmarks.serving import realistic, store, subjects
from benchmarks.serving.client import OpenLoop, Outcome
from benchmarks.serving.dialects import ISTHMUS, Request, json_request
from benchmarks.serving.load import wrk
from benchmarks.serving.matrix import check
from benchmarks.serving.servers import Machine, Running, Server, isthmus, running
from benchmarks.serving.subjects import Subject

MEGABYTE = 1024**2
MODELS, HOT, CACHED = 100, 10, 10
HOT_FRACTION = 0.9
MOVE_SECONDS = 2.5
ALIAS_RATE = 100
MIN_SECONDS = 3
MEMORY_SECONDS = 1200
ALLOWED_STALENESS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Effort:
    """Durations and counts of the cases."""

    seconds: int
    requests: int


Finding = dict[str, Any]


def overload(machine: Machine, effort: Effort) -> Finding:
    """Measure half, double and half of the maximum load, with 64 small images per request, then with one large image."""
    return {
        "lenet": _overloaded(machine, effort, subjects.lenet(machine.folder / "exported" / "lenet"), "json", 64),
        "image": _overloaded(machine, effort, subjects.image(machine.folder / "exported" / "image"), "jpeg", 1),
    }


def _overloaded(machine: Machine, effort: Effort, subject: Subject, format: str, samples: int) -> Finding:
    data = machine.folder / "overload"
    store.fill(data, [(subject.name, subject)])
    with running(isthmus(data), machine) as server:
        check(server, ISTHMUS[format], subject, samples)
        request = ISTHMUS[format].ask(subject, samples)
        wrk(server.port, [request], 8, 1, machine.client_core)
        seconds = max(MIN_SECONDS, effort.seconds)
        capacity = max(wrk(server.port, [request], 8, seconds, machine.client_core).rate for _ in range(3))
        return {"capacity": capacity, **asyncio.run(_phases(server, request, capacity, effort.seconds))}


async def _phases(server: Running, request: Request, capacity: float, seconds: int) -> Finding:
    loop = OpenLoop(server.port, [request.raw(server.port)])
    try:
        before = await loop.run(capacity / 2, 2 * seconds)
        twice = await loop.run(2 * capacity, 4 * seconds)
        after = await loop.run(capacity / 2, 2 * seconds)
    finally:
        loop.close()
    return {"half": summary(before), **_begun("twice", twice), **_begun("half again", after)}


def _begun(name: str, outcomes: Sequence[Outcome]) -> Finding:
    """Compare the first second with the time after it."""
    start = min((outcome.due for outcome in outcomes), default=0.0)
    return {
        f"{name}, first second": summary([outcome for outcome in outcomes if outcome.due < start + 1]),
        f"{name}, then": summary([outcome for outcome in outcomes if outcome.due >= start + 1]),
    }


def summary(outcomes: Sequence[Outcome]) -> Finding:
    """Return counts by status (0: no response), and milliseconds of served and of rejected requests."""
    served = [outcome.seconds for outcome in outcomes if outcome.status == 200]
    refused = [outcome.seconds for outcome in outcomes if outcome.status == 503]
    return {
        "statuses": dict(sorted(Counter(str(outcome.status) for outcome in outcomes).items())),
        "served": milliseconds(served),
        "refused": milliseconds(refused),
    }


def milliseconds(seconds: Sequence[float]) -> Finding:
    """Return median and 99th percentile, or nothing without values."""
    if not seconds:
        return {}
    p50, p99 = np.percentile(seconds, [50, 99])
    return {"p50_ms": round(1e3 * float(p50), 3), "p99_ms": round(1e3 * float(p99), 3)}


def memory(machine: Machine, effort: Effort) -> Finding:
    """Resident memory after every tenth of the requests: two networks, both good and bad inputs, on 32 connections.

    It ends before the requests are made when they take too long.
    """
    lenet = subjects.lenet(machine.folder / "exported" / "lenet")
    mlp = subjects.mlp(machine.folder / "exported" / "mlp")
    data = machine.folder / "memory"
    store.fill(data, [("lenet", lenet), ("mlp", mlp)])
    good = [ISTHMUS["json"].ask(subject, samples) for subject in (lenet, mlp) for samples in (1, 1, 1, 4)]
    bad = [
        json_request("/predict", {"model": "nothing", "inputs": [1]}),
        json_request("/predict", {"model": "lenet", "inputs": [[1]]}),
    ]
    with running(isthmus(data), machine) as server:
        wrk(server.port, good + bad, 32, max(MIN_SECONDS, effort.seconds), machine.client_core)
        return {"megabytes": _resident(server, good + bad, effort, machine)}


def _resident(server: Running, requests: Sequence[Request], effort: Effort, machine: Machine) -> list[tuple[int, float]]:
    done, seen = 0, [(0, round(server.resident_bytes() / MEGABYTE, 1))]
    deadline = time.monotonic() + MEMORY_SECONDS
    while done < effort.requests and time.monotonic() < deadline:
        done += wrk(server.port, requests, 32, effort.seconds, machine.client_core).requests
        if done >= effort.requests * len(seen) / 10:
            seen.append((done, round(server.resident_bytes() / MEGABYTE, 1)))
    return seen


def alias(machine: Machine, effort: Effort) -> Finding:
    """Move an alias back and forth in one of two processes on one database, while both receive requests."""
    old = subjects.lenet(machine.folder / "exported" / "lenet")
    new = subjects.lenet(machine.folder / "exported" / "lenet_2", seed=1)
    data = machine.folder / "alias"
    store.fill(data, [("lenet", old), ("lenet", new)])
    with ExitStack() as stack:
        servers = [stack.enter_context(running(isthmus(data), machine)) for _ in range(2)]
        url = f"{servers[0].url}/models/lenet/aliases/production"
        httpx.put(url, json={"version": 1}).raise_for_status()
        request = json_request("/predict", {"model": "lenet@production", "inputs": old.written[:1]})
        moves, outcomes = asyncio.run(_moved(url, servers, request, 10 * effort.seconds))
    names = ("moved there", "the other process")
    return {name: {"moves": len(moves) - 1, **staleness(moves, outcome)} for name, outcome in zip(names, outcomes, strict=True)}


@dataclass(frozen=True, slots=True)
class Move:
    """A move of the alias to `version`: possible from `start` on, certain from `done` on."""

    start: float
    done: float
    version: int


async def _moved(
    url: str, servers: Sequence[Running], request: Request, seconds: float
) -> tuple[list[Move], list[list[Outcome]]]:
    loops = [OpenLoop(server.port, [request.raw(server.port)], seed) for seed, server in enumerate(servers)]
    moves = [Move(time.monotonic(), time.monotonic(), 1)]
    end = time.monotonic() + seconds - MOVE_SECONDS
    async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as group:
        runs = [group.create_task(loop.run(ALIAS_RATE, seconds)) for loop in loops]
        for version in cycle((2, 1)):
            await asyncio.sleep(MOVE_SECONDS)
            if time.monotonic() > end:
                break
            start = time.monotonic()
            try:
                (await client.put(url, json={"version": version})).raise_for_status()
            except httpx.HTTPError:  # its target is unknown now
                break
            moves.append(Move(start, time.monotonic(), version))
    for loop in loops:
        loop.close()
    return moves, [run.result() for run in runs]


def staleness(moves: Sequence[Move], outcomes: Sequence[Outcome]) -> Finding:
    """Return failed requests, and the longest time after a move with responses of the earlier version."""
    served = [(outcome.answered, json.loads(outcome.body)["version"]) for outcome in outcomes if outcome.status == 200]
    late = [lateness(moves, answered, version) for answered, version in served]
    return {
        "answers": len(served),
        "failed": len(outcomes) - len(served),
        "longest_ms": round(1e3 * max(late, default=0), 1),
        "later_than_allowed": sum(seconds > ALLOWED_STALENESS_SECONDS for seconds in late),
    }


def lateness(moves: Sequence[Move], answered: float, version: int) -> float:
    """Return the seconds since the last move away from this version; 0 if it is current or being moved to."""
    last = [move for move in moves if move.done <= answered][-1]
    moving = [move.version for move in moves if move.start <= answered < move.done]
    return 0.0 if version in (last.version, *moving) else answered - last.done


def many(machine: Machine, effort: Effort) -> Finding:
    """Measure 100 models with 90 % of requests for ten of them, with memory for all and for ten."""
    lenet = subjects.lenet(machine.folder / "exported" / "lenet")
    names = [f"lenet-{number}" for number in range(MODELS)]
    data = machine.folder / "many"
    store.fill(data, [(name, lenet) for name in names])
    version_bytes = GRAPH_FACTOR * lenet.graph.stat().st_size + SESSION_BYTES
    chosen = random.Random(0)
    sampled = [names[chosen.randrange(HOT) if chosen.random() < HOT_FRACTION else chosen.randrange(MODELS)] for _ in range(1000)]
    requests = [json_request("/predict", {"model": name, "inputs": lenet.written[:1]}) for name in sampled]
    findings = {}
    for room in (MODELS, CACHED):
        server = isthmus(data, predict_cache_bytes=room * version_bytes)
        findings[f"room for {room}"] = _many(machine, effort, server, requests)
    return findings


def _many(machine: Machine, effort: Effort, server: Server, requests: Sequence[Request]) -> Finding:
    with running(server, machine) as started:
        wrk(started.port, requests, 8, max(MIN_SECONDS, effort.seconds), machine.client_core)
        before = started.cpu_seconds()
        load = wrk(started.port, requests, 8, 2 * effort.seconds, machine.client_core)
        return {
            "cpu_us": round(1e6 * (started.cpu_seconds() - before) / max(1, load.requests), 1),
            "rate": round(load.rate, 1),
            "p50_ms": load.p50_ms,
            "p99_ms": load.p99_ms,
            "failed": load.failed,
            "resident_megabytes": round(started.resident_bytes() / MEGABYTE, 1),
        }


def realistic_requests(machine: Machine, effort: Effort) -> Finding:
    """Measure requests as clients send them (`benchmarks.serving.realistic`)."""
    return realistic.measure(machine, effort.seconds)


Case = Callable[[Machine, Effort], Finding]
CASES: dict[str, Case] = {"realistic": realistic_requests, "overload": overload, "alias": alias, "many": many, "memory": memory}
