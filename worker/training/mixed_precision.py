"""The precision of a job's matrix products in training. It changes the results, so a job decides once.

Context: bfloat16 instructions do not always make a processor faster. With those of AVX-512 a step of the small convolutional
network takes two thirds of the time on an EPYC (Zen 4). On a Xeon it takes half as much again. Only a measurement can decide, and
measurements differ between machines and, on a busy one, between processes. Decision: the first attempt of a job decides. The
decision is stored in the job's row, its checkpoints and the version's manifest; later attempts, trials on other workers and
the students of reverse validation follow it. Consequences: a job gives the same result wherever it is resumed. Two jobs with
the same seed differ if they were decided differently; `precision` in their parameters rules that out.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from statistics import median

import torch
from torch.nn import functional as F

from app.algorithms.base import AlgorithmParams
from app.artifacts import TrainingPrecision
from worker.networks.base import Network

CAPABILITIES = ("amx_bf16", "avx512_bf16", "bf16")
"""Names of the processors' bfloat16 instructions. Without any, bfloat16 is never faster."""
REPEATS = 9
MAX_TIME_RATIO = 0.85
"""bfloat16 counts as faster below this ratio of the times."""


def resolve_precision(params: AlgorithmParams, decided: TrainingPrecision) -> TrainingPrecision:
    """Return the precision that the parameters ask for; `auto` stands for the job's decision."""
    return decided if params.precision == "auto" else params.precision


def decide_precision(params: AlgorithmParams, device: torch.device, build: Callable[[], Network]) -> TrainingPrecision:
    """Return the precision for a job whose networks `build` makes.

    `auto` is bfloat16 on GPUs, and for convolutions and pretrained encoders on CPUs that are faster in it.
    """
    if params.precision != "auto":
        return params.precision
    return "bfloat16" if device.type == "cuda" or (is_faster() and build().is_dense) else "float32"


@cache
def is_faster() -> bool:
    """Measure whether this processor computes a convolution and its gradients clearly faster in bfloat16.

    Both alternate and processor time is measured, so other processes hardly change the median of the ratios.
    """
    if not any(map(torch.cpu.get_capabilities().get, CAPABILITIES)):
        return False
    with _one_thread():
        _convolve(False), _convolve(True)  # the first call of each compiles
        ratios = [_convolve(True) / _convolve(False) for _ in range(REPEATS)]
    return median(ratios) < MAX_TIME_RATIO


@torch.enable_grad()
def _convolve(bfloat16: bool) -> float:
    """Return the processor seconds for 64 feature maps of a small network's middle; draw no random numbers."""
    inputs = torch.ones(64, 32, 12, 12).to(memory_format=torch.channels_last).requires_grad_()
    weights = torch.ones(48, 32, 5, 5).to(memory_format=torch.channels_last).requires_grad_()
    started = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        outputs = F.conv2d(inputs, weights)
    outputs.sum().backward()  # type: ignore[no-untyped-call]
    return time.process_time() - started


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread inside the block: threads that wait for one another add processor time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
