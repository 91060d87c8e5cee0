"""The examples of a job, encoded: which of them train, which are held out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from app.algorithms.base import AlgorithmParams
from worker.data.batches import EncodedDataset, split
from worker.protocol.progress import BadData


@dataclass(frozen=True, slots=True)
class DomainData:
    """`training` and `held_out` are indices of the source, empty where there is none. `evaluation` is labelled target data."""

    source: EncodedDataset | None
    training: Tensor
    held_out: Tensor
    target: EncodedDataset | None
    evaluation: EncodedDataset | None

    def rows(self, params: AlgorithmParams) -> int:
        """Of the larger of the data sets that the method learns from: what an epoch is a pass over."""
        source = len(self.training) if params.needs_source else 0
        return max(source, len(self.target) if self.target and params.needs_target else 0)


def split_source(
    source: EncodedDataset | None, target: EncodedDataset | None, evaluation: EncodedDataset | None, params: AlgorithmParams
) -> DomainData:
    """Hold a part of the source out. Raises BadData when every class has one example."""
    training, held_out = _hold_out(source, params) if source else _NONE
    return DomainData(source, training, held_out, target, evaluation)


_NONE = (torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))


def _hold_out(source: EncodedDataset, params: AlgorithmParams) -> tuple[Tensor, Tensor]:
    assert source.labels is not None
    training, held_out = split(source.labels.cpu(), params.validation_fraction, params.seed)
    if not len(held_out):
        raise BadData("The source has one example of each class: there is nothing left to validate on.")
    return training, held_out
