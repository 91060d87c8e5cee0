"""Predictions of a network over a data set, and what they say about it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from worker.batches import Examples
from worker.networks.base import Inputs

BATCH = 256


@torch.inference_mode()
def predict(logits_of: Callable[[Inputs], Tensor], examples: Examples, indices: Tensor, device: torch.device) -> Tensor:
    """Class numbers (n,) on the CPU of these examples, in evaluation order."""
    answers = [logits_of(examples.take(part, device)[0]).argmax(1) for part in indices.split(BATCH)]  # type: ignore[no-untyped-call]
    return torch.cat(answers).cpu()


def confusion(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Counts (classes, classes): the row is the true class, the column the predicted one. Inputs (n,)."""
    return torch.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def measures(counts: Tensor) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro F1 of a confusion matrix, over the classes that occur in it."""
    hits, true, predicted = counts.diagonal().double(), counts.sum(1).double(), counts.sum(0).double()
    recall = (hits / true)[true > 0]
    f1 = (2 * hits / (true + predicted))[true + predicted > 0]
    return {
        "accuracy": float(hits.sum() / true.sum()),
        "balanced_accuracy": float(recall.mean()),
        "macro_f1": float(f1.mean()),
    }


def report(prefix: str, labels: Tensor, predicted: Tensor, classes: list[str]) -> dict[str, Any]:
    """What a version says about one data set: `{prefix}_accuracy`, ..., and counts of each class."""
    counts = confusion(labels, predicted, len(classes))
    by_class = {
        name: {"examples": int(counts[number].sum()), "correct": int(counts[number, number])}
        for number, name in enumerate(classes)
    }
    return {**{f"{prefix}_{name}": value for name, value in measures(counts).items()}, f"{prefix}_classes": by_class}
