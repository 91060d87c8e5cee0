"""Multilayer perceptron for tables and bags of n-grams. The features are the units of the last hidden layer."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.modalities.base import Preprocessing, TensorSpec
from app.modalities.tabular import TabularPreprocessing
from app.modalities.text import TextPreprocessing
from app.networks.mlp import MlpParams
from app.preprocessing.fitted_columns import NumberColumn
from worker.networks.base import Inputs, Network

MAX_EMBEDDING_WIDTH = 16
MAX_DEVIATION = 10.0


class TabularEmbedding(nn.Module):
    """Maps numbers (n, a) and categories (n, b) to (n, width).

    Numbers are standardised; a missing number, or one that stands for it, becomes the mean with an indicator. Categories are
    embedded.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, numbers: Sequence[NumberColumn], levels: Sequence[int]) -> None:
        """Initialise from the number columns and the level count per category, without the unknown bucket 0."""
        super().__init__()
        mean, std = [column.mean for column in numbers], [column.std for column in numbers]
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)
        for position in range(max((len(column.missing) for column in numbers), default=0)):
            values = [column.missing[position] if position < len(column.missing) else math.nan for column in numbers]
            self.register_buffer(f"sentinels_{position}", torch.tensor(values, dtype=torch.float32), persistent=False)
        self.embeddings = nn.ModuleList(nn.Embedding(count + 1, min(MAX_EMBEDDING_WIDTH, count + 1)) for count in levels)
        self.width = 2 * len(mean) + sum(min(MAX_EMBEDDING_WIDTH, count + 1) for count in levels)

    def forward(self, inputs: Inputs) -> Tensor:
        columns: list[Tensor] = []
        if "numbers" in inputs:
            missing = inputs["numbers"].isnan()
            for name, sentinels in self.named_buffers():
                if name.startswith("sentinels_"):
                    missing = missing | (inputs["numbers"] == sentinels)
            deviations = (inputs["numbers"] - self.mean) / self.std
            columns += [deviations.masked_fill(missing, 0).clamp(-MAX_DEVIATION, MAX_DEVIATION), missing.float()]
        columns += [embedding(inputs["categories"][:, column]) for column, embedding in enumerate(self.embeddings)]
        return torch.cat(columns, dim=1)


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


class TableAndTexts(nn.Module):
    """Joins numbers and categories with the summed embeddings of the terms."""

    def __init__(self, table: TabularEmbedding, texts: TfidfEmbedding) -> None:
        super().__init__()
        self.table, self.texts = table, texts
        self.width = table.width + texts.width

    def forward(self, inputs: Inputs) -> Tensor:
        texts = self.texts(inputs)
        return torch.cat([self.table(inputs), texts.relu()], dim=1) if self.table.width else texts


def build(params: MlpParams, preprocessing: Preprocessing, specs: dict[str, TensorSpec], classes: int) -> Network:
    """Build the network. For text, the summed embeddings are the units of the first hidden layer."""
    if isinstance(preprocessing, TextPreprocessing):
        first: nn.Module = nn.Sequential(
            TfidfEmbedding(preprocessing.vocabulary_size, params.width), nn.ReLU(), nn.Dropout(params.dropout)
        )
        widths = [params.width] * params.layers
    else:
        assert isinstance(preprocessing, TabularPreprocessing)
        first = table = _table(preprocessing, params.width)
        widths = [table.width] + [params.width] * params.layers
    layers = [
        nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(params.dropout)) for inputs, outputs in pairwise(widths)
    ]
    return Network(nn.Sequential(first, *layers), nn.Identity(), nn.Linear(params.width, classes), params.width)


def _table(preprocessing: TabularPreprocessing, width: int) -> "TabularEmbedding | TableAndTexts":
    levels = [len(column.levels) for column in preprocessing.categories]
    table = TabularEmbedding(preprocessing.numbers, levels)
    return TableAndTexts(table, TfidfEmbedding(preprocessing.vocabulary_size, width)) if preprocessing.vocabulary_size else table
