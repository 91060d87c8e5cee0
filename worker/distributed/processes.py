"""The processes that train one job together, as the code that trains sees them. Imports no `torch.distributed`."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

BatchFunction = Callable[[dict[str, Tensor]], Tensor]


class Distributed:
    """The process group of a job; this class stands for a job of a single process."""

    rank = 0
    world_size = 1

    @property
    def is_rank_zero(self) -> bool:
        """Whether this process reports and stores."""
        return self.rank == 0

    def sharing(self) -> AbstractContextManager[None]:
        """Divide the work among the processes inside the block, a training step."""
        return nullcontext()

    def split_batch(self, function: BatchFunction, inputs: dict[str, Tensor]) -> Tensor:
        """Return `function` of inputs that are each (n, ...): one row for each of theirs."""
        return function(inputs)

    def sync_batch_norm(
        self, values: Tensor, weight: Tensor, bias: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return normalised values, mean and variance of the whole batch; None unless this process has a part of it."""
        return None

    def average_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Give every process the mean of all gradients."""

    def broadcast_from_rank_zero(self, *numbers: float) -> list[float]:
        """Return the numbers of rank zero in every process."""
        return list(numbers)

    def broadcast_module(self, module: nn.Module) -> None:
        """Give every process the weights and statistics of rank zero."""


@contextmanager
def distributed_session(device: torch.device) -> Iterator[Distributed]:
    """Work with the other processes that `torchrun` started, if there are any, inside the block."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield Distributed()
        return
    from worker.distributed.data_parallel import process_group

    with process_group(device) as group:
        yield group
