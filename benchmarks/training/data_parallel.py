"""Cost of a step in one and several processes: `torchrun --standalone --nproc-per-node 2 -m benchmarks.training.data_parallel`.

DANN on random images. The first process measures alone while the others wait; then all measure together.
"""

import argparse
import io
import os
import sys
import time
from pathlib import Path
from statistics import median

import torch

from app.algorithms.dann import DannParams
from app.modalities.image import ImagePreprocessing
from app.networks.cnn import CnnParams
from app.networks.resnet import ResnetParams
from app.storage import Storage
from worker import algorithms, networks
from worker.data.examples import EncodedDataset
from worker.data.sampling import PairedBatches
from worker.data.splits import split_source
from worker.data.training_setup import choose_device
from worker.distributed.processes import Distributed, distributed_session
from worker.protocol.progress import ProgressReporter
from worker.training.checkpoints import Checkpoints, seed_everything
from worker.training.evaluator import Evaluator
from worker.training.loop import OptimizerStep, RunOptions, TrainingRun
from worker.training.mixed_precision import decide_precision
from worker.training.runtime import TrainingRuntime

CLASSES, DATASET_ROWS, WARM_UP = 10, 1024, 5
NETWORKS: dict[str, CnnParams | ResnetParams] = {"cnn": CnnParams(input_size=28), "resnet": ResnetParams(input_size=32)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=NETWORKS, default="resnet")
    parser.add_argument("--batch", type=int, default=64, help="Rows of each domain in a step.")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose_device("auto")
    alone = milliseconds(device, options, Distributed()) if os.environ["RANK"] == "0" else (0.0, 0.0)
    with distributed_session(device) as distributed:
        shared = milliseconds(device, options, distributed)
    if distributed.is_rank_zero:
        what = f"{options.network}, {options.batch} + {options.batch} rows, {device.type}"
        for name, one, several in zip(
            ("milliseconds of the median step", "of the leader's processor"), alone, shared, strict=True
        ):
            times = f"one process {one:.1f}, {os.environ['WORLD_SIZE']} together {several:.1f}, ratio {several / one:.2f}"
            sys.stdout.write(f"{what}, {name}: {times}\n")


def milliseconds(device: torch.device, options: argparse.Namespace, distributed: Distributed) -> tuple[float, float]:
    """Return wall time and processor time of the median step."""
    run = make_run(device, options, distributed)
    descend, times, work = OptimizerStep(run), [], []
    run.algorithm.train()
    distributed.broadcast_module(run.algorithm)
    for batch in run.batches.from_step(0):
        began, worked = time.perf_counter(), time.process_time()
        with distributed.sharing():
            run.algorithm.step(batch, descend)
        distributed.broadcast_from_rank_zero(0.0)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - began))
        work.append(1000 * (time.process_time() - worked))
    return median(times[WARM_UP:]), median(work[WARM_UP:])


def make_run(device: torch.device, options: argparse.Namespace, distributed: Distributed) -> TrainingRun:
    """Make a DANN run on noise images."""
    params = DannParams(batch_size=options.batch, epochs=1)
    seed_everything(0)
    chosen = NETWORKS[options.network]
    size = (chosen.input_size, chosen.input_size)
    preprocessing = ImagePreprocessing(size=size, channels=3, resize=size, mean=(0.5,) * 3, std=(0.5,) * 3)
    network = networks.build(chosen, preprocessing, {}, CLASSES).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    data = split_source(noise(size, device), noise(size, device), None, params)
    steps, evaluator = WARM_UP + options.steps, Evaluator(data, CLASSES, device)
    batches = PairedBatches(data.source, data.target, train=data.training, params=params, device=device, steps=steps)
    checkpoints = Checkpoints(Storage("memory://"), "", Path(), "")
    runtime = TrainingRuntime(device, ProgressReporter(io.StringIO()), checkpoints, distributed=distributed)
    algorithm = algorithms.build(params, network, CLASSES).to(device)
    return TrainingRun(algorithm, batches, evaluator, runtime, RunOptions(decide_precision(params, device, lambda: network)))


def noise(size: tuple[int, int], device: torch.device) -> EncodedDataset:
    pixels = torch.randint(256, (DATASET_ROWS, *size, 3), dtype=torch.uint8)
    return EncodedDataset({"pixels": pixels}, torch.arange(DATASET_ROWS) % CLASSES, augmentable={"pixels": "image"}).to(device)


if __name__ == "__main__":
    main()
