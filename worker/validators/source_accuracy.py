"""Accuracy on the held-out source."""

from math import nan

from worker.evaluation.outputs import ModelOutputs

NEEDS_TARGET = False


def score(outputs: ModelOutputs) -> float:
    """Share of the source's examples (n,) whose largest logit is their label's, 0 to 1; nan without any."""
    right = outputs.source_logits.argmax(axis=1) == outputs.source_labels
    return float(right.mean()) if len(right) else nan
