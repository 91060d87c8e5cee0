"""Deep embedded validation. You et al., ICML 2019, https://proceedings.mlr.press/v97/you19a.html"""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from worker.evaluation.outputs import Float32Array, ModelOutputs

NEEDS_SOURCE = True
INVERSE_RIDGE = (
    0.01  # inverse of the ridge penalty on standardised features: a density ratio that separates all rows says nothing
)


def score(outputs: ModelOutputs) -> float:
    """1 less the risk of the held-out source (n,) weighted as the target is distributed: about 1 for the best, no lower bound."""
    wrong = (outputs.source_logits.argmax(axis=1) != outputs.source_labels).astype(np.float64)
    return 1 - risk(wrong, density_ratio(outputs.source_features, outputs.target_features))


def risk(losses: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """mean(w l) + eta (mean(w) - 1) of losses and weights (n,): eta = -cov(w l, w) / var(w), the control variate."""
    weighted = losses * weights
    covariance = np.cov(weighted, weights)
    eta = -covariance[0, 1] / covariance[1, 1] if covariance[1, 1] > 0 else 0.0
    return float(weighted.mean() + eta * (weights.mean() - 1))


def density_ratio(source: Float32Array, target: Float32Array) -> NDArray[np.float64]:
    """P_T(x) / P_S(x) at the source's rows (n, d), each from a logistic regression fitted on the other half of the rows."""
    rows = np.concatenate([source, target]).astype(np.float64)
    rows = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-6)
    domain = np.arange(len(rows)) >= len(source)
    half = np.arange(len(rows)) % 2 == 0
    ratio = np.zeros(len(source))
    for part in (half, ~half):
        logit = LogisticRegression(C=INVERSE_RIDGE).fit(rows[~part], domain[~part]).decision_function(rows[part & ~domain])
        ratio[part[: len(source)]] = np.exp(logit) * (~domain & ~part).sum() / (domain & ~part).sum()
    return ratio
