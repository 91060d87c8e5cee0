"""A network and what is known of it without labels of the target."""

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
from worker.reporting.reverse_validation import reverse_validate
from worker.training.evaluator import Evaluator
from worker.training.trials import Trial, TrialRunner

NO_BETTER_TRIAL = "no trial with enough source accuracy scored better than source-only"


@dataclass(frozen=True, slots=True)
class Candidate:
    """The network of a trial; no study and no floor where there is too little to study, no calibration without a source."""

    trial: Trial
    network: Network
    outputs: ModelOutputs
    calibration: Calibration | None
    calibrated: CalibratedOutputs | None
    lower_bound: AccuracyBound | None

    @property
    def abstention_threshold(self) -> float | None:
        """The confidence below which predictions are rather not to be trusted: 0 to 1, None without calibration."""
        if self.calibration is None:
            return None
        shares: NDArray[np.float64] = probabilities(self.outputs.source_logits, self.calibration.temperature)
        return min(1.0, confidence_threshold(shares.max(axis=1), shares.argmax(axis=1) == self.outputs.source_labels))


def evaluate(trials: TrialRunner, examiner: Evaluator, trial: Trial) -> Candidate:
    """Ask the network of a trial. Raises Stopped.

    A pretrained encoder has no pupil: to train one more costs too much, and what it knows it has not from the labels.
    """
    network = trials.load_network(trial)
    evidence = examiner.outputs(network)
    below = accuracy_lower_bound(evidence)
    critic = nan if below is None else 1 - below.source_error - below.discrepancy
    pupil = None if network.pretrained else _reverse_validate(trials, examiner, evidence)
    known = calibrate_outputs(evidence, critic, pupil)
    calibration = known.calibration if known else _calibration(evidence)
    return Candidate(trial, network, evidence, calibration, known, below if known else None)


def _reverse_validate(trials: TrialRunner, examiner: Evaluator, evidence: ModelOutputs) -> ReverseValidation | None:
    return reverse_validate(trials.new_network, examiner, evidence, lambda: trials.reporter.should_stop, trials.precision)


def _calibration(evidence: ModelOutputs) -> Calibration | None:
    enough = len(evidence.source_labels) > 1
    return calibrate(evidence.source_logits, evidence.source_labels) if enough else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What adaptation made of what the source alone gives, and which of both becomes the version.

    No verdict where there is nothing to compare with. A search that found nothing better has its reference as `adapted`.
    """

    adapted: Candidate
    baseline: Candidate | None
    verdict: TransferVerdict | None
    selected: Candidate

    @property
    def discarded(self) -> Candidate | None:
        """The other of the two networks, where there are two."""
        return next((found for found in (self.adapted, self.baseline) if found and found is not self.selected), None)

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
        if self.verdict is None:
            return None
        return "no" if self.adapted is self.baseline else self.verdict.helped


def compare(adapted: Candidate, baseline: Candidate | None, *, fallback: bool, searched: bool = False) -> Comparison:
    """With `fallback` the plain network is kept where adaptation seems to have hurt.

    Of a search it is also kept where both differ on rows too few to tell and too many to do no harm, or what the adapted network
    says of the target does not hold on the source: whoever asks for one method wants to have it, whoever asks for the best wants
    no risk without a prospect.
    """
    if baseline is None or baseline.calibrated is None or adapted.calibrated is None:
        return Comparison(adapted, baseline, None, adapted)
    verdict = judge_transfer(adapted.calibrated, baseline.calibrated)
    is_kept = verdict.supports_adapted if searched else verdict.helped != "no"
    return Comparison(adapted, baseline, verdict, adapted if is_kept or not fallback else baseline)
