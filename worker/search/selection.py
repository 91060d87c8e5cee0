"""The choice among the trials of a search: the expected gain over the reference decides, if a loss is improbable.

The reference is the best model of the source alone, plain or deep, by its accuracy on the held-out source.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from worker.estimates.candidate_evidence import CandidateOutputs
from worker.estimates.candidate_judgement import CandidateJudgement
from worker.training.evaluator import Evaluator
from worker.training.job_evidence import JobEvidence, job_evidence
from worker.training.trials import Trial, TrialRunner

EVIDENCE_ROWS = 2000
"""Maximum number of rows of each domain for the evidence."""


def best_reference(references: Sequence[Trial]) -> Trial:
    """Return the trial with the best source accuracy, the first of equals."""
    return max(references, key=_source_accuracy)


def _source_accuracy(trial: Trial) -> float:
    accuracy = trial.scores.get("source_accuracy", 0.0)
    return 0.0 if isnan(accuracy) else accuracy


@dataclass
class Selection:
    """Judgements of the trials of a job. Each trial is evaluated once."""

    trials: TrialRunner
    evaluator: Evaluator
    evidence: JobEvidence

    def __post_init__(self) -> None:
        self._outputs: dict[int, CandidateOutputs] = {}

    def judgements(self, candidates: Sequence[Trial], reference: Trial) -> list[CandidateJudgement]:
        """Judge each candidate against the reference; the other candidates are further opinions."""
        outputs, theirs = [self._outputs_of(trial) for trial in candidates], self._outputs_of(reference)
        return [
            self.evidence.judge(one, theirs, outputs[:position] + outputs[position + 1 :]) for position, one in enumerate(outputs)
        ]

    def judged_gains(self, candidates: Sequence[Trial], reference: Trial) -> list[float]:
        """Return the expected gain of each candidate over the reference."""
        return [judgement.expected_gain for judgement in self.judgements(candidates, reference)]

    def best(self, candidates: Sequence[Trial], reference: Trial) -> Trial | None:
        """Return the candidate with the best expected gain, None if the reference should be served."""
        judged = zip(self.judgements(candidates, reference), candidates, strict=True)
        preferred = [(judgement.expected_gain, trial) for judgement, trial in judged if judgement.is_preferred]
        return max(preferred, key=lambda pair: pair[0])[1] if preferred else None

    def outputs_of_others(self, *chosen: Trial) -> list[CandidateOutputs]:
        """Return the outputs of all judged trials but these."""
        ids = set(map(id, chosen))
        return [outputs for key, outputs in self._outputs.items() if key not in ids]

    def _outputs_of(self, trial: Trial) -> CandidateOutputs:
        if id(trial) not in self._outputs:
            self._outputs[id(trial)] = self.evidence.outputs(self.evaluator.outputs(self.trials.load_network(trial)))
        return self._outputs[id(trial)]


def make_selection(trials: TrialRunner) -> Selection | None:
    """Return the selection of a job, None if it has too few rows to judge its trials."""
    evaluator = trials.new_evaluator(EVIDENCE_ROWS)
    evidence = job_evidence(trials.data, evaluator, trials.networks.classes)
    return None if evidence is None else Selection(trials, evaluator, evidence)
