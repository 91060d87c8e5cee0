"""The file with both models' predictions for the target rows, from which rows to label are drawn."""

import numpy as np
import torch
from numpy.typing import NDArray

from app.labels.target_outputs import TARGET_FILE, TargetOutputs
from worker.data.training_setup import TrainingSetup
from worker.evaluation.outputs import Float32Array, probabilities
from worker.networks.base import Network
from worker.training.evaluator import Evaluator

COMPONENTS = 8
"""Principal components of the features that are kept, to find rows that are far from one another."""


def write_target_outputs(
    setup: TrainingSetup, evaluator: Evaluator, selected: Network, source_only: Network | None, temperature: float
) -> None:
    """Write the predictions of the served network and of the source-only one; nothing without a target."""
    rows, blocks = evaluator.target_outputs(selected)
    if not len(rows):
        return
    parts = ((features, logits.argmax(axis=1), _two_largest(logits, temperature)) for features, logits in blocks)
    features, predicted, largest = map(np.concatenate, zip(*parts, strict=True))
    baseline = None if source_only is None else [logits.argmax(axis=1) for _, logits in evaluator.target_outputs(source_only)[1]]
    confidence = largest.max(axis=1)
    TargetOutputs(
        rows=rows + 1,
        predicted=_names(predicted, setup.classes),
        source_only=None if baseline is None else _names(np.concatenate(baseline), setup.classes),
        confidence=confidence.astype(np.float32),
        margin=(confidence - largest.min(axis=1)).astype(np.float32),
        components=_principal_components(features),
        learned=evaluator.learned_target_rows(rows),
    ).write(setup.folder / TARGET_FILE)


def _two_largest(logits: Float32Array, temperature: float) -> NDArray[np.float64]:
    """Return the two largest probabilities of each row (n, 2), in any order."""
    found = probabilities(logits, temperature)
    return np.partition(found, found.shape[1] - 2, axis=1)[:, -2:]


def _names(numbers: NDArray[np.int64], classes: list[str]) -> list[str]:
    return [classes[number] for number in numbers]


def _principal_components(features: Float32Array) -> Float32Array:
    centred = torch.from_numpy(features) - torch.from_numpy(features).mean(dim=0)
    count = min(COMPONENTS, *centred.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, _, axes = torch.pca_lowrank(centred, q=count, center=False)
    return np.asarray((centred @ axes).numpy(), np.float32)
