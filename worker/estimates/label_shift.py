"""The target's class priors, and whether they differ from the source's.

Two estimates that err in different ways: BBSE inverts the confusion matrix of the held-out source (Lipton et al., ICML 2018,
https://arxiv.org/abs/1802.03916), EM re-weights the probabilities until they explain themselves (Saerens et al., Neural
Computation 2002, doi 10.1162/089976602753284446). Both assume that within a class the domains look alike to the network, which
an unadapted network breaks: its errors then look like a shift of the classes. So a shift is only called detected when
both estimates see it, in the same direction, and chance does not explain it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from worker.estimates.classification_report import confusion
from worker.evaluation.outputs import ModelOutputs

Distribution = NDArray[np.float64]

BBSE_RIDGE = 0.05
"""Weight of the distance to the source's priors in BBSE's least squares."""
EM_ROUNDS = 200
PRIOR_RESAMPLES = 100
MAX_TESTED_CLASSES = 200
"""Of more, a sample of the source tells too little about each for an interval or a test to be worth its minutes."""
SIGNIFICANCE_LEVEL = 0.02
MIN_SHIFT_DISTANCE = 0.10
"""Total variation from which a shift is worth telling."""


@dataclass(frozen=True, slots=True)
class ClassPriors:
    """Shares of the classes (classes,): of the source, and two estimates for the target, with BBSE's 90 % interval.

    `distance` is the total variation from the source to the mean of the estimates, `p_value` how often BBSE finds one as far
    where there is no shift. Of more than MOST_CLASSES the interval is everything and no shift is told of.
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
        """The mean of the two estimates (classes,)."""
        return (self.bbse + self.em) / 2


def estimate_class_priors(
    evidence: ModelOutputs, source_probabilities: Distribution, target_probabilities: Distribution, seed: int = 0
) -> ClassPriors:
    """From the evidence of at least one row a domain and its calibrated probabilities (n, classes) and (m, classes)."""
    classes, random = evidence.source_logits.shape[1], np.random.default_rng(seed)
    counts = confusion(evidence.source_labels, evidence.source_logits.argmax(axis=1), classes).T
    predicted = np.bincount(evidence.target_logits.argmax(axis=1), minlength=classes).astype(np.float64)
    source = counts.sum(axis=0) / counts.sum()
    found, weighted = bbse(counts, predicted), em(source, source_probabilities, target_probabilities)
    low, high, p_value = np.zeros(classes), np.ones(classes), 1.0
    if classes <= MAX_TESTED_CLASSES:
        low, high = np.quantile(_resampled(counts, predicted, random), (0.05, 0.95), axis=0)
        p_value = _p_value(counts, predicted, total_variation(source, found), random)
    nearest = min(total_variation(source, found), total_variation(source, weighted))
    same_way = float((found - source) @ (weighted - source)) > 0
    shifted = same_way and nearest >= MIN_SHIFT_DISTANCE and p_value <= SIGNIFICANCE_LEVEL
    return ClassPriors(source, found, weighted, low, high, total_variation(source, (found + weighted) / 2), p_value, shifted)


def total_variation(first: Distribution, second: Distribution) -> float:
    """Half of the summed differences of two distributions (classes,): 0 to 1."""
    return float(np.abs(first - second).sum() / 2)


def bbse(counts: Distribution, predicted: Distribution) -> Distribution:
    """Priors p (classes,) on the simplex with the least |A p - q|^2 + RIDGE |p - p_S|^2.

    A are the shares of the predicted classes within each true class of the source, from `counts` (classes, classes), rows of
    predicted classes; q those of the `predicted` target rows, counts (classes,).
    """
    classes = len(predicted)
    source = counts.sum(axis=0) / counts.sum()
    within = (counts + 1 / classes) / (counts.sum(axis=0) + 1)
    sums_to_one = 100.0
    left = np.vstack([within, np.sqrt(BBSE_RIDGE) * np.eye(classes), np.full((1, classes), sums_to_one)])
    right = np.concatenate([predicted / predicted.sum(), np.sqrt(BBSE_RIDGE) * source, [sums_to_one]])
    found = nnls(left, right)[0]
    priors: Distribution = found / found.sum()
    return priors


def em(source: Distribution, source_probabilities: Distribution, target_probabilities: Distribution) -> Distribution:
    """Priors (classes,) that the target's probabilities (m, classes), re-weighted by them over the source's, have as their mean.

    The source's priors are those that its probabilities (n, classes) say, so that an error of the calibration is none of the
    shift; the answer is brought back to the labels' priors `source` (classes,).
    """
    said = np.maximum(source_probabilities.mean(axis=0), 1e-6)
    priors = said
    for _ in range(EM_ROUNDS):
        weighted = target_probabilities * (priors / said)
        before, priors = priors, (weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0)
        if total_variation(before, priors) < 1e-5:
            break
    found: Distribution = priors * source / said
    found /= found.sum()
    return found


def _resampled(counts: Distribution, predicted: Distribution, random: np.random.Generator) -> Distribution:
    """BBSE of RESAMPLES samples as large as both were: (RESAMPLES, classes)."""
    tables = random.multinomial(int(counts.sum()), (counts / counts.sum()).ravel(), PRIOR_RESAMPLES).reshape(-1, *counts.shape)
    targets = random.multinomial(int(predicted.sum()), predicted / predicted.sum(), PRIOR_RESAMPLES)
    return np.stack([bbse(table, target) for table, target in zip(tables.astype(float), targets.astype(float), strict=True)])


def _p_value(counts: Distribution, predicted: Distribution, distance: float, random: np.random.Generator) -> float:
    """Share of targets drawn from the source's own predictions for which BBSE lies at least this far from the source."""
    source, same = counts.sum(axis=0) / counts.sum(), counts.sum(axis=1)
    drawn = _resampled(counts, predicted.sum() * same / same.sum(), random)
    return (1 + sum(total_variation(source, one) >= distance for one in drawn)) / (1 + PRIOR_RESAMPLES)
