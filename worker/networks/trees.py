"""Boosted trees as tensor operations, which ONNX Runtime computes as fast as a small network."""

import torch
from torch import Tensor, nn

from app.modalities.base import Preprocessing, TensorSpec
from app.modalities.tabular import TabularPreprocessing
from app.networks.trees import TreesParams
from worker.networks.base import Network
from worker.networks.layers import DomainScaler, TableColumns
from worker.plain.trees import DEPTH, tree_count
from worker.protocol.progress import BadParameters


class TreeEnsemble(nn.Module):
    """Maps columns (n, d) to logits (n, classes), as `worker.plain.trees.TreeClassifier` does."""

    columns: Tensor
    thresholds: Tensor
    values: Tensor
    baseline: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.trees, self.inner, self.classes = tree_count(classes), 2**DEPTH - 1, classes
        self.register_buffer("columns", torch.zeros(self.trees * self.inner, dtype=torch.int64))
        self.register_buffer("thresholds", torch.full((self.trees * self.inner,), torch.inf))
        self.register_buffer("values", torch.zeros(self.trees * (self.inner + 1)))
        self.register_buffer("baseline", torch.zeros(classes))
        self.register_buffer("first_node", torch.arange(self.trees) * self.inner, persistent=False)
        self.register_buffer("first_leaf", torch.arange(self.trees) * (self.inner + 1) - self.inner, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        first_node, first_leaf = self.get_buffer("first_node"), self.get_buffer("first_leaf")
        position = torch.zeros_like(values[:, :1], dtype=torch.int64).expand(-1, self.trees)
        for _ in range(DEPTH):
            node = first_node + position
            goes_right = values.gather(1, self.columns[node]) > self.thresholds[node]
            position = 2 * position + 1 + goes_right.long()
        leaves = self.values[first_leaf + position]
        return leaves.reshape(-1, self.trees // self.classes, self.classes).sum(1) + self.baseline


def build(params: TreesParams, preprocessing: Preprocessing, specs: dict[str, TensorSpec], classes: int) -> Network:
    """Build the network. Raise BadParameters for a table with text columns."""
    assert isinstance(preprocessing, TabularPreprocessing)
    if preprocessing.vocabulary_size:
        raise BadParameters(
            "Boosted trees cannot read text columns. Choose another algorithm, or upload the table without texts."
        )
    columns = TableColumns(preprocessing)
    return Network(columns, DomainScaler(columns.width), TreeEnsemble(classes), columns.width)
