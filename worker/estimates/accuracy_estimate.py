"""Estimate of the target accuracy with a 90 % interval, from the evidence of `candidate_evidence.accuracy_evidence`.

    value = linear model of the evidence,    interval = value - below error ... value + above error

`error` is a linear model of the expected absolute error. The reach (`below`, `above`) is conformal across datasets, separately
for tables, texts, images and series: of the datasets left out of the fit, 5 % of the candidates lie below and 5 % above. The
coefficients are data (`coefficients/accuracy.json`), fitted to `benchmarks.shifts`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

import numpy as np

from worker.estimates.fitted_model import AccuracyCoefficients, LinearModel, accuracy_coefficients

MIN_ERROR = 0.015
"""Smallest expected error: an interval is never empty."""


@dataclass(frozen=True, slots=True)
class AccuracyEstimate:
    """Estimated accuracy (0 to 1) and its 90 % interval."""

    value: float
    low: float
    high: float


def estimate_accuracy(
    evidence: Mapping[str, float], modality: str, coefficients: AccuracyCoefficients | None = None
) -> AccuracyEstimate:
    """Estimate the accuracy of a model for data of this modality; an unknown modality has the widest interval of all.

    The interval does not go below chance, the accuracy of random predictions, unless the estimate itself does.
    """
    fitted = coefficients or accuracy_coefficients(alone=isnan(evidence["others_agreement"]))
    value, error = value_and_error(evidence, fitted)
    below, above = fitted.reach.get(modality) or map(max, zip(*fitted.reach.values(), strict=True))
    low = max(min(evidence["chance"], value), value - below * error)
    return AccuracyEstimate(value, low, min(1.0, value + above * error))


def value_and_error(evidence: Mapping[str, float], fitted: AccuracyCoefficients) -> tuple[float, float]:
    """Return the estimate and its expected absolute error."""
    value = LinearModel(fitted.accuracy, fitted.scales).value(evidence)
    return float(np.clip(value, 0, 1)), max(MIN_ERROR, LinearModel(fitted.error, fitted.scales).value(evidence))
