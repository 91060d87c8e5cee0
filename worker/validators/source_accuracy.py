"""Accuracy on the held-out source."""

from math import nan

from worker.evaluation.outputs import ModelOutputs

NEEDS_TARGET = False


def score(outputs: ModelOutputs) -> float:
    """Return the accuracy on the source examples (n,), 0 to 1; NaN without any."""
    is_correct = outputs.source_logits.argmax(axis=1) == outputs.source_labels
    return float(is_correct.mean()) if len(is_correct) else nan
