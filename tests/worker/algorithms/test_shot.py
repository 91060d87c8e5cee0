from pathlib import Path

import numpy as np
import torch

from app.algorithms.shot import ShotParams
from tests.support.toy_problems import image_network, make_toy, toy_params
from worker.algorithms.shot import Shot
from worker.data.batch import Batch
from worker.evaluation.outputs import ModelOutputs
from worker.training.loop import train


def test_shot_trains_the_encoder_and_keeps_the_head(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("shot", min_steps=40), digits=True, classes=10)
    before = {name: value.clone() for name, value in toy.run.algorithm.network.state_dict().items()}
    train(toy.run)
    after = toy.run.algorithm.network.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"backbone", "bottleneck"}


def model_outputs(features: list[list[float]], logits: list[list[float]]) -> ModelOutputs:
    empty = np.empty((0, 2), np.float32)
    width = len(features[0])
    return ModelOutputs(
        source_features=np.empty((0, width), np.float32),
        source_logits=empty,
        source_labels=np.empty(0, np.int64),
        target_features=np.array(features, np.float32),
        target_logits=np.array(logits, np.float32),
    )


def test_second_centroids_use_nearest_rows_or_keep_the_first() -> None:
    algorithm = Shot(image_network(3), ShotParams(), 3)
    algorithm.centroids = torch.zeros(3, 2)
    rows = [[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [0.0, 1.0]]
    probabilities = [[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.3, 0.65, 0.05], [0.05, 0.9, 0.05]]
    algorithm.on_evaluation(model_outputs(rows, np.log(probabilities).tolist()))
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # the third row is nearest to the first class, despite its prediction
    torch.testing.assert_close(algorithm.centroids[:2], expected)
    torch.testing.assert_close(algorithm.centroids.norm(dim=1), torch.ones(3))


def test_pseudo_labels_are_predictions_before_the_first_evaluation(tmp_path: Path) -> None:
    toy = make_toy(tmp_path, toy_params("shot"), digits=True, classes=10)
    algorithm = toy.run.algorithm.eval()
    batch = Batch({}, torch.empty(0), {"pixels": toy.target.inputs["pixels"][:32]}, 0.0)
    with torch.no_grad():
        logits = algorithm.compute_outputs(batch.target_x).logits
        own = 0.3 * torch.nn.functional.cross_entropy(logits, logits.argmax(1))
        torch.testing.assert_close(algorithm.terms(batch)["pseudo_labels"], own)
        algorithm.on_evaluation(toy.run.evaluator.outputs(algorithm.network))
        assert algorithm.terms(batch)["pseudo_labels"] > own
