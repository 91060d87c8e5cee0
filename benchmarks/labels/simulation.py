"""Repeated draws of rows whose labels are known: the figures of a request at each look, against the truth."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.labels.measurement import AnsweredRow, Measurement, StratumSize, measure
from app.labels.sampling import LOOKS, both_strata, draw

Probabilities = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and its source-only model on the rows of a target (n, classes), and the true classes (n,)."""

    modality: str
    adapted: Probabilities
    source_only: Probabilities
    labels: NDArray[np.integer]

    @property
    def accuracy(self) -> float:
        return float((self.adapted.argmax(axis=1) == self.labels).mean())

    @property
    def gain(self) -> float:
        """The accuracy of the model minus that of the source-only model."""
        return self.accuracy - float((self.source_only.argmax(axis=1) == self.labels).mean())


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of one draw at one look, compared with the truth. The fields about the gain are None without disputed rows."""

    modality: str
    look: int
    covered: bool
    width: float
    error: float
    gain_covered: bool | None
    gain_width: float | None
    verdict: str | None
    true_gain: float


def simulate(subject: Subject, draws: int) -> Iterator[Outcome]:
    """Yield the outcomes of requests with the purpose `both` at all looks that the target has enough rows for."""
    predicted, source_only = subject.adapted.argmax(axis=1), subject.source_only.argmax(axis=1)
    confidence = subject.adapted.max(axis=1).astype(np.float64)
    strata = both_strata(confidence, predicted != source_only)
    sizes = [StratumSize(stratum.name, len(stratum.members)) for stratum in strata]
    looks = [look for look in LOOKS if look <= len(predicted)]
    for seed in range(draws):
        drawn = draw(strata, max(looks, default=0), seed)
        rows = [
            AnsweredRow(
                one.stratum,
                str(predicted[one.position]),
                str(source_only[one.position]),
                str(subject.labels[one.position]),
            )
            for one in drawn
        ]
        for look in looks:
            found = measure(rows[:look], sizes, len(predicted))
            if found is not None:
                yield _outcome(subject, look, found)


def _outcome(subject: Subject, look: int, found: Measurement) -> Outcome:
    accuracy, gain = found.accuracy, found.gain
    assert accuracy is not None
    return Outcome(
        modality=subject.modality,
        look=look,
        covered=_contains(accuracy.low, accuracy.high, subject.accuracy),
        width=accuracy.high - accuracy.low,
        error=abs(accuracy.value - subject.accuracy),
        gain_covered=None if gain is None else _contains(gain.low, gain.high, subject.gain),
        gain_width=None if gain is None else gain.high - gain.low,
        verdict=found.verdict,
        true_gain=subject.gain,
    )


def _contains(low: float, high: float, value: float) -> bool:
    return low - 1e-9 <= value <= high + 1e-9
