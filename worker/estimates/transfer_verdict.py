"""Verdict on an adapted network: its evidence against the source-only network and the rules that fire on it."""

from dataclasses import dataclass

from worker import validators
from worker.estimates.accuracy_estimate import estimate_accuracy
from worker.estimates.calibrated_outputs import CalibratedOutputs
from worker.estimates.estimators import estimator_values, prior_limited_confidence, thresholded_confidence
from worker.estimates.label_shift import total_variation
from worker.estimates.transfer_rules import THRESHOLDS, Effect, FiredRule, Judgement, TransferEvidence, fired_rules
from worker.evaluation.statistics import binomial_standard_error

VALIDATORS = ("information_maximisation", "nuclear_norm", "entropy", "v_measure", "class_ami", "dev")
"""Validators of different families. Source accuracy has a rule of its own."""


@dataclass(frozen=True, slots=True)
class TransferVerdict:
    """Evidence and the rules that fire on it."""

    evidence: TransferEvidence
    fired: tuple[FiredRule, ...]

    @property
    def helped(self) -> Judgement:
        """The judgement: `no` on harm, `unsure` on any doubt, otherwise `yes`."""
        if self.fired_with("no"):
            return "no"
        return "unsure" if self.fired_with("unsure") else "yes"

    @property
    def supports_adapted(self) -> bool:
        """Return whether a search may prefer the adapted network."""
        return not self.fired_with("no") and not self.fired_with("source_only")

    def fired_with(self, effect: Effect) -> list[FiredRule]:
        """Return the fired rules of an effect."""
        return [rule for rule in self.fired if rule.effect == effect]


def judge_transfer(adapted: CalibratedOutputs, baseline: CalibratedOutputs) -> TransferVerdict:
    """Compare two networks on the same rows."""
    return judge(measure(adapted, baseline))


def judge(evidence: TransferEvidence) -> TransferVerdict:
    """Apply the rules to the evidence."""
    return TransferVerdict(evidence, fired_rules(evidence))


def measure(adapted: CalibratedOutputs, baseline: CalibratedOutputs) -> TransferEvidence:
    """Measure the adapted network against the source-only network on the same rows."""
    accuracy = estimate_accuracy(estimator_values(baseline, adapted)).value
    trusted = _priors_are_trusted(baseline, accuracy)
    source_accuracy = float(baseline.is_correct.mean())
    return TransferEvidence(
        gain=estimate_accuracy(estimator_values(adapted, baseline)).value - accuracy,
        label_shift_headroom=prior_limited_confidence(adapted, baseline) - thresholded_confidence(baseline) if trusted else 0.0,
        validators_in_favour=_validators_in_favour(adapted, baseline),
        source_accuracy_drop=float(baseline.is_correct.mean() - adapted.is_correct.mean()),
        source_accuracy_drop_allowed=max(
            THRESHOLDS.source_accuracy_drop, 2 * binomial_standard_error(source_accuracy, len(baseline.is_correct))
        ),
        class_prior_distance=total_variation(adapted.priors.target, baseline.priors.target),
        classes_lost=_classes_lost(adapted, baseline),
        label_shift_reverted=max(0.0, baseline.priors.distance - adapted.priors.distance) if baseline.priors.shifted else 0.0,
        label_shift_trusted=trusted and baseline.priors.distance >= 1 - accuracy + THRESHOLDS.unexplained_label_shift,
        disagreements=int((adapted.predicted != baseline.predicted).sum()),
        rows=len(baseline.predicted),
        reverse_validation_ratio=_reverse_validation_ratio(adapted),
        reverse_validation_gain=_reverse_validation_ratio(adapted) - _reverse_validation_ratio(baseline),
    )


def _priors_are_trusted(baseline: CalibratedOutputs, accuracy: float) -> bool:
    """Return whether the source-only network's class priors count, given its estimated accuracy."""
    is_accurate = accuracy >= THRESHOLDS.min_baseline_accuracy  # False for NaN
    if not is_accurate or baseline.has_collapsed:
        return False
    return validators.load("v_measure")(baseline.outputs) >= THRESHOLDS.min_cluster_agreement


def _classes_lost(adapted: CalibratedOutputs, baseline: CalibratedOutputs) -> int:
    """Return how many fewer classes are predicted, 0 if chance explains it."""
    lost = baseline.predicted_class_count - adapted.predicted_class_count
    return lost if abs(lost) > THRESHOLDS.classes_lost * len(baseline.predicted_proportions) else 0


def _reverse_validation_ratio(network: CalibratedOutputs) -> float:
    """Return the student's source accuracy divided by the network's own, 1 without a student."""
    return network.reverse.accuracy / (float(network.is_correct.mean()) or 1.0) if network.reverse else 1.0


def _validators_in_favour(adapted: CalibratedOutputs, baseline: CalibratedOutputs) -> float:
    """Return the fraction of the validators that score the adapted network higher, 0.5 if all scores are equal."""
    scores, before = validators.scores(adapted.outputs), validators.scores(baseline.outputs)
    differences = [scores[name] - before[name] for name in VALIDATORS]
    votes = [difference > 0 for difference in differences if abs(difference) > 1e-6]
    return sum(votes) / len(votes) if votes else 0.5
