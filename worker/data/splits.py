"""The encoded datasets of a job, with the source split into training and held-out examples."""

from dataclasses import dataclass

import torch
from torch import Tensor

from app.algorithms.base import AlgorithmParams
from worker.data.examples import EncodedDataset
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
        """Return the rows of the larger dataset that the method learns from; an epoch is a pass over it."""
        source = len(self.training) if params.needs_source else 0
        return max(source, len(self.target) if self.target and params.needs_target else 0)


def split_source(
    source: EncodedDataset | None, target: EncodedDataset | None, evaluation: EncodedDataset | None, params: AlgorithmParams
) -> DomainData:
    """Hold a part of the source out. Raise BadData when every class has one example."""
    training, held_out = _hold_out(source, params) if source else _NONE
    return DomainData(source, training, held_out, target, evaluation)


_NONE = (torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))


def _hold_out(source: EncodedDataset, params: AlgorithmParams) -> tuple[Tensor, Tensor]:
    assert source.labels is not None
    training, held_out = stratified_split(source.labels.cpu(), params.validation_fraction, params.seed)
    if not len(held_out):
        raise BadData("The source has only one example per class, so none can be held out for validation. Add more examples.")
    return training, held_out


def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices to train on and those held out: `fraction` of each class (at least one), at random."""
    generator = torch.Generator().manual_seed(seed)
    train, held_out = [], []
    for number in sorted(set(labels.tolist())):
        members = (labels == number).nonzero().squeeze(1)
        members = members[torch.randperm(len(members), generator=generator)]
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held_out.append(members[:count])
        train.append(members[count:])
    return torch.cat(train).sort().values, torch.cat(held_out).sort().values
