"""Soft neighbourhood density.

Saito et al., ICCV 2021, https://arxiv.org/abs/2108.10860
"""

import numpy as np
from scipy.special import softmax
from scipy.stats import entropy

from worker.evaluation.clustering import l2_normalize
from worker.evaluation.outputs import ModelOutputs

SIMILARITY_TEMPERATURE = 0.05


def score(outputs: ModelOutputs) -> float:
    """Return mean_i H(softmax_j(cos(p_i, p_j) / 0.05)), j other than i, of the target's predictions p (m, classes)."""
    rows = l2_normalize(outputs.target_probabilities.astype(np.float32))
    similarity = rows @ rows.T / SIMILARITY_TEMPERATURE
    np.fill_diagonal(similarity, -np.inf)
    return float(entropy(softmax(similarity, axis=1), axis=1).mean())
