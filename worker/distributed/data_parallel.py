"""Data-parallel training: several processes train one network, each on a GPU of its own.

Context: methods call the network several times a step and alternate their updates. Their losses belong to a whole batch
(distances of domains, spectra, the entropy of the mean prediction). Wrapped in `DistributedDataParallel`, with losses of a
part of the batch, they would be other methods. Decision: every process has the same batch and the same random numbers. Only
the features, nearly all of the work, are divided: each process computes those of its part of the rows, and all are gathered
with their gradients. Heads, discriminators and losses see the whole batch in every process, and batch norm uses the whole
batch's statistics. Consequences: gathering sums the processes' gradients and `average_gradients` takes their mean, as
`DistributedDataParallel` does. Both cancel out, so a step equals that of one process with the whole batch.

Clocks, signals and choices are those of rank zero, which alone reports and stores.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn

from worker.distributed.collectives import all_gather, all_reduce_sum
from worker.distributed.processes import BatchFunction, Distributed
from worker.distributed.sync_batch_norm import sync_batch_norm
from worker.protocol.progress import StopRequested


@contextmanager
def process_group(device: torch.device) -> Iterator["DataParallel"]:
    """Join the process group inside the block.

    After an error this process leaves without a word, and the launcher ends the others.
    """
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    group = DataParallel(dist.get_rank(), dist.get_world_size(), dist.new_group(backend="gloo"))
    try:
        yield group
    except StopRequested:
        group.leave()
        raise
    group.leave()


class DataParallel(Distributed):
    """Several processes. `control_group` carries decisions over the CPU."""

    def __init__(self, rank: int, world_size: int, control_group: dist.ProcessGroup | None) -> None:
        self.rank, self.world_size = rank, world_size
        self._control_group = control_group
        self._is_sharing = False
        self._is_split = False

    def leave(self) -> None:
        """Leave the group; from now on this process works alone, and keeps its rank."""
        self.world_size = 1
        dist.destroy_process_group()

    @contextmanager
    def sharing(self) -> Iterator[None]:
        self._is_sharing = self.world_size > 1
        try:
            yield
        finally:
            self._is_sharing = False

    def split_batch(self, function: BatchFunction, inputs: dict[str, Tensor]) -> Tensor:
        """Compute an equal part of the rows in each process and gather all.

        A number of rows that cannot be divided is computed by every process. Random numbers differ between the processes inside
        of `function` and are the same again after it.
        """
        rows, device = next((len(values), values.device) for values in inputs.values())
        if not self._is_sharing or rows % self.world_size:
            return function(inputs)
        part = {name: values.chunk(self.world_size)[self.rank] for name, values in inputs.items()}
        seed = int(torch.randint(2**62, ()))
        self._is_split = True
        try:
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                torch.manual_seed(seed + self.rank)
                gathered: Tensor = _GatheredRows.apply(function(part), self.rank)  # type: ignore[no-untyped-call]
                return gathered.flatten(0, 1)
        finally:
            self._is_split = False

    def sync_batch_norm(
        self, values: Tensor, weight: Tensor, bias: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        return sync_batch_norm(values, weight, bias, epsilon) if self._is_split else None

    def average_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        if not self._is_sharing:
            return
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world_size
        for gradient, mean in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def broadcast_from_rank_zero(self, *numbers: float) -> list[float]:
        if self.world_size == 1:
            return list(numbers)
        values = torch.tensor(numbers, dtype=torch.float64)
        dist.broadcast(values, 0, group=self._control_group)
        return values.tolist()

    def broadcast_module(self, module: nn.Module) -> None:
        if self.world_size == 1:
            return
        for value in module.state_dict().values():
            received = value.to(torch.uint8) if value.dtype is torch.bool else value.contiguous()
            dist.broadcast(received, 0)
            value.copy_(received)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return this object: a copied network belongs to the same processes."""
        return self


class _GatheredRows(torch.autograd.Function):
    """All-gather. The gradient of a process's own rows is the sum of all processes' gradients of them."""

    @staticmethod
    def forward(context: Any, values: Tensor, rank: int) -> Tensor:
        context.rank = rank
        return all_gather(values.contiguous())

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return all_reduce_sum(gradients[0])[context.rank], None
