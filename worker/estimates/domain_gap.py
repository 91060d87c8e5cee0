"""How well a linear classifier separates the domains: a measure of the shift of the inputs."""

import numpy as np
from numpy.typing import NDArray

from worker.plain.data import Rows, fit_scale, join, take
from worker.plain.linear import LinearOptions, fit_linear

SEPARATOR = LinearOptions(inverse_regularization=0.1, class_balanced=True)


def domain_gaps(source: Rows, target: Rows, alignable: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the balanced accuracy of separating the domains: with the source's scale, and each domain with its own."""
    source_scale, target_scale = fit_scale(source, alignable), fit_scale(target, alignable)
    scaled = source_scale.apply(source)
    return _gap(scaled, source_scale.apply(target)), _gap(scaled, target_scale.apply(target))


def _gap(source: Rows, target: Rows, seed: int = 0) -> float:
    rows, domains = join([source, target]), np.repeat([0, 1], [len(source), len(target)])
    is_learned = np.random.default_rng(seed).random(len(domains)) < 0.5
    found = []
    for learned in (is_learned, ~is_learned):
        separator = fit_linear(take(rows, learned), domains[learned], 2, SEPARATOR)
        right = separator.logits(take(rows, ~learned)).argmax(axis=1) == domains[~learned]
        found += [right[domains[~learned] == domain].mean() for domain in (0, 1)]
    return float(np.mean(found))
