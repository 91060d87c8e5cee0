"""Trained networks with their estimates, and the choice of the one that becomes the version."""

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from worker.estimates.accuracy_bound import AccuracyBound, accuracy_lower_bound
from worker.estimates.calibrated_outputs import CalibratedOutputs, ReverseValidation, calibrate_outputs
from worker.estimates.calibration import Calibration, calibrate, confidence_threshold
from worker.estimates.transfer_rules import Judgement
from worker.estimates.transfer_verdict import TransferVerdict, judge_transfer
from worker.evaluation.outputs import ModelOutputs, probabilities
from worker.networks.base import Network
from worker.reporting.reverse_validation import reverse_validate, reverse_validate_plain
from worker.training.evaluator import Evaluator
from worker.training.trials import Trial, TrialRunner

NO_BETTER_TRIAL = "no trial with enough source accuracy scored better than source-only"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Network of a trial. `calibrated` and `lower_bound` are None with too few rows, `calibration` without a source."""

    trial: Trial
    network: Network
    outputs: ModelOutputs
    calibration: Calibration | None
    calibrated: CalibratedOutputs | None
    lower_bound: AccuracyBound | None

    @property
    def abstention_threshold(self) -> float | None:
        """Confidence (0 to 1) below which a prediction is unreliable, None without calibration."""
        if self.calibration is None:
            return None
        source: NDArray[np.float64] = probabilities(self.outputs.source_logits, self.calibration.temperature)
        return min(1.0, confidence_threshold(source.max(axis=1), source.argmax(axis=1) == self.outputs.source_labels))


def evaluate(trials: TrialRunner, evaluator: Evaluator, trial: Trial) -> Candidate:
    """Compute the outputs and estimates of a trial's network. Raise StopRequested.

    Reverse validation is skipped for pretrained encoders: a second one is too expensive to train, and its accuracy would not come
    from the pseudo-labels.
    """
    network = trials.load_network(trial)
    outputs = evaluator.outputs(network)
    bound = accuracy_lower_bound(outputs)
    critic = nan if bound is None else 1 - bound.source_error - bound.discrepancy
    is_expensive = network.pretrained and trial.plain_kind is None
    reverse = None if is_expensive else _reverse_validate(trials, evaluator, outputs, trial)
    calibrated = calibrate_outputs(outputs, critic, reverse)
    calibration = calibrated.calibration if calibrated else _calibration(outputs)
    return Candidate(trial, network, outputs, calibration, calibrated, bound if calibrated else None)


def _reverse_validate(trials: TrialRunner, evaluator: Evaluator, outputs: ModelOutputs, trial: Trial) -> ReverseValidation | None:
    if trial.plain_kind is not None:
        return reverse_validate_plain(trials.networks.plain("linear"), evaluator, outputs)
    return reverse_validate(
        trials.networks.untrained, evaluator, outputs, lambda: trials.runtime.reporter.should_stop, trials.precision
    )


def _calibration(outputs: ModelOutputs) -> Calibration | None:
    has_rows = len(outputs.source_labels) > 1
    return calibrate(outputs.source_logits, outputs.source_labels) if has_rows else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Adapted and source-only network, the verdict, and the network that becomes the version.

    The verdict is None without a source-only network or estimates. If a search finds nothing better than source-only, `adapted`
    is `baseline`.
    """

    adapted: Candidate
    baseline: Candidate | None
    verdict: TransferVerdict | None
    selected: Candidate

    @property
    def discarded(self) -> Candidate | None:
        """The network that is not selected, None if there is only one."""
        candidates = (self.adapted, self.baseline)
        return next((candidate for candidate in candidates if candidate and candidate is not self.selected), None)

    @property
    def reason(self) -> str | None:
        """The reason to register the source-only network, None if the adapted one is registered or the verdict is `no`."""
        if self.selected is not self.baseline or self.verdict is None:
            return None
        if self.adapted is self.baseline:
            return NO_BETTER_TRIAL
        if self.verdict.helped == "no":
            return None
        return "; ".join(map(str, self.verdict.fired_with("source_only")))

    @property
    def helped(self) -> Judgement | None:
        """The judgement of the verdict; `no` if a search found nothing better than source-only."""
        if self.verdict is None:
            return None
        return "no" if self.adapted is self.baseline else self.verdict.helped


def compare(adapted: Candidate, baseline: Candidate | None, *, fallback: bool, searched: bool = False) -> Comparison:
    """Select the network that becomes the version. Without `fallback`, select the adapted one.

    A single-method job selects the adapted network unless it clearly hurt. A search selects it only if no rule speaks for
    source-only.
    """
    if baseline is None or baseline.calibrated is None or adapted.calibrated is None:
        return Comparison(adapted, baseline, None, adapted)
    verdict = judge_transfer(adapted.calibrated, baseline.calibrated)
    is_selected = verdict.supports_adapted if searched else verdict.helped != "no"
    return Comparison(adapted, baseline, verdict, adapted if is_selected or not fallback else baseline)
