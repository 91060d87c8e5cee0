"""The rows of a job on which its candidates are compared, and their judgements."""

from collections.abc import Sequence

import torch

from worker.data.examples import EncodedDataset
from worker.data.splits import DomainData
from worker.estimates.calibrated_outputs import MIN_SOURCE_ROWS, MIN_TARGET_ROWS, CalibratedOutputs
from worker.estimates.calibration import fit_temperature
from worker.estimates.candidate_evidence import CandidateOutputs, TaskFacts, gain_evidence
from worker.estimates.candidate_judgement import CandidateJudgement, judge_candidate
from worker.estimates.domain_gap import domain_gaps
from worker.estimates.reverse_scores import ReverseScores, ReverseValidation
from worker.evaluation.outputs import ModelOutputs, probabilities
from worker.plain.data import PlainData
from worker.training.evaluator import Evaluator
from worker.training.evidence_rows import evidence_rows, narrowed

CPU = torch.device("cpu")
SOURCE_ROWS = 2000


class JobEvidence:
    """The target rows of an evaluator and a sample of the whole source, prepared once for all candidates."""

    def __init__(self, source: EncodedDataset, evaluator: Evaluator, classes: int) -> None:
        assert source.labels is not None
        sample = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))[:SOURCE_ROWS].sort().values
        inputs, labels = source.gather(sample, CPU)
        assert labels is not None
        rows = evidence_rows(inputs, evaluator.target_inputs())
        source_rows, target_rows, alignable = narrowed(*rows, classes)
        self.facts = TaskFacts(evaluator.source_labels, domain_gaps(source_rows, target_rows, alignable))
        self._reverse = ReverseValidation(PlainData(source_rows, labels.numpy(), target_rows, classes, alignable))

    def reverse_scores(self, outputs: ModelOutputs) -> ReverseScores:
        """Return the tests of a network's target predictions."""
        return self._reverse.scores(outputs.target_logits.argmax(axis=1))

    def outputs(self, outputs: ModelOutputs) -> CandidateOutputs:
        """Return a network's calibrated outputs with their tests."""
        temperature = fit_temperature(outputs.source_logits, outputs.source_labels)
        source, target = (probabilities(logits, temperature) for logits in (outputs.source_logits, outputs.target_logits))
        return CandidateOutputs(source, target, self.reverse_scores(outputs))

    def tested(self, calibrated: CalibratedOutputs) -> CandidateOutputs:
        """Return the same from outputs that are calibrated already."""
        reverse = self.reverse_scores(calibrated.outputs)
        return CandidateOutputs(calibrated.source_probabilities, calibrated.target_probabilities, reverse)

    def judge(
        self, candidate: CandidateOutputs, reference: CandidateOutputs, others: Sequence[CandidateOutputs] = ()
    ) -> CandidateJudgement:
        """Judge a candidate against the reference of the job; `others` are the job's further candidates."""
        return judge_candidate(gain_evidence(candidate, reference, others, self.facts))


def job_evidence(data: DomainData, evaluator: Evaluator, classes: int) -> JobEvidence | None:
    """Return the evidence of a job, None with too few rows of a domain."""
    if data.source is None or len(evaluator.source_labels) < MIN_SOURCE_ROWS or evaluator.target_count < MIN_TARGET_ROWS:
        return None
    return JobEvidence(data.source, evaluator, classes)
