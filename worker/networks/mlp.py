"""Multilayer perceptron for tables and bags of n-grams. The features are the units of the last hidden layer."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from app.modalities.base import Preprocessing, TensorSpec
from app.modalities.tabular import TabularPreprocessing
from app.modalities.text import TextPreprocessing
from app.networks.mlp import MlpParams
from app.preprocessing.fitted_columns import NumberColumn
from worker.networks.base import Inputs, Network
from worker.networks.layers import ScaledNumbers, TfidfEmbedding

MAX_EMBEDDING_WIDTH = 16


class TabularEmbedding(nn.Module):
    """Maps numbers (n, a) and categories (n, b) to (n, width): standardised numbers, and embedded categories."""

    def __init__(self, numbers: Sequence[NumberColumn], levels: Sequence[int]) -> None:
        """Initialise from the number columns and the level count per category, without the unknown bucket 0."""
        super().__init__()
        self.numbers = ScaledNumbers(numbers)
        self.embeddings = nn.ModuleList(nn.Embedding(count + 1, min(MAX_EMBEDDING_WIDTH, count + 1)) for count in levels)
        self.width = 2 * len(numbers) + sum(min(MAX_EMBEDDING_WIDTH, count + 1) for count in levels)

    def forward(self, inputs: Inputs) -> Tensor:
        columns = [self.numbers(inputs["numbers"])] if "numbers" in inputs else []
        columns += [embedding(inputs["categories"][:, column]) for column, embedding in enumerate(self.embeddings)]
        return torch.cat(columns, dim=1)


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
