"""Closed-loop load with wrk: consecutive requests on a number of connections."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.dialects import Request

SCRIPT = Path(__file__).with_name("wrk.lua")
MARK = "wrk-result "


class LoadError(Exception):
    """wrk is missing or gave no result."""


@dataclass(frozen=True, slots=True)
class Load:
    """The result of wrk. `failed` counts statuses from 400 on, broken connections and time-outs."""

    requests: int
    seconds: float
    failed: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def parse(output: str) -> Load:
    """Parse the output of wrk. Raise LoadError."""
    marked = [line.removeprefix(MARK) for line in output.splitlines() if line.startswith(MARK)]
    if not marked:
        raise LoadError(f"wrk gave no result: {output[-500:]}")
    result = json.loads(marked[-1])
    failed = sum(result["errors"].values())
    return Load(result["requests"], result["duration"] / 1e6, failed, result["p50"] / 1e3, result["p99"] / 1e3)


def wrk(port: int, requests: Sequence[Request], connections: int, seconds: int, core: int) -> Load:
    """Send the requests cyclically for whole seconds, from one thread on this core."""
    binary = shutil.which("wrk")
    if binary is None:
        raise LoadError("wrk is not installed. On Debian and Ubuntu: apt install wrk")
    with tempfile.TemporaryDirectory() as folder:
        for number, request in enumerate(requests, start=1):
            (Path(folder) / str(number)).write_bytes(request.raw(port))
        command = ["taskset", "-c", str(core), binary, "-t", "1", "-c", str(connections), "-d", str(seconds), "--timeout", "30"]
        command += ["-s", str(SCRIPT), f"http://127.0.0.1:{port}/", "--", folder, str(len(requests))]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise LoadError(f"wrk ended with {ended.returncode}: {ended.stderr[-500:]}")
    return parse(ended.stdout)
