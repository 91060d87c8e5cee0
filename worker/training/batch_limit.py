"""A smaller batch for the trainings of a job that exceed the memory of their device."""

import gc
from dataclasses import dataclass

import torch

from app.algorithms.base import AlgorithmParams
from app.schemas.trainer_messages import JobWarning

MIN_BATCH_SIZE = 8


@dataclass(slots=True)
class BatchLimit:
    """The largest batch of the job's trainings; `rows` is None until one of them has run out of memory."""

    rows: int | None = None

    def applied(self, params: AlgorithmParams) -> AlgorithmParams:
        """Return the parameters with a batch within the limit."""
        if self.rows is None or params.batch_size <= self.rows:
            return params
        return params.model_copy(update={"batch_size": self.rows})

    def halve(self, batch_size: int) -> bool:
        """Allow half of this batch only. Return False, and change nothing, if that would be too small."""
        if batch_size < 2 * MIN_BATCH_SIZE:
            return False
        self.rows = batch_size // 2
        return True

    @property
    def warnings(self) -> list[JobWarning]:
        """The warning that batches are smaller than requested, if they are."""
        if self.rows is None:
            return []
        message = (
            f"The device had too little memory for the requested `batch_size`, so the training used batches of {self.rows}. "
            f"Set `batch_size` to {self.rows} to avoid the failed start, or use a device with more memory."
        )
        return [JobWarning(code="batch_size_reduced", message=message)]


def release_memory() -> None:
    """Free what a failed training has left, also on the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
