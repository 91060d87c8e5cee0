"""Class priors of the target, and detection of label shift.

Two estimators err in different ways. BBSE inverts the confusion matrix of the held-out source (Lipton et al., ICML 2018,
https://arxiv.org/abs/1802.03916). EM re-weights the probabilities until they are consistent (Saerens et al., Neural Computation
2002, doi 10.1162/089976602753284446). Both assume that within a class, the network sees no difference between the domains.
An unadapted network violates this assumption: its errors look like label shift. A shift is therefore detected only if both
estimators find it, in the same direction, and chance does not explain it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.sparse import csr_array

from worker.estimates.confusion import Confusion
from worker.estimates.simplex_least_squares import on_simplex
from worker.evaluation.outputs import ModelOutputs

Distribution = NDArray[np.float64]

BBSE_RIDGE = 0.05
"""Weight of the distance to the source's priors in the least squares of BBSE."""
EM_ROUNDS = 200
PRIOR_RESAMPLES = 100
MAX_TESTED_CLASSES = 200
"""Number of classes up to which an interval and a test are worth their minutes."""
SIGNIFICANCE_LEVEL = 0.02
MIN_SHIFT_DISTANCE = 0.10
"""Total variation from which a shift is reported."""


@dataclass(frozen=True, slots=True)
class ClassPriors:
    """Class priors (classes,) of the source, and two estimates for the target, with the 90 % interval of BBSE.

    `distance` is the total variation from the source to the mean of the estimates. `p_value` is the probability that BBSE finds
    such a distance without a shift. With more than MAX_TESTED_CLASSES the intervals are 0 to 1 and no shift is detected.
    """

    source: Distribution
    bbse: Distribution
    em: Distribution
    low: Distribution
    high: Distribution
    distance: float
    p_value: float
    shifted: bool

    @property
    def target(self) -> Distribution:
        """Mean of the two estimates (classes,)."""
        return (self.bbse + self.em) / 2


def estimate_class_priors(
    outputs: ModelOutputs, source_probabilities: Distribution, target_probabilities: Distribution, seed: int = 0
) -> ClassPriors:
    """Estimate the priors from outputs and calibrated probabilities (n, classes) and (m, classes) of at least one row each."""
    classes, random = outputs.source_logits.shape[1], np.random.default_rng(seed)
    confusion = Confusion.of(outputs.source_labels, outputs.source_logits.argmax(axis=1), classes)
    predicted = np.bincount(outputs.target_logits.argmax(axis=1), minlength=classes).astype(np.float64)
    source = confusion.class_counts().true[0] / confusion.rows
    by_em = em(source, source_probabilities, target_probabilities)
    low, high, p_value = np.zeros(classes), np.ones(classes), 1.0
    if classes > MAX_TESTED_CLASSES:
        by_bbse = bbse_of_many(confusion, predicted)
    else:
        counts = confusion.matrix().T
        by_bbse = bbse(counts, predicted)
        low, high = np.quantile(_resampled(counts, predicted, random), (0.05, 0.95), axis=0)
        p_value = _p_value(counts, predicted, total_variation(source, by_bbse), random)
    nearest = min(total_variation(source, by_bbse), total_variation(source, by_em))
    same_direction = float((by_bbse - source) @ (by_em - source)) > 0
    shifted = same_direction and nearest >= MIN_SHIFT_DISTANCE and p_value <= SIGNIFICANCE_LEVEL
    distance = total_variation(source, (by_bbse + by_em) / 2)
    return ClassPriors(source, by_bbse, by_em, low, high, distance, p_value, shifted)


def total_variation(first: Distribution, second: Distribution) -> float:
    """Return half of the summed absolute differences of two distributions (classes,), 0 to 1."""
    return float(np.abs(first - second).sum() / 2)


def bbse(counts: Distribution, predicted: Distribution) -> Distribution:
    """Return the priors p (classes,) on the simplex that minimise |A p - q|^2 + RIDGE |p - p_S|^2.

    A holds the proportions of predicted classes within each true class of the source, from `counts` (classes, classes) with rows
    of predicted classes. q holds the proportions of the counts `predicted` (classes,) of target rows.
    """
    classes = len(predicted)
    source = counts.sum(axis=0) / counts.sum()
    within = (counts + 1 / classes) / (counts.sum(axis=0) + 1)
    sums_to_one = 100.0
    left = np.vstack([within, np.sqrt(BBSE_RIDGE) * np.eye(classes), np.full((1, classes), sums_to_one)])
    right = np.concatenate([predicted / predicted.sum(), np.sqrt(BBSE_RIDGE) * source, [sums_to_one]])
    solution = nnls(left, right)[0]
    priors: Distribution = solution / solution.sum()
    return priors


def bbse_of_many(confusion: Confusion, predicted: Distribution) -> Distribution:
    """Return the same priors (classes,) from the cells of the confusion matrix that occur."""
    classes = confusion.classes
    true = confusion.class_counts().true[0]
    seen = csr_array((confusion.counts / (true[confusion.true] + 1), (confusion.predicted, confusion.true)), (classes, classes))
    unseen = 1 / (true + 1)
    return on_simplex(
        lambda priors: seen @ priors + unseen @ priors / classes,
        lambda rows: seen.T @ rows + unseen * rows.mean(),
        predicted / predicted.sum(),
        true / true.sum(),
        BBSE_RIDGE,
    )


def em(source: Distribution, source_probabilities: Distribution, target_probabilities: Distribution) -> Distribution:
    """Return the priors (classes,) that equal the mean of the target probabilities (m, classes) re-weighted by them.

    The weights are relative to the mean of the source probabilities (n, classes), so that a calibration error is not taken for
    a shift. The result is scaled back to the priors of the source labels, `source` (classes,).
    """
    mean_source = np.maximum(source_probabilities.mean(axis=0), 1e-6)
    priors = mean_source
    for _ in range(EM_ROUNDS):
        weights, previous = priors / mean_source, priors
        priors = weights * ((1 / (target_probabilities @ weights)) @ target_probabilities) / len(target_probabilities)
        if total_variation(previous, priors) < 1e-5:
            break
    scaled: Distribution = priors * source / mean_source
    scaled /= scaled.sum()
    return scaled


def _resampled(counts: Distribution, predicted: Distribution, random: np.random.Generator) -> Distribution:
    """Return BBSE of PRIOR_RESAMPLES resamples of both domains, (PRIOR_RESAMPLES, classes)."""
    tables = random.multinomial(int(counts.sum()), (counts / counts.sum()).ravel(), PRIOR_RESAMPLES).reshape(-1, *counts.shape)
    targets = random.multinomial(int(predicted.sum()), predicted / predicted.sum(), PRIOR_RESAMPLES)
    return np.stack([bbse(table, target) for table, target in zip(tables.astype(float), targets.astype(float), strict=True)])


def _p_value(counts: Distribution, predicted: Distribution, distance: float, random: np.random.Generator) -> float:
    """Return the fraction of unshifted targets for which BBSE is at least this far from the source."""
    source, unshifted = counts.sum(axis=0) / counts.sum(), counts.sum(axis=1)
    drawn = _resampled(counts, predicted.sum() * unshifted / unshifted.sum(), random)
    return (1 + sum(total_variation(source, priors) >= distance for priors in drawn)) / (1 + PRIOR_RESAMPLES)
