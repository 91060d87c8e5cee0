"""The data that all systems train on, and how: MNIST with labels to USPS without. NumPy alone."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 64
RATE = 1e-3
STRENGTH = 0.1
"""Of the reversed gradient, where it is constant; it costs the same whatever it is."""
TESTED = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """Pictures (n, 28, 28) uint8, n being as many as the steps use; labels (n,) int64. Test pictures are of both domains."""

    steps: int
    source_x: NDArray[np.uint8]
    source_y: NDArray[np.int64]
    target_x: NDArray[np.uint8]
    source_test_x: NDArray[np.uint8]
    source_test_y: NDArray[np.int64]
    target_test_x: NDArray[np.uint8]
    target_test_y: NDArray[np.int64]


def load(folder: Path, steps: int) -> Problem:
    """From the reference digits in `folder`; the smaller target is repeated."""
    rows, random = steps * BATCH, np.random.default_rng(0)
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


def asked() -> tuple[Problem, int]:
    """What the command line of a system says: folder of the digits, steps of the run, steps of a turn."""
    folder, steps, turn = sys.argv[1:4]
    return load(Path(folder), int(steps)), int(turn)


def normalised(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 28, 28) between -1 and 1."""
    return (pictures / np.float32(127.5) - 1).astype(np.float32)


def accuracy(logits: NDArray[Any], labels: NDArray[np.int64]) -> float:
    return float((logits.argmax(1) == labels).mean())


def _file(folder: Path, name: str) -> Any:
    return np.load(folder / f"{name}.npz")
