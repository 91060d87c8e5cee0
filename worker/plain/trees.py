"""Gradient-boosted trees as arrays: every tree is a complete binary tree of one depth.

A split sends a row to the right if its value is greater than the threshold. A leaf above the last level becomes a subtree whose
leaves are equal.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from worker.plain.data import Floats, Rows

ITERATIONS, DEPTH = 100, 6
MAX_TREES = 600
"""Number of trees of all classes. It bounds the time of a prediction."""


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """The options of a fit."""

    learning_rate: float = 0.1
    class_balanced: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TreeClassifier:
    """Trees of a depth: columns and thresholds (trees, 2^depth - 1), and the leaves' values (trees, 2^depth).

    Tree t belongs to class t % classes. `baseline` (classes,) are the logits without trees.
    """

    columns: NDArray[np.int64]
    thresholds: NDArray[np.float32]
    values: NDArray[np.float32]
    baseline: NDArray[np.float32]

    def logits(self, rows: Rows) -> Floats:
        """Return the logits (n, classes)."""
        inner, values = self.columns.shape[1], rows.columns.astype(np.float32)
        trees, node = np.arange(len(self.columns)), np.zeros((len(rows), len(self.columns)), np.int64)
        for _ in range((inner + 1).bit_length() - 1):
            column = self.columns[trees, node]
            node = 2 * node + 1 + (np.take_along_axis(values, column, axis=1) > self.thresholds[trees, node])
        leaves = self.values[trees, node - inner]
        summed: Floats = leaves.reshape(len(rows), -1, len(self.baseline)).sum(axis=1) + self.baseline
        return summed


def tree_count(classes: int) -> int:
    """Return the number of trees: ITERATIONS for each class, or fewer with many classes."""
    return classes * max(1, min(ITERATIONS, MAX_TREES // classes))


def fit_trees(columns: Floats, labels: NDArray[np.int64], classes: int, options: TreeOptions) -> TreeClassifier:
    """Fit histogram-based gradient boosting on dense columns (n, d), which has early stopping on large data."""
    count = tree_count(classes)
    empty = _empty(count, classes)
    present = np.unique(labels)
    if len(present) == 1:
        empty.baseline[present] = 0.0
        return empty
    model = HistGradientBoostingClassifier(
        max_iter=count // classes,
        max_depth=DEPTH,
        learning_rate=options.learning_rate,
        class_weight="balanced" if options.class_balanced else None,
        random_state=options.seed,
    )
    model.fit(columns.astype(np.float32), labels)
    _fill(empty, model, present)
    return empty


def _empty(count: int, classes: int) -> TreeClassifier:
    shape = (count, 2**DEPTH - 1)
    return TreeClassifier(
        np.zeros(shape, np.int64),
        np.full(shape, np.inf, np.float32),
        np.zeros((count, 2**DEPTH), np.float32),
        np.full(classes, -30.0, np.float32),
    )


def _fill(trees: TreeClassifier, model: HistGradientBoostingClassifier, present: NDArray[np.int64]) -> None:
    """Copy the fitted trees. With two classes, one tree per iteration gives the logit of the second."""
    outputs = present[1:] if len(present) == 2 else present
    trees.baseline[present] = 0.0
    trees.baseline[outputs] = np.ravel(model._baseline_prediction)  # noqa: SLF001  # scikit-learn has no other access
    for iteration, predictors in enumerate(model._predictors):  # noqa: SLF001
        for number, predictor in zip(outputs, predictors, strict=True):
            _fill_tree(trees, iteration * len(trees.baseline) + int(number), predictor.nodes)


def _fill_tree(trees: TreeClassifier, tree: int, nodes: NDArray[Any]) -> None:
    """Copy one tree, from its root to the leaves of the complete tree."""
    inner = trees.columns.shape[1]
    pending = [(0, 0)]
    while pending:
        position, index = pending.pop()
        node = nodes[index]
        if position >= inner:
            trees.values[tree, position - inner] = node["value"]
        elif node["is_leaf"]:
            pending += [(2 * position + 1, index), (2 * position + 2, index)]
        else:
            trees.columns[tree, position] = node["feature_idx"]
            trees.thresholds[tree, position] = _rounded_down(node["num_threshold"])
            pending += [(2 * position + 1, int(node["left"])), (2 * position + 2, int(node["right"]))]


def _rounded_down(threshold: float) -> np.float32:
    """Return the greatest float32 that is not above the threshold, which separates the same values of float32."""
    rounded = np.float32(threshold)
    return np.nextafter(rounded, np.float32(-np.inf)) if rounded > threshold else rounded
