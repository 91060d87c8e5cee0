"""Evidence on a candidate against the reference of its job, without target labels.

The reference is a model that learned the source alone. Confidence is only one part of the evidence, because methods that
maximise it are confident when they are wrong. Every value is a number that `candidate_judgement` weighs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from numpy.typing import NDArray

from worker.estimates.calibration import confidence_threshold
from worker.estimates.label_shift import total_variation
from worker.estimates.reverse_scores import ReverseScores

Probabilities = NDArray[np.float64]

RATIOS = ("others_view", "reverse_gain", "neighbours_gain", "own_view", "reference_view", "disputed_confidence")
"""Evidence that is also divided by the share of the disputed rows."""
OF_TWO_CLASSES = ("reverse_gain", "others_view", "share_distance")
"""Evidence that has another weight with two classes."""
SHARE_OFFSET, MAX_REVERSE_GAIN = 0.02, 0.1


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """Values that all candidates of a job share: labels of the held-out source (n,) and `domain_gap.domain_gaps`."""

    source_labels: NDArray[np.int64]
    domain_gaps: tuple[float, float]


@dataclass(frozen=True, slots=True)
class CandidateOutputs:
    """Calibrated probabilities of the held-out source (n, classes) and of the target (m, classes), and the reverse scores."""

    source: Probabilities
    target: Probabilities
    reverse: ReverseScores

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Predicted class of each target row (m,)."""
        classes: NDArray[np.int64] = self.target.argmax(axis=1)
        return classes

    @property
    def shares(self) -> Probabilities:
        """Share of the target rows predicted as each class (classes,)."""
        return np.bincount(self.predicted, minlength=self.target.shape[1]) / len(self.target)

    def is_correct(self, facts: TaskFacts) -> NDArray[np.bool_]:
        """Correctness of each held-out source row (n,)."""
        correct: NDArray[np.bool_] = self.source.argmax(axis=1) == facts.source_labels
        return correct


def gain_evidence(
    candidate: CandidateOutputs, reference: CandidateOutputs, others: Sequence[CandidateOutputs], facts: TaskFacts
) -> dict[str, float]:
    """Return the evidence for the difference of the target accuracies of candidate and reference.

    `others` are further candidates of the job; their mean is the opinion of models that differ from both.
    """
    ours, theirs = candidate.reverse, reference.reverse
    disputed = candidate.predicted != reference.predicted
    source_shares = np.bincount(facts.source_labels, minlength=candidate.target.shape[1]) / len(facts.source_labels)
    mine, other = candidate.target.max(axis=1), reference.target.max(axis=1)
    measured = {
        "reverse_gain": max(ours.same_scale, ours.own_scale) - max(theirs.same_scale, theirs.own_scale),
        "reverse_same_scale_gain": ours.same_scale - theirs.same_scale,
        "reverse_own_scale_gain": ours.own_scale - theirs.own_scale,
        "neighbours_gain": ours.neighbours - theirs.neighbours,
        "source_gain": float(candidate.is_correct(facts).mean() - reference.is_correct(facts).mean()),
        "disputed": float(disputed.mean()),
        "disputed_confidence": float(((mine - other) * disputed).mean()),
        "own_view": _preference(candidate.target, candidate, reference),
        "reference_view": _preference(reference.target, candidate, reference),
        "others_view": float(np.mean([_preference(one.target, candidate, reference) for one in others])) if others else nan,
        "others_votes": float(np.mean([_votes(one, candidate, reference) for one in others])) if others else nan,
        "confidence_gain": float(mine.mean() - other.mean()),
        "threshold_gain": _thresholded(candidate, facts) - _thresholded(reference, facts),
        "share_change_gain": total_variation(candidate.shares, source_shares) - total_variation(reference.shares, source_shares),
        "share_distance": total_variation(candidate.shares, reference.shares),
    }
    return with_products(measured | task_evidence(reference, facts))


def with_products(evidence: dict[str, float]) -> dict[str, float]:
    """Return the evidence with ratios and products of it, which say more about few disputed rows and about two classes."""
    share = evidence["disputed"] + SHARE_OFFSET
    return {
        **evidence,
        **{f"{name}_of_disputed": evidence[name] / share for name in RATIOS},
        **{f"{name}_of_two_classes": evidence[name] * evidence["two_classes"] for name in OF_TWO_CLASSES},
        "views": evidence["own_view"] + evidence["reference_view"],
        "clipped_reverse_gain": float(np.clip(evidence["reverse_gain"], -MAX_REVERSE_GAIN, MAX_REVERSE_GAIN)),
        "reverse_gain_of_shifted": evidence["reverse_gain"] * (2 * evidence["domain_gap"] - 1),
        "removed_domain_gap": evidence["domain_gap"] - evidence["own_scale_domain_gap"],
        "root_disputed": sqrt(evidence["disputed"]),
    }


