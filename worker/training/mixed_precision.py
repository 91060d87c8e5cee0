"""Whether training is quicker in bfloat16 on this machine's processor.

Context: instructions for it do not make it so. With those of AVX-512 a step of the small convolutional network takes two thirds
of the time on an EPYC (Zen 4) and half as much again on a Xeon; without any, half as much again too. Decision: a convolution
is timed in both, once in a process. Consequences: the answer may differ between machines, as rounding does; the margin keeps it
from differing on one.
"""

import time
from functools import cache

import torch
from torch.nn import functional as F

CAPABILITIES = ("amx_bf16", "avx512_bf16", "bf16")
"""What processors call their instructions for it; without any it is never quicker."""
REPEATS = 5
MARGIN = 0.9


@cache
def is_faster() -> bool:
    """Whether the processor computes a convolution and its gradients in clearly less time; takes a tenth of a second."""
    if not any(map(torch.cpu.get_capabilities().get, CAPABILITIES)):
        return False
    seconds = [(_convolve(False), _convolve(True)) for _ in range(REPEATS + 1)][1:]  # the first turn compiles
    plain, half = (min(column) for column in zip(*seconds, strict=True))
    return bool(half < MARGIN * plain)


@torch.enable_grad()
def _convolve(half: bool) -> float:
    """Seconds for 64 maps of the middle of a small network; draws no random numbers."""
    inputs = torch.ones(64, 32, 12, 12).to(memory_format=torch.channels_last).requires_grad_()
    weights = torch.ones(48, 32, 5, 5).to(memory_format=torch.channels_last).requires_grad_()
    began = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        outputs = F.conv2d(inputs, weights)
    outputs.sum().backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - began
