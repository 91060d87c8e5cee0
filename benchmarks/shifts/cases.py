"""Cases from the records: a candidate, its evidence, and the truth from the target's labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.algorithms import PARAMS
from benchmarks.shifts.registry import all_shifts
from benchmarks.shifts.rows import Shift
from benchmarks.shifts.store import Arrays, Store
from worker.estimates.calibration import fit_temperature
from worker.estimates.candidate_evidence import CandidateOutputs, TaskFacts, accuracy_evidence, gain_evidence
from worker.estimates.reverse_scores import ReverseScores
from worker.evaluation.outputs import probabilities

MIN_SOURCE_ROWS, MIN_TARGET_ROWS = 10, 40
"""Records with fewer rows are left out: their truth is mostly chance."""
SMALLEST_PROBABILITY = 1e-6

Evidence = dict[str, float]


@dataclass(frozen=True, slots=True)
class Case:
    """A candidate of a record.

    `gain` is the difference of the target accuracies from the reference, `gain_terms` the evidence for it; both are those of the
    reference for itself if `is_reference`. `balanced_gain` is the difference of the balanced accuracies.
    """

    shift: Shift
    seed: int
    name: str
    is_reference: bool
    accuracy: float
    gain: float
    balanced_gain: float
    classes: int
    gain_terms: Evidence
    accuracy_terms: Evidence

    @property
    def family(self) -> str:
        """Datasets with common rows, which are held out together."""
        return self.shift.dataset.family or self.shift.dataset.name

    @property
    def record(self) -> str:
        """Name of the shift and seed."""
        return f"{self.shift.key}--{self.seed}"


def read_cases(folder: Path, data: Path) -> list[Case]:
    """Return the cases of all records, each against the reference of its record."""
    store = Store(folder)
    return [
        case for shift in all_shifts(data) for seed in store.seeds(shift) for case in _cases(shift, seed, store.load(shift, seed))
    ]


def _cases(shift: Shift, seed: int, arrays: Arrays) -> Iterator[Case]:
    labels, truth = arrays["source_labels"].astype(np.int64), arrays["target_labels"].astype(np.int64)
    if len(labels) < MIN_SOURCE_ROWS or len(truth) < MIN_TARGET_ROWS:
        return
    facts = TaskFacts(labels, (float(arrays["domain_gaps"][0]), float(arrays["domain_gaps"][1])))
    outputs = {
        key.partition("/")[2]: _outputs(arrays, key.partition("/")[2], labels) for key in arrays if key.startswith("source/")
    }
    reference = reference_name(outputs, facts)
    base, base_balanced = _accuracies(outputs[reference], truth)
    for name, candidate in outputs.items():
        others = [other for key, other in outputs.items() if key not in (name, reference)]
        accuracy, balanced = _accuracies(candidate, truth)
        yield Case(
            shift,
            seed,
            name,
            name == reference,
            accuracy,
            accuracy - base,
            balanced - base_balanced,
            candidate.target.shape[1],
            gain_evidence(candidate, outputs[reference], others, facts),
            accuracy_evidence(candidate, [other for key, other in outputs.items() if key != name], facts),
        )


def reference_name(outputs: dict[str, CandidateOutputs], facts: TaskFacts) -> str:
    """Return the model of the source alone that is best on the held-out source."""
    alone = [name for name in outputs if not PARAMS[name].needs_target]
    return max(alone, key=lambda name: outputs[name].is_correct(facts).mean())


def _outputs(arrays: Arrays, name: str, labels: NDArray[np.int64]) -> CandidateOutputs:
    source, target = (
        np.log(np.maximum(arrays[f"{part}/{name}"].astype(np.float32), SMALLEST_PROBABILITY)) for part in ("source", "target")
    )
    temperature = fit_temperature(source, labels)
    reverse = ReverseScores(*arrays[f"reverse/{name}"].tolist())
    return CandidateOutputs(probabilities(source, temperature), probabilities(target, temperature), reverse)


def _accuracies(outputs: CandidateOutputs, truth: NDArray[np.int64]) -> tuple[float, float]:
    """Return accuracy and balanced accuracy."""
    correct = outputs.predicted == truth
    return float(correct.mean()), float(np.mean([correct[truth == number].mean() for number in np.unique(truth)]))
