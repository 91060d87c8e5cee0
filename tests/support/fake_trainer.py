"""The real entry point of the trainer process with fake work: NumPy steps, real checkpoints and a real result.

The job's parameters control the work: `steps`, `step_seconds`, `checkpoint_every` (steps), and `ends`, a name in `ENDS`.
The sum that it "learns" depends on every step, which reveals a wrong resume. Its reports contain its own attempt.
"""

import errno
import hashlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.artifacts import MANIFEST_FILE
from app.errors import FieldError, InvalidDataset
from app.job_types.adaptation import ADAPTATION, AdaptationResult
from app.job_types.trial import TRIAL, TrialResult
from tests.support.factories import make_manifest
from worker import trainer
from worker.data.attempt_context import AttemptContext
from worker.protocol.progress import BadData, BadParameters, StopRequested

FAKE_TRAINER = "tests.support.fake_trainer"


def learned(steps: int, seed: int = 0) -> float:
    """Return the result of a run of this number of steps, with or without interruptions."""
    return sum(_draw(seed, step) for step in range(1, steps + 1))


def adapt(context: AttemptContext) -> AdaptationResult:
    return trained(context).result()


def trial(context: AttemptContext) -> TrialResult:
    return TrialResult(metrics={"total": trained(context).total})


def trained(context: AttemptContext) -> "_Run":
    end = context.job.params.get("ends")
    if end in ENDS:
        ENDS[end]()
    run = _Run(context)
    run.resume()
    run.train(deaf=end == "deaf")
    return run


@dataclass
class _Run:
    context: AttemptContext
    step: int = 0
    total: float = 0.0
    started_at_step: int = 0
    params: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.params = {"steps": 20, "step_seconds": 0.0, "checkpoint_every": 5, "seed": 0} | self.context.job.params

    def resume(self) -> None:
        if self.context.job.checkpoint is not None:
            with self.context.storage.local(self.context.job.checkpoint) as path, np.load(path, allow_pickle=False) as saved:
                self.step, self.total = int(saved["step"]), float(saved["total"])
        self.started_at_step = self.step
        self.context.reporter.report(self.context.attempt, 0, 0, {"started_at_step": self.step, "attempt": self.context.attempt})

    def train(self, deaf: bool) -> None:
        while self.step < self.params["steps"]:
            self.step += 1
            self.total += _draw(self.params["seed"], self.step)
            time.sleep(self.params["step_seconds"])
            metrics = {"total": self.total, "attempt": float(self.context.attempt)}
            self.context.reporter.report(1000 + self.step, 0, self.step / self.params["steps"], metrics)
            if self.context.reporter.should_stop and not deaf:
                self.save()
                raise StopRequested
            if self.step % self.params["checkpoint_every"] == 0:
                self.save()

    def save(self) -> None:
        path = self.context.folder / "checkpoint.npz"
        np.savez(path, step=self.step, total=self.total)
        key = f"{self.context.storage_folder}/checkpoint-{self.step}.npz"
        self.context.storage.put(key, path)
        self.context.reporter.checkpoint(key)

    def result(self) -> AdaptationResult:
        metrics = {"attempt": self.context.attempt, "total": self.total, "started_at_step": self.started_at_step}
        manifest = make_manifest(job_id=self.context.job.id, metrics=metrics)
        manifest.write(self.context.folder)
        path = self.context.folder / MANIFEST_FILE
        stored = self.context.storage.put(f"{self.context.storage_folder}/{MANIFEST_FILE}", path)
        return AdaptationResult(modality="tabular", metrics={"total": self.total}, manifest=manifest, artifacts=[stored])


def _draw(seed: int, step: int) -> float:
    return int.from_bytes(hashlib.sha256(f"{seed}:{step}".encode()).digest()[:4], "big") / 2**32


def _bad_data() -> None:
    raise BadData("column `age`:\nno value can be used")


def _bad_dataset() -> None:
    raise InvalidDataset("The file is broken.", [FieldError("/rows/3", "not a number")])


def _bad_parameters() -> None:
    raise BadParameters("the bottleneck is wider than the features")


def _out_of_gpu_memory() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def _bug() -> None:
    raise KeyError("a bug")


def _out_of_memory() -> None:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried")


def _greedy() -> None:
    np.ones(2**29)


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _helper_out_of_gpu_memory() -> None:
    if trainer.own_rank():
        _out_of_gpu_memory()


def _segmentation_fault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _no_result() -> None:
    os._exit(0)


def _storage_away() -> None:
    raise ConnectionResetError("the object store hung up")


def _disk_full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _prints() -> None:
    os.write(1, b"a library writes to standard output\n")


ENDS: dict[str, Callable[[], None]] = {
    "bad_data": _bad_data,
    "bad_dataset": _bad_dataset,
    "bad_parameters": _bad_parameters,
    "out_of_gpu_memory": _out_of_gpu_memory,
    "bug": _bug,
    "killed": _killed,
    "out_of_memory": _out_of_memory,
    "greedy": _greedy,
    "helper_out_of_gpu_memory": _helper_out_of_gpu_memory,
    "segmentation_fault": _segmentation_fault,
    "no_result": _no_result,
    "prints": _prints,
    "storage_away": _storage_away,
    "disk_full": _disk_full,
}

if __name__ == "__main__":
    if "TESTS_CHUNK_SECONDS" in os.environ:
        from tests.support.slow_predictor import slow_down

        slow_down(float(os.environ["TESTS_CHUNK_SECONDS"]))
    trainer.run_process(runs={ADAPTATION.name: adapt, TRIAL.name: trial})
