"""Small problems with a shift, and runs on them: real networks, real storage, reports into a string."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from app.algorithms import PARAMS
from app.algorithms.base import AlgorithmParams
from app.modalities.base import TensorSpec
from app.modalities.image import ImagePreprocessing
from app.modalities.tabular import TabularPreprocessing
from app.networks.cnn import CnnParams
from app.networks.mlp import MlpParams
from app.preprocessing.fitted_columns import NumberColumn
from app.storage import Storage
from worker import algorithms, networks
from worker.algorithms.base import Algorithm
from worker.data.batch import Batch
from worker.data.examples import EncodedDataset
from worker.data.sampling import PairedBatches
from worker.data.splits import split_source
from worker.networks.base import Network
from worker.protocol.progress import ProgressReporter
from worker.training.checkpoints import Checkpoints, seed_everything
from worker.training.evaluator import Evaluator, features_and_logits
from worker.training.loop import RunOptions, TrainingRun, train
from worker.training.mixed_precision import resolve_precision
from worker.training.runtime import TrainingRuntime

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"epochs": 10, "batch_size": 32, "min_steps": 0, "augmentation": "none"}
LEARNING_RATE_FACTOR = 3
"""Factor on the default learning rates, which suit larger problems."""
EVALUATION_ROWS = 200

torch.set_num_threads(1)
threadpool_limits(1)  # validators cluster: on a busy machine waiting for threads takes longer than the work


def table(rows: int, classes: int, *, target: bool) -> EncodedDataset:
    """Return numbers that separate the classes; those of the target are shifted."""
    random = np.random.default_rng(2 if target else 1)
    labels = random.integers(0, classes, rows)
    numbers = 3 * np.eye(classes)[labels] + random.normal(size=(rows, classes)) + target
    return EncodedDataset({"numbers": torch.from_numpy(numbers.astype(np.float32))}, torch.from_numpy(labels))


def table_network(classes: int) -> Network:
    columns = tuple(NumberColumn(name=f"c{number}", mean=0.5, std=1.5) for number in range(classes))
    specs = {"numbers": TensorSpec("float32", (classes,))}
    return networks.build(MlpParams(), TabularPreprocessing(columns=columns), specs, classes)


def toy_images(rows: int, classes: int, *, target: bool) -> EncodedDataset:
    """Return digits of 8x8 pixels; those of the target are other digits, brighter and with less contrast."""
    digits = load_digits()
    chosen = np.flatnonzero(digits.target < classes)[int(target) :: 2][:rows]
    pixels = digits.images[chosen] * 15.9
    if target:
        pixels = pixels / 2 + np.random.default_rng(0).uniform(60, 120, (len(chosen), 1, 1))
    inputs = {"pixels": torch.from_numpy(pixels.astype(np.uint8)[..., None])}
    labels = torch.from_numpy(digits.target[chosen].astype(np.int64))
    return EncodedDataset(inputs, labels, augmentable={"pixels": "image"})


def image_network(classes: int) -> Network:
    preprocessing = ImagePreprocessing(size=(8, 8), channels=1, resize=(8, 8), mean=(0.5,), std=(0.5,))
    return networks.build(CnnParams(input_size=8), preprocessing, {}, classes)


class StoppingBatches(PairedBatches):
    """Batches that request a stop during the given step."""

    reporter: ProgressReporter
    stop_at: int | None = None

    def from_step(self, step: int) -> Iterator[Batch]:
        for number, batch in enumerate(super().from_step(step), start=step + 1):
            if number == self.stop_at:
                self.reporter.request_stop()
            yield batch


@dataclass
class Toy:
    """A run ready to train, and its reports."""

    run: TrainingRun
    stream: io.StringIO
    target: EncodedDataset

    @property
    def reports(self) -> list[dict[str, Any]]:
        self.run.runtime.reporter.flush()
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def series(self, name: str) -> list[float]:
        points = [point for report in self.reports for point in report["metrics"]]
        return [point["value"] for point in points if point["name"] == name]

    @property
    def checkpoint(self) -> str:
        """Key of the newest checkpoint."""
        return str([report["checkpoint"] for report in self.reports if report["checkpoint"]][-1])

    @property
    def warnings(self) -> list[dict[str, str]]:
        return [warning for report in self.reports for warning in report["warnings"]]

    def resume(self, key: str) -> None:
        self.run.load_state_dict(self.run.runtime.checkpoints.load(key)["run"])

    def target_accuracy(self) -> float:
        algorithm = self.run.algorithm.eval()
        assert self.target.labels is not None
        _, logits = features_and_logits(algorithm.network, self.target, torch.arange(len(self.target)), CPU)
        return float((logits.argmax(1) == self.target.labels.numpy()).mean())


def toy_params(algorithm: str, **params: Any) -> AlgorithmParams:
    rate = LEARNING_RATE_FACTOR * PARAMS[algorithm].model_fields["learning_rate"].default
    return PARAMS[algorithm].model_validate({"algorithm": algorithm, "learning_rate": rate, **SMALL, **params})


def make_toy(  # noqa: PLR0913  # a factory; all but two are keyword options with defaults
    folder: Path,
    params: AlgorithmParams,
    *,
    classes: int = 2,
    sizes: tuple[int, int] = (600, 600),
    digits: bool = False,
    kind: type[Algorithm] | None = None,
    stop_at: int | None = None,
    digest: str = "these parameters",
) -> Toy:
    """Make a run as `worker.jobs.adaptation` does, on tables or digits. `kind` replaces the algorithm of the parameters."""
    make, build = (toy_images, image_network) if digits else (table, table_network)
    source, target = make(sizes[0], classes, target=False), make(sizes[1], classes, target=True)
    data = split_source(source, target if params.needs_target else None, None, params)
    trained = trained_weights(classes, digits) if params.needs_trained_network else None
    seed_everything(params.seed)
    network = build(classes)
    if trained:
        network.load_state_dict(trained)
        network.copy_to_source_statistics()
    algorithm = kind(network, params, classes) if kind else algorithms.build(params, network, classes)
    stream = io.StringIO()
    reporter = ProgressReporter(stream)
    batches = StoppingBatches(
        data.source if params.needs_source else None,
        data.target,
        train=data.training,
        params=params,
        device=CPU,
    )
    batches.reporter, batches.stop_at = reporter, stop_at
    folder.mkdir(exist_ok=True)
    checkpoints = Checkpoints(Storage(f"file://{folder}/storage"), "jobs/a/1", folder, digest)
    evaluator = Evaluator(data, classes, CPU, rows=EVALUATION_ROWS)
    runtime = TrainingRuntime(CPU, reporter, checkpoints)
    run = TrainingRun(algorithm, batches, evaluator, runtime, RunOptions(resolve_precision(params, "float32")))
    return Toy(run, stream, target)


@cache
def trained_weights(classes: int, digits: bool) -> dict[str, Tensor]:
    """Return the weights of a source-only network."""
    params = toy_params("source_only", min_steps=250 if digits else 0)
    with TemporaryDirectory() as folder:
        toy = make_toy(Path(folder), params, classes=classes, digits=digits)
        train(toy.run)
    return toy.run.algorithm.network.state_dict()
