"""The records and the result of a search, and its table in the metrics of a version."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.algorithms.auto import AutoParams
from app.algorithms.base import AlgorithmParams
from worker.estimates.candidate_evidence import CandidateOutputs
from worker.search.remote_trials import PlannedTrial
from worker.training.trials import Trial, source_params


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A row of the search's table: the planned trial with its result, or with the reason why it failed."""

    planned: PlannedTrial
    trial: Trial | None
    error: str | None = None

    @property
    def params(self) -> AlgorithmParams:
        """The candidate's parameters."""
        return self.planned.params

    @property
    def round(self) -> int:
        """The round of the trial; 0 is the baseline."""
        return self.planned.round


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The reference, the record of the chosen model, None for the deep reference itself, and all records.

    The reference is the best model of the source alone. `deep_baseline` is the source-only network.
    """

    reference: Trial
    chosen: TrialRecord | None
    records: list[TrialRecord]
    deep_baseline: Trial
    others: Sequence[CandidateOutputs] = ()


def table(params: AutoParams, result: SearchResult) -> list[dict[str, Any]]:
    """Return the source-only network, as round 0, and the records as JSON, by round and position."""
    baseline, records = result.deep_baseline, sorted(result.records, key=lambda record: (record.round, record.planned.position))
    first = TrialRecord(PlannedTrial(0, 0, source_params(params), baseline.steps), baseline)
    return [_row(first, result.chosen is None), *(_row(record, record is result.chosen) for record in records)]


def _row(record: TrialRecord, chosen: bool) -> dict[str, Any]:
    row = {"params": record.params.model_dump(mode="json"), "round": record.round, "chosen": chosen, "error": record.error}
    if record.trial is None:
        return row
    scores = {name: None if math.isnan(score) else score for name, score in record.trial.scores.items()}
    return row | {"steps": record.trial.steps, "selected_step": record.trial.step, "scores": scores}
