"""The common data and settings of all systems: labelled MNIST to unlabelled USPS. Requires only NumPy."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH_SIZE = 64
RATE = 1e-3
STRENGTH = 0.1
"""Factor of the reversed gradient where it is constant. It does not affect the cost."""
TESTED = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """Images (n, 28, 28) uint8 with n as used by the steps, and labels (n,) int64. Test images are of both domains."""

    steps: int
    source_x: NDArray[np.uint8]
    source_y: NDArray[np.int64]
    target_x: NDArray[np.uint8]
    source_test_x: NDArray[np.uint8]
    source_test_y: NDArray[np.int64]
    target_test_x: NDArray[np.uint8]
    target_test_y: NDArray[np.int64]


def load(folder: Path, steps: int) -> Problem:
    """Load the reference digits in `folder`, repeating the smaller target."""
    rows, random = steps * BATCH_SIZE, np.random.default_rng(0)
    source, target = _file(folder, "mnist_train"), _file(folder, "usps_train")
    source_test, target_test = _file(folder, "mnist_test"), _file(folder, "usps_test")
    chosen = np.resize(random.permutation(len(source["x"])), rows)
    return Problem(
        steps,
        source["x"][chosen],
        source["y"][chosen].astype(np.int64),
        target["x"][np.resize(random.permutation(len(target["x"])), rows)],
        source_test["x"][:TESTED],
        source_test["y"][:TESTED].astype(np.int64),
        target_test["x"][:TESTED],
        target_test["y"][:TESTED].astype(np.int64),
    )


def from_command_line() -> tuple[Problem, int]:
    """Read the command line of a system: folder of the digits, steps of the run, steps of a round."""
    folder, steps, round_steps = sys.argv[1:4]
    return load(Path(folder), int(steps)), int(round_steps)


def normalised(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale images (n, 28, 28) to -1..1."""
    return (images / np.float32(127.5) - 1).astype(np.float32)


def accuracy(logits: NDArray[Any], labels: NDArray[np.int64]) -> float:
    return float((logits.argmax(1) == labels).mean())


def _file(folder: Path, name: str) -> Any:
    return np.load(folder / f"{name}.npz")
