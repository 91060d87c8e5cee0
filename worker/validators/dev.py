"""Deep embedded validation.

You et al., ICML 2019, https://proceedings.mlr.press/v97/you19a.html
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from worker.evaluation.outputs import Float32Array, ModelOutputs

NEEDS_SOURCE = True
INVERSE_RIDGE = 0.01
"""Inverse of the ridge penalty on standardised features. A density ratio that separates all rows is useless."""


def score(outputs: ModelOutputs) -> float:
    """Return 1 minus the risk on the held-out source (n,), weighted by the density ratio: about 1 is best, no lower bound."""
    wrong = (outputs.source_logits.argmax(axis=1) != outputs.source_labels).astype(np.float64)
    return 1 - risk(wrong, density_ratio(outputs.source_features, outputs.target_features))


def risk(losses: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return mean(w l) + eta (mean(w) - 1) of losses and weights (n,): eta = -cov(w l, w) / var(w), the control variate."""
    weighted = losses * weights
    covariance = np.cov(weighted, weights)
    eta = -covariance[0, 1] / covariance[1, 1] if covariance[1, 1] > 0 else 0.0
    return float(weighted.mean() + eta * (weights.mean() - 1))


def density_ratio(source: Float32Array, target: Float32Array) -> NDArray[np.float64]:
    """Return P_T(x) / P_S(x) at the source rows (n, d), from a logistic regression fitted on the other half of the rows."""
    rows = np.concatenate([source, target]).astype(np.float64)
    rows = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-6)
    domain = np.arange(len(rows)) >= len(source)
    half = np.arange(len(rows)) % 2 == 0
    ratio = np.zeros(len(source))
    for fold in (half, ~half):
        logit = LogisticRegression(C=INVERSE_RIDGE).fit(rows[~fold], domain[~fold]).decision_function(rows[fold & ~domain])
        ratio[fold[: len(source)]] = np.exp(logit) * (~domain & ~fold).sum() / (domain & ~fold).sum()
    return ratio