def task_evidence(reference: CandidateOutputs, facts: TaskFacts) -> dict[str, float]:
    """Return the evidence on the task itself."""
    source_shares = np.bincount(facts.source_labels, minlength=reference.target.shape[1]) / len(facts.source_labels)
    return {
        "reference_source_accuracy": float(reference.is_correct(facts).mean()),
        "reference_reverse": max(reference.reverse.same_scale, reference.reverse.own_scale),
        "reference_confidence": float(reference.target.max(axis=1).mean()),
        "reference_share_change": total_variation(reference.shares, source_shares),
        "domain_gap": facts.domain_gaps[0],
        "own_scale_domain_gap": facts.domain_gaps[1],
        "two_classes": float(reference.target.shape[1] == 2),
        "log_classes": float(np.log(reference.target.shape[1])),
    }


def accuracy_evidence(candidate: CandidateOutputs, others: Sequence[CandidateOutputs], facts: TaskFacts) -> dict[str, float]:
    """Return the evidence for the target accuracy of a candidate. `others` are the other candidates of the job."""
    correct, target, source = candidate.is_correct(facts), candidate.target.max(axis=1), candidate.source.max(axis=1)
    rows, classes = np.arange(len(target)), candidate.target.shape[1]
    agreements = [float((one.predicted == candidate.predicted).mean()) for one in others]
    supports = [float(one.target[rows, candidate.predicted].mean()) for one in others]
    source_shares = np.bincount(facts.source_labels, minlength=classes) / len(facts.source_labels)
    reverse = max(candidate.reverse.same_scale, candidate.reverse.own_scale)
    measured = {
        "source_accuracy": float(correct.mean()),
        "confidence": float(target.mean()),
        "confidence_change": float(target.mean() - source.mean()),
        "thresholded_confidence": _thresholded(candidate, facts),
        "reverse_accuracy": reverse,
        "reverse_loss": reverse - float(correct.mean()),
        "learnable": candidate.reverse.learnable,
        "neighbours": candidate.reverse.neighbours,
        "others_agreement": float(np.mean(agreements)) if others else nan,
        "others_least_agreement": min(agreements, default=nan),
        "others_support": float(np.mean(supports)) if others else nan,
        "share_change": total_variation(candidate.shares, source_shares),
        "domain_gap": facts.domain_gaps[0],
        "own_scale_domain_gap": facts.domain_gaps[1],
        "largest_share": float(candidate.shares.max()),
        "chance": 1 / classes,
        "few_rows": 1 / sqrt(min(len(source), len(target))),
    }
    return measured | accuracy_products(measured)


def accuracy_products(evidence: Mapping[str, float]) -> dict[str, float]:
    """Return products of the evidence: signs of errors count more with separable domains and above chance."""
    gap, skill = 2 * evidence["domain_gap"] - 1, evidence["source_accuracy"] - evidence["chance"]
    disagreement = 1 - evidence["others_agreement"]
    return {
        "others_disagreement_of_shifted": disagreement * gap,
        "others_disagreement_of_skill": disagreement * skill,
        "confidence_change_of_skill": evidence["confidence_change"] * skill,
        "reverse_loss_of_shifted": evidence["reverse_loss"] * gap,
        "reverse_loss_of_skill": evidence["reverse_loss"] * skill,
        "share_change_of_shifted": evidence["share_change"] * gap,
        "skill_of_shifted": skill * gap,
        "threshold_loss": min(0.0, evidence["thresholded_confidence"] - evidence["source_accuracy"]),
        "squared_domain_gap": gap**2,
    }


def _preference(view: Probabilities, candidate: CandidateOutputs, reference: CandidateOutputs) -> float:
    """Return the expected difference of the accuracies if the probabilities `view` (m, classes) were right."""
    rows = np.arange(len(view))
    return float((view[rows, candidate.predicted] - view[rows, reference.predicted]).mean())


def _votes(one: CandidateOutputs, candidate: CandidateOutputs, reference: CandidateOutputs) -> float:
    """Return the difference of the agreements of another candidate with both."""
    return float((one.predicted == candidate.predicted).mean() - (one.predicted == reference.predicted).mean())


def _thresholded(outputs: CandidateOutputs, facts: TaskFacts) -> float:
    """Return ATC (Garg et al., ICLR 2022): the fraction above the confidence that as many source rows reach as are correct."""
    threshold = confidence_threshold(outputs.source.max(axis=1), outputs.is_correct(facts))
    return float((outputs.target.max(axis=1) >= threshold).mean())
