"""Judgement of a candidate from its evidence: its expected gain, and the probabilities of a gain and of a loss.

A gain or loss is a difference of the target accuracies of more than MIN_DIFFERENCE from the reference, the best model of the
source alone. The models are fitted to the shifts of `benchmarks.shifts`; their coefficients and the probabilities from which
they decide are data (`coefficients/judgement.json`). Datasets that took no part in the fit judge them; see the guide
`docs/howto/trust-the-numbers.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Literal

from worker.estimates.fitted_model import JudgementCoefficients, LinearModel, judgement_coefficients

MIN_DIFFERENCE = 0.01
HARMLESS_DISPUTED = 0.005
"""Share of the target rows with different predictions up to which candidate and reference are practically equal."""

Judgement = Literal["yes", "no", "unsure"]


@dataclass(frozen=True, slots=True)
class CandidateJudgement:
    """Expected gain in accuracy (-1 to 1), and probabilities of a gain and of a loss of more than MIN_DIFFERENCE.

    `helped` is `yes` or `no` only with sufficient probability. `is_safe` allows a search to serve the candidate.
    """

    expected_gain: float
    probability_of_gain: float
    probability_of_loss: float
    helped: Judgement
    is_safe: bool

    @property
    def is_preferred(self) -> bool:
        """Return whether the candidate should be served in place of the reference."""
        return self.is_safe and self.expected_gain > 0


def judge_candidate(evidence: Mapping[str, float], coefficients: JudgementCoefficients | None = None) -> CandidateJudgement:
    """Weigh the evidence of `candidate_evidence.gain_evidence`."""
    fitted = coefficients or judgement_coefficients(alone=isnan(evidence["others_view"]))
    if evidence["disputed"] <= HARMLESS_DISPUTED:
        return CandidateJudgement(0.0, 0.0, 0.0, "no", is_safe=True)
    gain = LinearModel(fitted.gain, fitted.scales).probability(evidence)
    loss = LinearModel(fitted.loss, fitted.scales).probability(evidence)
    gain, loss = gain / max(1.0, gain + loss), loss / max(1.0, gain + loss)
    two_classes, more_classes = fitted.min_yes_probability
    is_yes = gain >= (two_classes if evidence["two_classes"] else more_classes)
    helped: Judgement = "yes" if is_yes else "no" if gain <= fitted.max_no_probability else "unsure"
    expected = LinearModel(fitted.expected_gain, fitted.scales).value(evidence)
    disputed = evidence["disputed"]
    return CandidateJudgement(
        max(-disputed, min(disputed, expected)), gain, loss, helped, is_safe=loss <= fitted.max_loss_probability
    )
