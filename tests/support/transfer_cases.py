"""Simulated networks of a known skill, and evidence, for tests of the transfer verdict."""

import numpy as np

from worker.estimates.calibrated_outputs import CalibratedOutputs, calibrate_outputs
from worker.estimates.transfer_rules import TransferEvidence
from worker.evaluation.outputs import ModelOutputs

EVEN = (0.25, 0.25, 0.25, 0.25)
SKEWED = (0.7, 0.1, 0.1, 0.1)
CLEAR_GAIN = TransferEvidence(
    gain=0.1,
    label_shift_headroom=0.1,
    validators_in_favour=1.0,
    source_accuracy_drop=0.0,
    source_accuracy_drop_allowed=0.1,
    class_prior_distance=0.05,
    classes_lost=0,
    label_shift_reverted=0.0,
    label_shift_trusted=False,
    disagreements=100,
    rows=1000,
    reverse_validation_ratio=1.0,
    reverse_validation_gain=0.0,
)
"""Evidence on which no rule fires."""


def network(
    skill: float, *, predicted: np.ndarray | None = None, priors: tuple[float, ...] = EVEN, rows: int = 600
) -> CalibratedOutputs:
    """Return outputs for four classes whose target features point to the class with this skill.

    They point to the true classes, drawn from `priors`, unless `predicted` (rows,) names others.
    """
    random = np.random.default_rng(0)
    source, truth = random.integers(0, 4, rows), random.choice(4, rows, p=priors)
    noise = random.normal(size=(rows, 4))

    def features(labels: np.ndarray, strength: float) -> np.ndarray:
        values: np.ndarray = (strength * np.eye(4)[labels] + noise).astype(np.float32)
        return values

    source_x, target_x = features(source, 5), features(truth if predicted is None else predicted, skill)
    outputs = calibrate_outputs(ModelOutputs(source_x, 2 * source_x, source, target_x, 2 * target_x))
    assert outputs is not None
    return outputs
