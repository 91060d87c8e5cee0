"""Simulated outputs of a network on both domains."""

import numpy as np

from worker.evaluation.outputs import ModelOutputs


def model_outputs(skill: float, *, classes: int = 4, rows: int = 120, seed: int = 0) -> ModelOutputs:
    """Return the outputs of a network; the larger its skill, the more its features and logits point to the true class."""
    random = np.random.default_rng(seed)

    def side() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        labels = np.arange(rows) % classes
        features = (skill * np.eye(classes)[labels] + random.normal(size=(rows, classes))).astype(np.float32)
        return features, (2 * features).astype(np.float32), labels

    source_features, source_logits, source_labels = side()
    target_features, target_logits, _ = side()
    return ModelOutputs(source_features, source_logits, source_labels, target_features, target_logits)
