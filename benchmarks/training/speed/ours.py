"""DANN as in a job: `worker.training.trials` on encoded images, with reports, evaluations and checkpoints."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.algorithms.dann import DannParams
from app.modalities.base import Augmentable
from app.modalities.image import ImagePreprocessing
from app.networks.cnn import CnnParams
from app.settings import Settings
from app.storage import Storage
from benchmarks.training.speed import problem
from benchmarks.training.speed.problem import Problem
from benchmarks.training.speed.rounds import Rounds
from worker import networks
from worker.data.examples import EncodedDataset
from worker.data.splits import DomainData
from worker.networks.base import Network
from worker.protocol.progress import ProgressReporter
from worker.protocol.progress_span import ProgressSpan
from worker.training.checkpoints import Checkpoints
from worker.training.mixed_precision import decide_precision
from worker.training.runtime import NetworkFactory, TrainingRuntime
from worker.training.trials import TrialRunner

IMAGES: dict[str, Augmentable] = {"pixels": "image"}


class TimedReporter(ProgressReporter):
    """A reporter that receives every step."""

    def __init__(self, rounds: Rounds) -> None:
        super().__init__(sys.stderr)
        self._rounds = rounds

    def update_progress(self, progress: float) -> None:
        super().update_progress(progress)
        self._rounds.step()


def make_data(given: Problem) -> DomainData:
    """Return the domain data, with the source's test images as held-out rows."""
    images = _pixels(np.concatenate([given.source_x, given.source_test_x]))
    labels = torch.from_numpy(np.concatenate([given.source_y, given.source_test_y]))
    training, held_out = torch.arange(len(labels)).tensor_split([len(given.source_x)])
    target = EncodedDataset({"pixels": _pixels(given.target_x)}, None, augmentable=IMAGES)
    return DomainData(EncodedDataset({"pixels": images}, labels, augmentable=IMAGES), training, held_out, target, None)


def build() -> Network:
    preprocessing = ImagePreprocessing(size=(28, 28), channels=1, resize=(28, 28), mean=(0.5,), std=(0.5,))
    return networks.build(CnnParams(), preprocessing, {}, 10)


def main() -> None:
    torch.set_num_threads(1)
    given, round_steps = problem.from_command_line()
    params = DannParams.model_validate({"augmentation": sys.argv[4]})
    rounds = Rounds(round_steps)
    reporter = TimedReporter(rounds)
    with TemporaryDirectory() as name:
        folder = Path(name)
        checkpoints = Checkpoints(Storage(f"file://{folder}/storage"), "jobs/a/1", folder, "speed")
        seconds = Settings(_env_file=None).checkpoint_seconds
        device = torch.device("cpu")
        precision = decide_precision(params, device, build)
        runtime = TrainingRuntime(device, reporter, checkpoints, seconds)
        trials = TrialRunner(NetworkFactory(10, build), make_data(given), runtime, precision)
        trial = trials.run("dann", params, ProgressSpan(), steps=given.steps)
    network = trials.load_network(trial)
    rounds.end(*_accuracies(given, network))


@torch.inference_mode()
def _accuracies(given: Problem, network: Network) -> tuple[float, float]:
    with network.source_statistics():
        source = network({"pixels": _pixels(given.source_test_x)}).numpy()
    target = network({"pixels": _pixels(given.target_test_x)}).numpy()
    return problem.accuracy(source, given.source_test_y), problem.accuracy(target, given.target_test_y)


def _pixels(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images[..., None])


if __name__ == "__main__":
    main()
