"""Batch nuclear norm.

Cui et al., CVPR 2020, https://arxiv.org/abs/2003.12237
"""

import numpy as np

from worker.evaluation.outputs import ModelOutputs


def score(outputs: ModelOutputs) -> float:
    """Return ||P||_* / sqrt(m min(m, classes)), from 0 to 1, of the target's predictions P (m, classes)."""
    predictions = outputs.target_probabilities
    rows, classes = predictions.shape
    return float(np.linalg.norm(predictions, "nuc") / np.sqrt(rows * min(rows, classes)))
