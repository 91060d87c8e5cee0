"""Endless shuffled batches of encoded datasets.

The order of a sampler is a pure function of (seed, domain, pass), so a position is a step: a resumed run continues with the next
batch. A batch may span the end of a pass, so the last batch is not smaller, and a batch may be larger than the dataset.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from app.algorithms.base import AlgorithmParams
from worker.data.batch import Batch
from worker.data.examples import EncodedDataset
from worker.networks.base import Inputs

SOURCE, TARGET = 0, 1
"""Numbers of the domains, which make their orders differ."""


class ShuffledSampler:
    """Endless shuffled passes over `indices`, cut into batches of `size`."""

    def __init__(self, indices: Tensor, size: int, seed: int, domain: int) -> None:
        self.indices, self.size = indices, size
        self._seed, self._domain = seed, domain
        self._pass, self._order = -1, indices

    def batch(self, step: int) -> Tensor:
        """Return the indices (size,) of this step's examples."""
        parts, start, missing = [], step * self.size, self.size
        while missing:
            number, offset = divmod(start, len(self.indices))
            part = self._shuffled(number)[offset : offset + missing]
            parts.append(part)
            start, missing = start + len(part), missing - len(part)
        return torch.cat(parts)

    def _shuffled(self, number: int) -> Tensor:
        if number != self._pass:
            seeds = np.random.SeedSequence([self._seed, self._domain, number]).generate_state(1)
            order = self._permutation(torch.Generator().manual_seed(int(seeds[0])))
            self._pass, self._order = number, self.indices[order]
        return self._order

    def _permutation(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(self.indices), generator=generator)


class BalancedSampler(ShuffledSampler):
    """Passes in which every stratum is drawn equally often, with replacement."""

    def __init__(self, indices: Tensor, strata: Tensor, size: int, seed: int, domain: int) -> None:
        """Take the strata (n,) of the `indices`. Those of -1 are drawn as often as rows are on average."""
        super().__init__(indices, size, seed, domain)
        known = strata >= 0
        self._weights = torch.zeros(len(strata), dtype=torch.float64)
        self._weights[known] = 1 / strata[known].bincount()[strata[known]].double()
        self._weights[~known] = self._weights[known].mean()

    def _permutation(self, generator: torch.Generator) -> Tensor:
        return torch.multinomial(self._weights, len(self.indices), replacement=True, generator=generator)


class PairedBatches:
    """Pairs of a source and a target batch for the steps of a run. `epochs` are passes over the larger of the two."""

    def __init__(
        self,
        source: EncodedDataset | None,
        target: EncodedDataset | None,
        *,
        train: Tensor,
        params: AlgorithmParams,
        device: torch.device,
        steps: int | None = None,
    ) -> None:
        """Take the datasets, None for a domain that the run does not use, and the source indices to train on.

        `steps` overrides the number that follows from the parameters.
        """
        self.source, self.target, self.device = source, target, device
        self._source_sampler = _source_sampler(source, train, params) if source else None
        self._target_sampler = (
            ShuffledSampler(torch.arange(len(target)), params.batch_size, params.seed, TARGET) if target else None
        )
        larger = max(len(train) if source else 0, len(target) if target else 0)
        self.steps_per_epoch = math.ceil(larger / params.batch_size)
        self.steps = steps or num_steps(params, larger)
        self._augmentable = {name: kind for domain in (source, target) if domain for name, kind in domain.augmentable.items()}

    def from_step(self, step: int) -> Iterator[Batch]:
        """Yield the batches of steps `step` + 1, `step` + 2, ... of this run."""
        for number in range(step, self.steps):
            yield self._batch(number)

    def _batch(self, number: int) -> Batch:
        source_x, source_y = self._take(self.source, self._source_sampler, number)
        target_x, _ = self._take(self.target, self._target_sampler, number)
        labels = torch.empty(0) if source_y is None else source_y
        return Batch(source_x, labels, target_x, number / self.steps, self._augmentable)

    def _take(
        self, examples: EncodedDataset | None, sampler: ShuffledSampler | None, number: int
    ) -> tuple[Inputs, Tensor | None]:
        return examples.gather(sampler.batch(number), self.device) if examples and sampler else ({}, None)


def num_steps(params: AlgorithmParams, rows: int) -> int:
    """Return the number of steps of a run whose larger dataset has this many rows."""
    return max(params.epochs * math.ceil(rows / params.batch_size), params.min_steps)


def _source_sampler(source: EncodedDataset, train: Tensor, params: AlgorithmParams) -> ShuffledSampler:
    if source.domains is None and not params.class_balanced:
        return ShuffledSampler(train, params.batch_size, params.seed, SOURCE)
    return BalancedSampler(train, _strata(source, params)[train], params.batch_size, params.seed, SOURCE)


def _strata(source: EncodedDataset, params: AlgorithmParams) -> Tensor:
    """Return what is drawn evenly: source domains, classes, or the classes of each source domain."""
    assert source.labels is not None
    labels, domains = source.labels.cpu(), source.domains
    if domains is None:
        return labels
    strata = labels * len(source.domain_names) + domains if params.class_balanced else domains
    return strata.where(domains >= 0, -1)
