"""Trained networks with their evidence, and the choice of the one that becomes the version."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.estimates.calibrated_outputs import CalibratedOutputs, calibrate_outputs
from worker.estimates.calibration import Calibration, calibrate, confidence_threshold
from worker.estimates.candidate_evidence import CandidateOutputs, TaskFacts, gain_evidence
from worker.estimates.candidate_judgement import CandidateJudgement, Judgement, judge_candidate
from worker.evaluation.outputs import ModelOutputs, probabilities
from worker.networks.base import Network
from worker.training.evaluator import Evaluator
from worker.training.job_evidence import JobEvidence
from worker.training.trials import Trial, TrialRunner

NO_BETTER_TRIAL = "no candidate is expected to be better at a small risk of a loss"
EXPECTED_LOSS = "the adapted model is expected to be less accurate"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Network of a trial. `calibrated` and `tested` are None with too few rows, `calibration` without a source."""

    trial: Trial
    network: Network
    outputs: ModelOutputs
    calibration: Calibration | None
    calibrated: CalibratedOutputs | None
    tested: CandidateOutputs | None = None

    @property
    def abstention_threshold(self) -> float | None:
        """Confidence (0 to 1) below which a prediction is unreliable, None without calibration."""
        if self.calibration is None:
            return None
        source: NDArray[np.float64] = probabilities(self.outputs.source_logits, self.calibration.temperature)
        return min(1.0, confidence_threshold(source.max(axis=1), source.argmax(axis=1) == self.outputs.source_labels))


def evaluate(trials: TrialRunner, evaluator: Evaluator, trial: Trial, evidence: JobEvidence | None) -> Candidate:
    """Compute the outputs and estimates of a trial's network. Raise StopRequested."""
    network = trials.load_network(trial)
    outputs = evaluator.outputs(network)
    calibrated = calibrate_outputs(outputs)
    calibration = calibrated.calibration if calibrated else _calibration(outputs)
    tested = evidence.tested(calibrated) if evidence and calibrated else None
    return Candidate(trial, network, outputs, calibration, calibrated, tested)


def _calibration(outputs: ModelOutputs) -> Calibration | None:
    has_rows = len(outputs.source_labels) > 1
    return calibrate(outputs.source_logits, outputs.source_labels) if has_rows else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Adapted and source-only network, their evidence and judgement, and the network that becomes the version.

    The judgement is None without a source-only network or estimates. If a search finds nothing better than source-only,
    `adapted` is `baseline`. `others` are the outputs of further candidates of the job.
    """

    adapted: Candidate
    baseline: Candidate | None
    judgement: CandidateJudgement | None
    selected: Candidate
    evidence: dict[str, float] = field(default_factory=dict)
    others: Sequence[CandidateOutputs] = ()

    @property
    def discarded(self) -> Candidate | None:
        """The network that is not selected, None if there is only one."""
        candidates = (self.adapted, self.baseline)
        return next((candidate for candidate in candidates if candidate and candidate is not self.selected), None)

    @property
    def opinions(self) -> list[CandidateOutputs]:
        """Outputs of the candidates that are not selected, empty for a job with a single method."""
        discarded = self.discarded.tested if self.discarded else None
        return [*self.others, *([discarded] if discarded else [])] if self.others else []

    @property
    def reason(self) -> str | None:
        """The reason to register the source-only network, None if the adapted one is registered."""
        if self.selected is not self.baseline:
            return None
        return NO_BETTER_TRIAL if self.adapted is self.baseline else EXPECTED_LOSS

    @property
    def helped(self) -> Judgement | None:
        """Return the verdict on the version; `no` if it is the source-only network itself."""
        if self.baseline is not None and self.selected is self.baseline:
            return "no"
        return self.judgement.helped if self.judgement else None


def compare(
    adapted: Candidate,
    baseline: Candidate | None,
    facts: TaskFacts | None,
    *,
    fallback: bool,
    others: Sequence[CandidateOutputs] = (),
) -> Comparison:
    """Select the network that becomes the version: source-only if a loss is expected, and with `fallback`.

    `facts` are those of the job's evidence. `others` are the outputs of further candidates of the job.
    """
    if baseline is None or baseline.tested is None or adapted.tested is None or facts is None:
        return Comparison(adapted, baseline, None, adapted)
    evidence = gain_evidence(adapted.tested, baseline.tested, others, facts)
    judgement = judge_candidate(evidence)
    selected = baseline if fallback and judgement.expected_gain < 0 else adapted
    return Comparison(adapted, baseline, judgement, selected, evidence, others)
