"""Simulated networks of a known skill, for tests of the transfer verdict."""

import numpy as np

from worker.estimates.calibrated_outputs import CalibratedOutputs, study
from worker.estimates.transfer_verdict import TransferVerdict
from worker.evaluation.outputs import ModelOutputs

EVEN = (0.25, 0.25, 0.25, 0.25)

CLEAR = TransferVerdict(
    "unsure",
    gain=0.1,
    label_shift_headroom=0.1,
    validators_in_favour=1.0,
    source_accuracy_drop=0.0,
    class_prior_distance=0.05,
    classes_lost=0,
)


def network(skill: float, *, said: np.ndarray | None = None, shares: tuple[float, ...] = EVEN) -> CalibratedOutputs:
    """Whose features point to the class with this skill on the target; `said` are its answers there if not the true classes."""
    random = np.random.default_rng(0)
    source, truth = random.integers(0, 4, 600), random.choice(4, 600, p=shares)
    noise = random.normal(size=(600, 4))

    def features(labels: np.ndarray, strength: float) -> np.ndarray:
        found: np.ndarray = (strength * np.eye(4)[labels] + noise).astype(np.float32)
        return found

    source_x, target_x = features(source, 5), features(truth if said is None else said, skill)
    found = study(ModelOutputs(source_x, 2 * source_x, source, target_x, 2 * target_x))
    assert found is not None
    return found
