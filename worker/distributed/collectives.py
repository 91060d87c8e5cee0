"""Collective operations without a gradient, on the default process group."""

import torch
import torch.distributed as dist
from torch import Tensor


def all_gather(values: Tensor) -> Tensor:
    """Return the values of each process: (world size, ...)."""
    received = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(received, values)
    return torch.stack(received)


def all_reduce_sum(values: Tensor) -> Tensor:
    """Return the sum of all processes' values."""
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
