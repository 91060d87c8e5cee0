"""Linear models whose coefficients are data: `python -m benchmarks.shifts fit` writes their files.

The coefficients belong to standardised evidence. Evidence that could not be measured is NaN and counts as average.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import exp, isnan
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FOLDER = Path(__file__).parent / "coefficients"
JUDGEMENT_FILES = ("judgement.json", "judgement_alone.json")
ACCURACY_FILES = ("accuracy.json", "accuracy_alone.json")
MAX_DEVIATIONS = 4.0
"""Evidence further from the benchmark's mean counts as this many standard deviations: a linear model is not reliable there."""


class Head(BaseModel):
    """Weights of the standardised evidence, by name, and the intercept."""

    model_config = ConfigDict(frozen=True)

    intercept: float
    weights: dict[str, float]


class Origin(BaseModel):
    """The records that a file was fitted to."""

    model_config = ConfigDict(frozen=True)

    date: str
    digest: str = Field(description="Digest of the records.")
    datasets: int
    shifts: int
    rows: int


class Scale(BaseModel):
    """Mean and standard deviation of a value of the evidence in the benchmark."""

    model_config = ConfigDict(frozen=True)

    mean: float
    deviation: Annotated[float, Field(gt=0)]


class JudgementCoefficients(BaseModel):
    """Models of the gain, and the probabilities from which they decide: of two classes, and of more."""

    model_config = ConfigDict(frozen=True)

    origin: Origin
    scales: dict[str, Scale]
    expected_gain: Head
    gain: Head
    loss: Head
    min_yes_probability: tuple[float, float]
    max_no_probability: float
    max_loss_probability: float


class AccuracyCoefficients(BaseModel):
    """Models of the accuracy and of its error; `reach` is the interval's half width in errors, by modality."""

    model_config = ConfigDict(frozen=True)

    origin: Origin
    scales: dict[str, Scale]
    accuracy: Head
    error: Head
    reach: dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class LinearModel:
    """A head with the scales of its evidence."""

    head: Head
    scales: Mapping[str, Scale]

    def value(self, evidence: Mapping[str, float]) -> float:
        """Return the weighted sum."""
        return self.head.intercept + sum(
            weight * _standardised(evidence[name], self.scales[name]) for name, weight in self.head.weights.items()
        )

    def probability(self, evidence: Mapping[str, float]) -> float:
        """Return the logistic function of the weighted sum."""
        return 1 / (1 + exp(-max(-30.0, min(30.0, self.value(evidence)))))


def _standardised(value: float, scale: Scale) -> float:
    if isnan(value):
        return 0.0
    return max(-MAX_DEVIATIONS, min(MAX_DEVIATIONS, (value - scale.mean) / scale.deviation))


@cache
def judgement_coefficients(*, alone: bool = False) -> JudgementCoefficients:
    """Return the coefficients of `candidate_judgement`; `alone` are those for a job without further candidates."""
    return JudgementCoefficients.model_validate_json((FOLDER / JUDGEMENT_FILES[alone]).read_bytes())


@cache
def accuracy_coefficients(*, alone: bool = False) -> AccuracyCoefficients:
    """Return the coefficients of `accuracy_estimate`; `alone` are those for a job without further candidates."""
    return AccuracyCoefficients.model_validate_json((FOLDER / ACCURACY_FILES[alone]).read_bytes())
