"""Layers of networks for tables and texts: inputs to columns, and columns of a domain to standardised ones."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.modalities.tabular import TabularPreprocessing
from app.preprocessing.fitted_columns import NumberColumn
from worker.networks.base import DomainBatchNorm, Inputs
from worker.protocol.progress import BadParameters

MAX_DEVIATION = 10.0
MAX_INDICATORS = 255
"""Levels of a category with a column of their own; the others share the column of unknown levels."""
MAX_MAPPED_COLUMNS = 2048
SOURCE_DOMAINS = ("domain_mean", "domain_var")
"""Names of the statistics of each source domain, which belong to one job."""


class ScaledNumbers(nn.Module):
    """Maps numbers (n, a) to (n, 2 a): standardised numbers, then indicators of missing ones.

    A missing number, or one that stands for it, becomes the mean.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, numbers: Sequence[NumberColumn]) -> None:
        super().__init__()
        mean, std = [column.mean for column in numbers], [column.std for column in numbers]
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)
        for position in range(max((len(column.missing) for column in numbers), default=0)):
            values = [column.missing[position] if position < len(column.missing) else math.nan for column in numbers]
            self.register_buffer(f"sentinels_{position}", torch.tensor(values, dtype=torch.float32), persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        missing = numbers.isnan()
        for name, sentinels in self.named_buffers():
            if name.startswith("sentinels_"):
                missing = missing | (numbers == sentinels)
        deviations = (numbers - self.mean) / self.std
        return torch.cat([deviations.masked_fill(missing, 0).clamp(-MAX_DEVIATION, MAX_DEVIATION), missing.float()], dim=1)


class TfidfEmbedding(nn.Module):
    """Maps n-gram ids (n, length) and weights (n, length) to the weighted sum of their embeddings (n, width)."""

    def __init__(self, terms: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(terms, width)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.bias = nn.Parameter(torch.zeros(width))
        self.width = width

    def forward(self, inputs: Inputs) -> Tensor:
        terms, weights = inputs["terms"], inputs["weights"]
        if self.training:  # twice as fast, but ONNX Runtime has no such operator
            return F.embedding_bag(terms, self.embedding.weight, mode="sum", per_sample_weights=weights) + self.bias
        summed: Tensor = (weights.unsqueeze(1) @ self.embedding(terms)).squeeze(1)
        return summed + self.bias


class TableColumns(nn.Module):
    """Maps numbers (n, a) and categories (n, b) to columns (n, width): numbers, and indicators of missing ones and of levels.

    The first `number_count` columns are the numbers.
    """

    def __init__(self, preprocessing: TabularPreprocessing) -> None:
        super().__init__()
        self.number_count = len(preprocessing.numbers)
        self.numbers = ScaledNumbers(preprocessing.numbers)
        counts = [1 + min(len(column.levels), MAX_INDICATORS) for column in preprocessing.categories]
        for position, count in enumerate(counts):
            self.register_buffer(f"levels_{position}", torch.arange(count), persistent=False)
        self.category_count = len(counts)
        self.width = 2 * self.number_count + sum(counts)

    def forward(self, inputs: Inputs) -> Tensor:
        columns = [self.numbers(inputs["numbers"])] if self.number_count else []
        for position in range(self.category_count):
            levels = self.get_buffer(f"levels_{position}")
            codes = inputs["categories"][:, position : position + 1]
            known = torch.where(codes < len(levels), codes, torch.zeros_like(codes))
            columns.append((known == levels).float())
        return torch.cat(columns, dim=1)


class DomainScaler(DomainBatchNorm):
    """Standardises columns by the exact statistics of each domain. `source_map` (d, d) then moves those of the source.

    Only a network with `has_map` has the map, and only with several source domains are there means and variances of each. In
    evaluation mode every operation is exact, so that a graph and a network send a row to the same leaf of a tree.
    """

    source_map: Tensor

    def __init__(self, columns: int, *, has_map: bool = False) -> None:
        super().__init__(columns)
        self.has_map = has_map
        if columns > MAX_MAPPED_COLUMNS and has_map:
            raise BadParameters(f"The data has {columns} columns; alignment is possible up to {MAX_MAPPED_COLUMNS}.")
        if has_map:
            self.register_buffer("source_map", torch.eye(columns))

    @property
    def has_source_domains(self) -> bool:
        """Return whether each of several source domains has its own statistics."""
        return hasattr(self, SOURCE_DOMAINS[0])

    def add_source_domains(self, count: int) -> None:
        """Add statistics (count, d) of each source domain."""
        for name, initial in zip(SOURCE_DOMAINS, (self.source_mean, self.source_var), strict=True):
            self.register_buffer(name, initial.repeat(count, 1))

    def forward(self, values: Tensor) -> Tensor:
        is_source = self.use_source_statistics and (self.training or bool(self.has_source))
        if self.training:
            scaled = super().forward(values)
        else:
            mean, variance = self._source_scale() if is_source else (self.running_mean, self.running_var)
            scaled = (values - mean) / variance.sqrt() * self.weight + self.bias
        return scaled @ self.source_map if is_source and self.has_map else scaled

    def _source_scale(self) -> tuple[Tensor, Tensor]:
        if self.source_domain is None or not self.has_source_domains:
            return self.source_mean, self.source_var
        mean, variance = (self.get_buffer(name)[self.source_domain] for name in SOURCE_DOMAINS)
        return mean, variance

    def forget_source_statistics(self) -> None:
        super().forget_source_statistics()
        if self.has_map:
            self.source_map.copy_(torch.eye(len(self.source_map)))
