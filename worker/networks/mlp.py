"""Multilayer perceptron for tables and bags of n-grams. The features are the units of the last hidden layer."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.modalities.base import Preprocessing, TensorSpec
from app.modalities.tabular import TabularPreprocessing
from app.modalities.text import TextPreprocessing
from app.networks.mlp import MlpParams
from worker.networks.base import Inputs, Network

MAX_EMBEDDING_WIDTH = 16
MAX_DEVIATION = 10.0


class TabularEmbedding(nn.Module):
    """Maps numbers (n, a) and categories (n, b) to (n, width).

    Numbers are standardised; a missing number becomes the mean with an indicator. Categories are embedded.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: list[float], std: list[float], levels: list[int]) -> None:
        """Initialise from mean and std per number and the level count per category, without the unknown bucket 0."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)
        self.embeddings = nn.ModuleList(nn.Embedding(count + 1, min(MAX_EMBEDDING_WIDTH, count + 1)) for count in levels)
        self.width = 2 * len(mean) + sum(min(MAX_EMBEDDING_WIDTH, count + 1) for count in levels)

    def forward(self, inputs: Inputs) -> Tensor:
        columns: list[Tensor] = []
        if "numbers" in inputs:
            missing = inputs["numbers"].isnan()
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


def build(params: MlpParams, preprocessing: Preprocessing, specs: dict[str, TensorSpec], classes: int) -> Network:
    """Build the network. For text, the summed embeddings are the units of the first hidden layer."""
    if isinstance(preprocessing, TextPreprocessing):
        first: nn.Module = nn.Sequential(
            TfidfEmbedding(preprocessing.vocabulary_size, params.width), nn.ReLU(), nn.Dropout(params.dropout)
        )
        widths = [params.width] * params.layers
    else:
        assert isinstance(preprocessing, TabularPreprocessing)
        first = table = _table(preprocessing)
        widths = [table.width] + [params.width] * params.layers
    layers = [
        nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(params.dropout)) for inputs, outputs in pairwise(widths)
    ]
    return Network(nn.Sequential(first, *layers), nn.Identity(), nn.Linear(params.width, classes), params.width)


def _table(preprocessing: TabularPreprocessing) -> TabularEmbedding:
    numbers, categories = preprocessing.numbers, preprocessing.categories
    means, deviations = [column.mean for column in numbers], [column.std for column in numbers]
    return TabularEmbedding(means, deviations, [len(column.levels) for column in categories])
