"""Several processes train one network, each on a GPU of its own: what they share and what they agree on.

Methods here call the network several times a step, alternate their updates, and have losses of a whole batch (distances of
domains, spectra, the entropy of the mean prediction): wrapped in `DistributedDataParallel`, with losses of a part of the batch,
they would be other methods. So every process has the same batch and the same random numbers, and only the features, which are
nearly all of the work, are divided: each process computes those of its part of the rows, all are gathered with their gradients,
and heads, opponents and losses see the whole batch in every process. Batch norm has the whole batch's statistics too. The sum
of the processes' gradients in gathering and their mean in `average_gradients`, as `DistributedDataParallel` takes it, make up for
each other: a step is that of one process with the whole batch.

Clocks, signals and choices are those of the first process, the leader, which alone reports and stores.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from worker.protocol.progress import StopRequested


@dataclass(slots=True)
class _ProcessGroup:
    """This process among those of the job. `talk`: what is agreed on goes through the CPU. `sharing`, `in_part`: see below."""

    rank: int = 0
    size: int = 1
    control_group: dist.ProcessGroup | None = None
    sharing: bool = False
    in_part: bool = False


_ranks = _ProcessGroup()


@contextmanager
def distributed_session(device: torch.device) -> Iterator[None]:
    """Inside the block this process works with the others that `torchrun` started, if it did.

    One that fails leaves without a word, and the launcher ends the others.
    """
    global _ranks
    if not dist.is_torchelastic_launched():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    _ranks = _ProcessGroup(dist.get_rank(), dist.get_world_size(), dist.new_group(backend="gloo"))
    try:
        yield
    except StopRequested:
        _leave()
        raise
    _leave()


def _leave() -> None:
    global _ranks
    _ranks = _ProcessGroup(_ranks.rank)
    dist.destroy_process_group()


def is_rank_zero() -> bool:
    """Whether this process reports and stores."""
    return _ranks.rank == 0


@contextmanager
def sharing() -> Iterator[None]:
    """Inside the block, a step of the training, the processes divide the work."""
    _ranks.sharing = _ranks.size > 1
    try:
        yield
    finally:
        _ranks.sharing = False


def split_batch(function: Callable[[dict[str, Tensor]], Tensor], inputs: dict[str, Tensor]) -> Tensor:
    """What `function` gives for inputs each (n, ...), a row for each of theirs.

    While the work is divided, each process computes an equal part, if n can be divided so. What is drawn at random in it differs
    between the processes; after it their random numbers are the same again.
    """
    if not _ranks.sharing:
        return function(inputs)
    rows, device = next((len(values), values.device) for values in inputs.values())
    if rows % _ranks.size:
        return function(inputs)
    part = {name: values.chunk(_ranks.size)[_ranks.rank] for name, values in inputs.items()}
    seed = int(torch.randint(2**62, ()))
    _ranks.in_part = True
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed + _ranks.rank)
            gathered: Tensor = _Gathered.apply(function(part))  # type: ignore[no-untyped-call]
            return gathered.flatten(0, 1)
    finally:
        _ranks.in_part = False


def is_split() -> bool:
    """Whether what is being computed is of a part of a batch's rows."""
    return _ranks.in_part


def world_size() -> int:
    """Into how many a batch is divided."""
    return _ranks.size


def all_gather(values: Tensor) -> Tensor:
    """(processes, ...): the values of each process. It has no gradient."""
    received = [torch.empty_like(values) for _ in range(_ranks.size)]
    dist.all_gather(received, values)
    return torch.stack(received)


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum of all processes' values. It has no gradient."""
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def average_gradients(weights: Iterable[nn.Parameter]) -> None:
    """Give every process the mean of all processes' gradients."""
    if not _ranks.sharing:
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= _ranks.size
    for gradient, mean in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def broadcast_from_rank_zero(*numbers: float) -> list[float]:
    """The leader's numbers, in every process."""
    if _ranks.size == 1:
        return list(numbers)
    said = torch.tensor(numbers, dtype=torch.float64)
    dist.broadcast(said, 0, group=_ranks.control_group)
    return said.tolist()


def broadcast_module(module: nn.Module) -> None:
    """Give every process the leader's weights and statistics."""
    if _ranks.size == 1:
        return
    for value in module.state_dict().values():
        same = value.to(torch.uint8) if value.dtype is torch.bool else value.contiguous()
        dist.broadcast(same, 0)
        value.copy_(same)


class _Gathered(torch.autograd.Function):
    """`every`; the gradient of a process's own values is the sum of all processes' gradients of them."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return all_gather(values.contiguous())

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return all_reduce_sum(gradients[0])[_ranks.rank]
