"""The encoded datasets of a job, with the source split into training and held-out examples."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from app.algorithms.base import AlgorithmParams
from worker.data.examples import EncodedDataset
from worker.protocol.progress import BadData


@dataclass(frozen=True, slots=True)
class DomainData:
    """`training` and `held_out` are indices of the source, empty where there is none. `evaluation` is labelled target data.

    `learned_target` are the indices of target rows whose labels the job learns from.
    """

    source: EncodedDataset | None
    training: Tensor
    held_out: Tensor
    target: EncodedDataset | None
    evaluation: EncodedDataset | None
    learned_target: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

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
    labels, fraction = source.labels.cpu(), params.validation_fraction
    if source.groups is None:
        training, held_out = stratified_split(_strata(source, labels, fraction), fraction, params.seed)
    else:
        training, held_out = grouped_split(labels, source.groups, fraction, params.seed)
    if not len(held_out):
        raise BadData("The source has only one example per class, so none can be held out for validation. Add more examples.")
    return training, held_out


def _strata(source: EncodedDataset, labels: Tensor, fraction: float) -> Tensor:
    """Return the classes of each source domain as numbers; the classes alone if those of the domains have too few rows."""
    if source.domains is None:
        return labels
    strata = labels * len(source.domain_names) + source.domains
    return strata if len(set(strata.tolist())) <= fraction * len(strata) else labels


def stratified_split(strata: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices to train on and those held out: `fraction` of each stratum (at least one), at random.

    The strata are the classes, or those of each source domain.
    """
    generator = torch.Generator().manual_seed(seed)
    train, held_out = [], []
    counts = [count for count in (strata - strata.min()).bincount().tolist() if count]
    for members in torch.split(strata.argsort(stable=True), counts):
        members = members[torch.randperm(len(members), generator=generator)]
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held_out.append(members[:count])
        train.append(members[count:])
    return torch.cat(train).sort().values, torch.cat(held_out).sort().values


def grouped_split(labels: Tensor, groups: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices to train on and those held out: whole groups, at random, with at least `fraction` of each class.

    A class keeps a group to train on. Where that is impossible, as for a class with a single group, its last examples are held
    out instead: examples that follow each other, such as overlapping windows, are alike.
    """
    counts = _counts(labels, groups)
    wanted, left = fraction * counts.sum(0), counts.sum(0)
    held = torch.zeros(len(counts), dtype=torch.bool)
    for group in torch.randperm(len(counts), generator=torch.Generator().manual_seed(seed)).tolist():
        classes = counts[group] > 0
        keeps_training_data = bool((left > counts[group])[classes].all())
        if keeps_training_data and bool((counts[held].sum(0) < wanted)[classes].any()):
            held[group] = True
            left = left - counts[group]
    is_held = held[groups]
    for number in (counts[held].sum(0) == 0).nonzero().squeeze(1).tolist():
        members = (labels == number).nonzero().squeeze(1)
        if len(members) > 1:
            is_held[members[-max(1, round(fraction * len(members))) :]] = True
    return (~is_held).nonzero().squeeze(1), is_held.nonzero().squeeze(1)


def divided_classes(data: DomainData) -> list[int]:
    """Return the numbers of the classes with a group of which examples are held out while others train."""
    source = data.source
    if source is None or source.labels is None or source.groups is None:
        return []
    labels, groups = source.labels.cpu(), source.groups
    divided = torch.isin(groups, groups[data.training]) & torch.isin(groups, groups[data.held_out])
    held_out = torch.zeros(len(groups), dtype=torch.bool)
    held_out[data.held_out] = True
    return sorted(set(labels[divided & held_out].tolist()))


def _counts(labels: Tensor, groups: Tensor) -> Tensor:
    """Return the number of examples (groups, classes) of each class in each group."""
    classes = int(labels.max()) + 1
    return torch.bincount(groups * classes + labels, minlength=(int(groups.max()) + 1) * classes).reshape(-1, classes)
