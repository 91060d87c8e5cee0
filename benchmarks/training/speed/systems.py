"""The compared systems, each in a process that alternates with the others."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import IO, Self

from worker.supervision.trainer_process import RUNTIME

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A system. `environment` is the folder of its virtual environment; empty means the current one.

    `argument` is an additional command-line argument.
    """

    name: str
    module: str
    environment: str = ""
    peer: bool = False
    argument: str = ""

    def python(self, folder: Path) -> str:
        return str((folder / self.environment / "bin/python").absolute()) if self.environment else sys.executable


OURS, BY_DEFAULT, LEAN, SKADA, PYTORCH_ADAPT, ADAPT = KINDS = (
    Kind("ours", "ours", argument="none"),
    Kind("ours by default: affine augmentation", "ours", argument="affine"),
    Kind("lean loop", "lean"),
    Kind("skada", "with_skada", "torch", peer=True),
    Kind("pytorch-adapt", "with_pytorch_adapt", "torch", peer=True),
    Kind("adapt (TensorFlow)", "with_adapt", "tensorflow", peer=True),
)


class SystemFailedError(Exception):
    """A system ended before its time; the message is the end of its standard error."""


@dataclass
class System:
    """A running one. `wall` and `cpu` are milliseconds of the steps of each round, but for its first, whose caches are cold."""

    kind: Kind
    process: subprocess.Popen[str]
    errors: Path
    wall: list[list[float]] = field(default_factory=list)
    cpu: list[list[float]] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, kind: Kind, folder: Path, arguments: Sequence[str], *, allocator: bool) -> Self:
        """Start the system. `folder` has the environments. `allocator` sets the allocator as in a trainer."""
        command = [kind.python(folder), "-m", f"benchmarks.training.speed.{kind.module}", *arguments, kind.argument]
        errors = folder / f"{kind.module}{kind.argument}.log"
        environment = os.environ | ONE_THREAD | (RUNTIME if allocator else {})
        with errors.open("w") as file:
            pipe = subprocess.PIPE
            return cls(kind, subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=file, text=True, env=environment), errors)

    def ready(self) -> None:
        """Wait until the first step is done."""
        self._answer()

    def run_round(self) -> None:
        _opened(self.process.stdin).write("\n")
        _opened(self.process.stdin).flush()
        answer = self._answer()
        self.wall.append(answer["wall"][1:])
        self.cpu.append(answer["cpu"][1:])

    def end(self) -> None:
        """Continue after the last round and return the accuracies."""
        _opened(self.process.stdin).write("\n")
        _opened(self.process.stdin).close()
        self.accuracies = self._answer()["accuracies"]
        self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def best(self) -> float:
        """Milliseconds of a step: the median of the fastest round."""
        return min(median(steps) for steps in self.wall)

    @property
    def median(self) -> float:
        """Milliseconds of a step, of all rounds."""
        return median(value for steps in self.wall for value in steps)

    @property
    def processor(self) -> float:
        """Milliseconds that the process computed for a step, in all threads, in the fastest round."""
        return min(median(steps) for steps in self.cpu)

    @property
    def beside(self) -> float:
        """Milliseconds that the process computed for a step on average, beyond the median step: reports and checks."""
        values = [value for steps in self.cpu for value in steps]
        return mean(values) - median(values)

    def _answer(self) -> dict[str, list[float]]:
        line = _opened(self.process.stdout).readline()
        if not line:
            raise SystemFailedError(f"{self.kind.name}: {self.errors.read_text()[-2000:]}")
        answer: dict[str, list[float]] = json.loads(line)
        return answer


def _opened(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
