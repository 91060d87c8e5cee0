"""Weights of source rows that stand for the target: how much more likely a row comes from the target."""

import numpy as np

from worker.plain.data import Floats, Rows, join
from worker.plain.linear import LinearOptions, fit_linear

MAX_WEIGHT = 10.0


def importance_weights(source: Rows, target: Rows, inverse_regularization: float) -> Floats:
    """Return weights (n,) with mean 1, from a logistic regression that separates the domains (Bickel et al., JMLR 2009)."""
    domains = np.repeat([0, 1], [len(source), len(target)])
    separator = fit_linear(join([source, target]), domains, 2, LinearOptions(inverse_regularization, class_balanced=True))
    logits = separator.logits(source)
    odds = np.exp(np.clip(logits[:, 1] - logits[:, 0], -20, 20))
    clipped = np.clip(odds / odds.mean(), 1 / MAX_WEIGHT, MAX_WEIGHT)
    weights: Floats = clipped / clipped.mean()
    return weights
