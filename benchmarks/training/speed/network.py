"""Our network `cnn` and discriminator in plain torch: the layers that every other PyTorch system trains."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.training.speed.problem import RATE, Problem, accuracy, normalised

FEATURES = 256


def features() -> nn.Sequential:
    """(n, 1, 28, 28) to (n, FEATURES)."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 48, 5, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(48), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(768, FEATURES, bias=False), nn.BatchNorm1d(FEATURES), nn.ReLU(), nn.Dropout(0.5)),
    )


def head() -> nn.Linear:
    return nn.Linear(FEATURES, 10)


def discriminator() -> nn.Sequential:
    """(n, FEATURES) to logits (n, 1)."""
    hidden = (nn.Linear(FEATURES, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU())
    return nn.Sequential(*hidden, nn.Linear(256, 1))


def optimizer(*modules: nn.Module) -> torch.optim.AdamW:
    """As ours: the fused one for all, although no library chooses it by itself."""
    return torch.optim.AdamW(
        [weight for module in modules for weight in module.parameters()], RATE, weight_decay=1e-3, fused=True
    )


def pictures(values: NDArray[np.uint8]) -> Tensor:
    """(n, 1, 28, 28) float32, normalised."""
    return torch.from_numpy(normalised(values))[:, None]


@torch.inference_mode()
def accuracies(problem: Problem, network: Callable[[Tensor], Any]) -> tuple[float, float]:
    """On test data of the source and of the target, of a network in evaluation mode."""
    source, target = (network(pictures(values)).numpy() for values in (problem.source_test_x, problem.target_test_x))
    return accuracy(source, problem.source_test_y), accuracy(target, problem.target_test_y)
